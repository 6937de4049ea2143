//! Snapshots on disk that are damaged, forged or for another machine: typed errors and nothing else.

#[expect(dead_code, reason = "each test file uses a part of it")]
#[path = "support/stores.rs"]
mod stores;
#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use ampoule_hypervisor::BACKENDS;
use ampoule_sandbox::Budget;
use ampoule_sandbox::store::SnapshotStoreError::{Incompatible, Store};
use ampoule_sandbox::store::{self, LoadOptions, StoreError};
use ampoule_testkit::kvm_is_available;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use stores::{
    GO_ON, NONE, Scratch, ask, copy_store, files, forge, load, memory_layers, put, sandbox_of, save,
};
use support::{call, ready};

/// A load that ends in an error of the right kind, or in the snapshot that was saved.
#[expect(clippy::panic, reason = "an error of another kind fails the test")]
fn ends_well(store: &Path, what: &str) -> bool {
    match load(store, "second") {
        Ok(_) => true,
        Err(
            Store(StoreError::Corrupt { .. })
            | Incompatible { .. }
            | Store(StoreError::NotFound { .. }),
        ) => false,
        Err(other) => panic!("{what}: {other:?}"),
    }
}

#[test]
fn every_damage_is_a_typed_error() {
    if !kvm_is_available() {
        return;
    }
    let scratch = Scratch::new();
    let store = scratch.store();
    let mut sandbox = ready("testing");
    save(&sandbox.snapshot().unwrap(), &store, "first");
    ask::<u64>(&mut sandbox, "counter", &NONE);
    let saved = save(&sandbox.snapshot().unwrap(), &store, "second");
    assert_eq!(memory_layers(&saved), ["base", "pages"]);
    // Files that `second` is not made of do not matter to it.
    let needed = |file: &Path| {
        let bytes = fs::read(file).unwrap();
        let copy = scratch.0.join("without");
        copy_store(&store, &copy);
        fs::remove_file(copy.join(file.strip_prefix(&store).unwrap())).unwrap();
        let is_needed = !ends_well(&copy, "removed");
        fs::remove_dir_all(&copy).unwrap();
        is_needed.then_some(bytes)
    };
    let all = files(&store);
    let mut needed_files = 0;
    for file in &all {
        let Some(bytes) = needed(file) else { continue };
        needed_files += 1;
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        // The index may be changed in places that say nothing about this snapshot.
        let is_free = name == "index.json" || name == "oci-layout";
        let damaged = |what: &str, changed: &[u8]| {
            put(file, changed);
            let fine = ends_well(&store, &format!("{name} {what}"));
            assert!(!fine || is_free, "{name} {what} was loaded");
        };
        let step = (bytes.len() / 24).max(1);
        for at in (0..bytes.len()).step_by(step).chain([bytes.len() - 1]) {
            for bit in [0, 7] {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                damaged(&format!("flipped at {at}"), &changed);
            }
        }
        for keep in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            damaged(&format!("cut to {keep}"), &bytes[..keep]);
        }
        damaged("grown", &[&bytes[..], b"\n{"].concat());
        damaged("of zeros", &vec![0; bytes.len()]);
        for other in all.iter().filter(|other| *other != file) {
            damaged("swapped", &fs::read(other).unwrap());
        }
        let not_a_file = |what: &str| {
            assert!(!ends_well(&store, what), "{name} {what} was loaded");
            let is_directory = fs::symlink_metadata(file).unwrap().is_dir();
            if is_directory { fs::remove_dir(file) } else { fs::remove_file(file) }.unwrap();
        };
        let aside = scratch.0.join("aside");
        fs::write(&aside, &bytes).unwrap();
        fs::remove_file(file).unwrap();
        symlink(&aside, file).unwrap();
        not_a_file("a link to its own bytes");
        symlink(file, file).unwrap();
        not_a_file("a link to itself");
        fs::create_dir(file).unwrap();
        not_a_file("a directory");
        rustix::fs::mkfifoat(rustix::fs::CWD, file, rustix::fs::Mode::from_raw_mode(0o600))
            .unwrap();
        not_a_file("a fifo");
        assert!(!ends_well(&store, "missing"), "{name} is missing");
        fs::write(file, &bytes).unwrap();
        assert!(ends_well(&store, "mended"), "{name} was mended");
    }
    assert_eq!(
        needed_files, 8,
        "layout, index, manifest, configuration, 2 x memory, interface, program"
    );
    // Directories that lead elsewhere.
    for name in ["blobs", "blobs/sha256"] {
        let (place, aside) = (store.join(name), scratch.0.join("moved"));
        fs::rename(&place, &aside).unwrap();
        symlink(&aside, &place).unwrap();
        assert!(!ends_well(&store, name), "{name} is a link");
        fs::remove_file(&place).unwrap();
        fs::write(&place, "file").unwrap();
        assert!(!ends_well(&store, name), "{name} is a file");
        fs::remove_file(&place).unwrap();
        fs::rename(&aside, &place).unwrap();
    }
    assert!(ends_well(&store, "mended"));
}

#[test]
fn snapshots_for_other_machines_and_forged_ones_are_refused() {
    type Change = fn(&mut Value);
    if !kvm_is_available() {
        return;
    }
    let scratch = Scratch::new();
    let original = scratch.store();
    save(&ready("testing").snapshot().unwrap(), &original, "tag");
    let incompatible: [(&str, Change); 8] = [
        ("format", |config| config["format"] = 1.into()),
        ("abi", |config| config["abiVersion"] = (2 << 16).into()),
        ("architecture", |config| config["architecture"] = "riscv64".into()),
        ("system-pages", |config| {
            config["systemPages"] = format!("sha256:{}", "0".repeat(64)).into()
        }),
        ("cpu-features", |config| config["processor"]["cpuid"]["7.0.ecx"] = "0xffffffff".into()),
        ("cpu-features", |config| config["processor"]["cpuid"]["9.9.eax"] = "0x1".into()),
        ("cpu-features", |config| config["processor"]["xcr0"] = "0x60000".into()),
        ("cpu-features", |config| config["processor"]["hypervisor"] = "other".into()),
    ];
    let corrupt: [(&str, Change); 16] = [
        ("more memory", |config| config["space"]["limit"] = (1_u64 << 50).into()),
        ("other root", |config| config["space"]["root"] = 7.into()),
        ("fewer pages", |config| config["space"]["used"] = 600.into()),
        ("other rights", |config| config["space"]["areas"][0]["write"] = true.into()),
        ("other channel", |config| config["limits"]["messageBytes"] = 4032.into()),
        ("huge channel", |config| config["limits"]["messageBytes"] = u64::MAX.into()),
        ("other stack", |config| config["limits"]["stackBytes"] = 0.into()),
        ("other memory", |config| config["limits"]["memoryBytes"] = (1 << 30).into()),
        ("flags", |config| config["registers"]["general"][17] = "0x23202".into()),
        ("address", |config| config["registers"]["general"][16] = "0x8000000000000000".into()),
        ("fewer registers", |config| config["registers"]["general"] = Value::Array(Vec::new())),
        ("state", |config| config["registers"]["extended"] = "ff".repeat(600).into()),
        ("odd digits", |config| config["registers"]["extended"] = "fff".into()),
        ("directory", |config| config["personality"]["files"]["directory"] = 9999.into()),
        ("imports", |config| config["requiredHostFunctions"] = Value::Array(vec!["x".into()])),
        ("unknown field", |config| config["surprise"] = 1.into()),
    ];
    let forged = |change: Change| {
        let copy = scratch.0.join("forged");
        copy_store(&original, &copy);
        forge(&copy, change);
        let result = load(&copy, "tag");
        fs::remove_dir_all(&copy).unwrap();
        result
    };
    assert!(forged(|_| {}).is_ok());
    for (reason, change) in incompatible {
        match forged(change) {
            Err(Incompatible { reason: found, .. }) => assert_eq!(found.word(), reason),
            other => panic!("{reason}: {other:?}"),
        }
    }
    for (what, change) in corrupt {
        let refused = forged(change);
        assert!(matches!(refused, Err(Store(StoreError::Corrupt { .. }))), "{what}: {refused:?}");
    }
}

#[test]
fn damaged_memory_that_nobody_verifies_harms_only_its_guest() {
    if !kvm_is_available() {
        return;
    }
    let scratch = Scratch::new();
    let store = scratch.store();
    let saved = save(&ready("testing").snapshot().unwrap(), &store, "tag");
    let base = &saved.layers[0].1["sha256:".len()..];
    let path = store.join("blobs/sha256").join(base);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o444);
    let bytes = fs::read(&path).unwrap();
    let options = LoadOptions { tag: "tag".into(), verify: false, backends: BACKENDS };
    let budget = Budget { wall: Some(std::time::Duration::from_millis(200)), cpu: None };
    let (mut ran, mut refused) = (0, 0);
    for at in (0..bytes.len()).step_by(bytes.len() / 60).chain((0..64).map(|page| page * 4096 + 8))
    {
        let mut changed = bytes.clone();
        changed[at..].iter_mut().take(8).for_each(|byte| *byte ^= 0xa7);
        put(&path, &changed);
        match store::load(&store, &options, &GO_ON) {
            Ok(loaded) => {
                let mut sandbox = sandbox_of(&loaded.snapshot);
                call(&mut sandbox, "add", &(1, 2), budget);
                ran += 1;
            }
            Err(Store(StoreError::Corrupt { .. })) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(ran > 0 && refused > 0, "{ran} ran, {refused} were refused");
}

#[test]
fn a_damaged_blob_is_mended_by_saving_it_again() {
    if !kvm_is_available() {
        return;
    }
    let scratch = Scratch::new();
    let store = scratch.store();
    let snapshot = ready("testing").snapshot().unwrap();
    let saved = save(&snapshot, &store, "tag");
    for (kind, digest, _) in &saved.layers {
        let path = store.join("blobs/sha256").join(&digest["sha256:".len()..]);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        put(&path, &bytes);
        assert!(matches!(load(&store, "tag"), Err(Store(StoreError::Corrupt { .. }))), "{kind}");
        let finding = &store::verify(&store, &GO_ON).unwrap()[0];
        assert!(finding.problem.is_some(), "{kind}");
        save(&snapshot, &store, "tag");
        assert!(load(&store, "tag").is_ok(), "{kind}");
    }
}
