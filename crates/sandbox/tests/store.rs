//! Snapshots on disk: what was saved is what is loaded.

#[expect(dead_code, reason = "each test file uses a part of it")]
#[path = "support/stores.rs"]
mod stores;
#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use ampoule_sandbox::store::SnapshotStoreError::Store;
use ampoule_sandbox::store::{self, SaveOptions, SnapshotStoreError, StoreError};
use ampoule_sandbox::{File, Sandbox, Snapshot};
use ampoule_testkit::kvm_is_available;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::AtomicBool;
use stores::{
    Bytes, GO_ON, NONE, Scratch, ask, load, mappings, memory_layers, sandbox_of, save, try_save,
};
use support::{functions, ready, start};

#[test]
fn a_loaded_guest_goes_on_where_it_was_saved() {
    if !kvm_is_available() {
        return;
    }
    let scratch = Scratch::new();
    let mut config = functions("testing");
    config.files.push(File { path: b"/data/large".to_vec(), contents: vec![7; 100_000].into() });
    config.environment.push(b"NAME=value".to_vec());
    let mut original = start(&config);
    assert_eq!(ask::<u64>(&mut original, "counter", &NONE), 1);
    let snapshot = original.snapshot().unwrap();
    let saved = save(&snapshot, &scratch.store(), "latest");
    assert_eq!(memory_layers(&saved), ["base"]);
    assert!(saved.new_bytes > 1 << 20, "{saved:?}");

    let loaded = load(&scratch.store(), "latest").unwrap();
    assert_eq!(loaded.interface(), snapshot.interface());
    let mut sandboxes = [sandbox_of(&loaded), sandbox_of(&loaded)];
    for sandbox in &mut sandboxes {
        assert_eq!(ask::<u64>(sandbox, "counter", &NONE), 2);
        assert!(ask::<bool>(sandbox, "was_prepared", &NONE));
        assert_eq!(ask::<Option<String>>(sandbox, "env", &("NAME",)).unwrap(), "value");
        let statistics = sandbox.statistics();
        assert_eq!(statistics.initialisations, 0);
        assert!(statistics.system_calls.is_empty(), "{:?}", statistics.system_calls);
        let file: Vec<u8> = ask::<Bytes>(sandbox, "read_file", &("/data/large",)).0;
        assert_eq!(file, vec![7; 100_000]);
    }
    // It can be gone back to, also by a sandbox that came from elsewhere.
    for sandbox in sandboxes.iter_mut().chain([&mut original]) {
        sandbox.restore(Some(&loaded)).unwrap();
        assert_eq!(ask::<u64>(sandbox, "counter", &NONE), 2);
    }
    // And be saved again: nothing of it is new.
    let again = save(&loaded, &scratch.store(), "again");
    assert!(again.new_bytes < 100_000, "{again:?}");
    assert_eq!(memory_layers(&again), ["base"]);
}

#[test]
fn a_guest_may_have_more_files_than_a_process_has_descriptors() {
    if !kvm_is_available() {
        return;
    }
    let scratch = Scratch::new();
    let mut config = functions("testing");
    let contents: std::sync::Arc<[u8]> = vec![7; 2000].into();
    let file = |number: u32| File {
        path: format!("/data/{number}").into_bytes(),
        contents: std::sync::Arc::clone(&contents),
    };
    config.files = (0..1500).map(file).collect();
    let path = scratch.0.join("made/on/the/way");
    let saved = save(&start(&config).snapshot().unwrap(), &path, "latest");
    assert!(saved.layers.len() > 1500);
    let mut sandbox = sandbox_of(&load(&path, "latest").unwrap());
    assert_eq!(ask::<Bytes>(&mut sandbox, "read_file", &("/data/1499",)).0, vec![7; 2000]);
    assert!(store::verify(&path, &GO_ON).unwrap()[0].problem.is_none());
}

#[test]
fn a_snapshot_of_a_saved_one_takes_only_its_changes() {
    if !kvm_is_available() {
        return;
    }
    let scratch = Scratch::new();
    let mut sandbox = ready("testing");
    ask::<u64>(&mut sandbox, "hold_pages", &(2000,));
    let first = save(&sandbox.snapshot().unwrap(), &scratch.store(), "first");
    assert!(first.new_bytes > 8 << 20);
    // Few runs are mapped where they lie, many are put together.
    for (tag, stride, most) in [("few", 1000, 1 << 20), ("many", 50, 2 << 20)] {
        ask::<()>(&mut sandbox, "mark_pages", &(stride, 201));
        let sum: u64 = ask(&mut sandbox, "sum_pages", &NONE);
        let saved = save(&sandbox.snapshot().unwrap(), &scratch.store(), tag);
        assert_eq!(memory_layers(&saved), ["base", "pages"]);
        assert_eq!(saved.layers[0], first.layers[0], "the base is shared");
        assert!(saved.new_bytes < most, "{tag}: {saved:?}");
        let loaded = load(&scratch.store(), tag).unwrap();
        let mut again = sandbox_of(&loaded);
        assert_eq!(ask::<u64>(&mut again, "sum_pages", &NONE), sum);
        ask::<()>(&mut again, "mark_pages", &(1, 3));
        again.restore(Some(&loaded)).unwrap();
        assert_eq!(ask::<u64>(&mut again, "sum_pages", &NONE), sum);
        // What is loaded has the same base for what comes after it.
        ask::<()>(&mut again, "mark_pages", &(700, 9));
        let next = save(&again.snapshot().unwrap(), &scratch.store(), "next");
        assert_eq!(next.layers[0], first.layers[0]);
    }
    let mut oldest = sandbox_of(&load(&scratch.store(), "first").unwrap());
    ask::<u64>(&mut oldest, "sum_pages", &NONE);
}

#[test]
fn saving_again_replaces_a_tag_and_pruning_takes_the_rest_away() {
    if !kvm_is_available() {
        return;
    }
    let scratch = Scratch::new();
    let store = scratch.store();
    let mut sandbox = ready("testing");
    let first = sandbox.snapshot().unwrap();
    save(&first, &store, "kept");
    let one = save(&first, &store, "tag");
    ask::<u64>(&mut sandbox, "counter", &NONE);
    let two = save(&sandbox.snapshot().unwrap(), &store, "tag");
    assert_ne!(one.digest, two.digest);
    let index: Value =
        serde_json::from_slice(&fs::read(store.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    let mut again = sandbox_of(&load(&store, "tag").unwrap());
    assert_eq!(ask::<u64>(&mut again, "counter", &NONE), 2);

    // Only what no tag needs goes.
    save(&first, &store, "tag");
    let pruned = store::prune(&store, &GO_ON).unwrap();
    assert!(pruned.blobs >= 2, "{pruned:?}");
    assert_eq!(store::prune(&store, &GO_ON).unwrap().blobs, 0);
    for tag in ["kept", "tag"] {
        let mut again = sandbox_of(&load(&store, tag).unwrap());
        assert_eq!(ask::<u64>(&mut again, "counter", &NONE), 1);
    }
    let findings = store::verify(&store, &GO_ON).unwrap();
    assert_eq!(findings.len(), 2);
    assert!(findings.iter().all(|finding| finding.problem.is_none()), "{findings:?}");
    let about = store::inspect(&store, Some("kept")).unwrap();
    assert_eq!(about["metadata"]["saved-by"], "a test");
    assert!(about["exports"].as_array().unwrap().contains(&"counter".into()));
    assert_eq!(store::inspect(&store, None).unwrap().as_array().unwrap().len(), 2);
}

#[test]
fn what_is_not_there_is_not_found() {
    if !kvm_is_available() {
        return;
    }
    let scratch = Scratch::new();
    let store = scratch.store();
    let missing = |result: Result<Snapshot, SnapshotStoreError>| {
        assert!(matches!(result, Err(Store(StoreError::NotFound { .. }))), "{result:?}");
    };
    missing(load(&store, "tag"));
    fs::create_dir(&store).unwrap();
    missing(load(&store, "tag"));
    let snapshot = ready("testing").snapshot().unwrap();
    save(&snapshot, &store, "a/b-c:1.0");
    missing(load(&store, "tag"));
    assert!(load(&store, "a/b-c:1.0").is_ok());
    for tag in ["", "-a", "a-", "a b", "ü", &"x".repeat(129)] {
        let refused = try_save(&snapshot, &store, tag);
        assert!(
            matches!(refused, Err(Store(StoreError::Invalid { option: "tag", .. }))),
            "{refused:?}"
        );
    }
    let metadata = BTreeMap::from([("key".to_owned(), "x".repeat(70_000))]);
    let options = SaveOptions { tag: "t".into(), name: "n".into(), metadata };
    let refused = store::save(&snapshot, &store, &options, &GO_ON);
    assert!(matches!(refused, Err(Store(StoreError::Invalid { option: "metadata", .. }))));
    // A directory of somebody else's is left alone.
    let other = scratch.0.join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("file"), "text").unwrap();
    let refused = try_save(&snapshot, &other, "tag");
    assert!(
        matches!(refused, Err(Store(StoreError::Invalid { option: "path", .. }))),
        "{refused:?}"
    );
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
    // One that stopped before it began.
    let stopped = AtomicBool::new(true);
    let options = SaveOptions { tag: "t".into(), name: "n".into(), metadata: BTreeMap::new() };
    let refused = store::save(&snapshot, &store, &options, &stopped);
    assert!(matches!(refused, Err(Store(StoreError::Stopped))), "{refused:?}");
    missing(load(&store, "t"));
}

#[test]
fn many_savers_at_once_lose_nothing() {
    if !kvm_is_available() {
        return;
    }
    let scratch = Scratch::new();
    let store = scratch.store();
    let mut sandbox = ready("testing");
    let snapshots: Vec<Snapshot> = (0..3)
        .map(|_| {
            ask::<u64>(&mut sandbox, "counter", &NONE);
            sandbox.snapshot().unwrap()
        })
        .collect();
    std::thread::scope(|scope| {
        for (saver, snapshot) in snapshots.iter().enumerate() {
            let store = &store;
            scope.spawn(move || {
                for number in 0..8 {
                    save(snapshot, store, &format!("{saver}-{number}"));
                    save(snapshot, store, "shared");
                }
            });
        }
        let store = &store;
        scope.spawn(move || {
            for _ in 0..8 {
                // There may be no store yet.
                let _ = store::prune(store, &GO_ON);
            }
        });
    });
    for saver in 0..3 {
        for number in [0, 7] {
            let loaded = load(&store, &format!("{saver}-{number}")).unwrap();
            assert_eq!(ask::<u64>(&mut sandbox_of(&loaded), "counter", &NONE), saver + 2);
        }
    }
    let findings = store::verify(&store, &GO_ON).unwrap();
    assert_eq!(findings.len(), 25);
    assert!(findings.iter().all(|finding| finding.problem.is_none()), "{findings:?}");
}

#[test]
fn what_dead_savers_left_is_removed_and_what_live_ones_write_is_not() {
    if !kvm_is_available() {
        return;
    }
    let scratch = Scratch::new();
    let store = scratch.store();
    let snapshot = ready("testing").snapshot().unwrap();
    save(&snapshot, &store, "tag");
    let left = [store.join("blobs/sha256/.tmp-0123456789abcdef"), store.join(".tmp-00")];
    let leave = || left.iter().for_each(|path| fs::write(path, "half").unwrap());
    leave();
    let alive = fs::File::open(store.join(".saving")).unwrap();
    alive.lock_shared().unwrap();
    save(&snapshot, &store, "tag");
    assert!(left.iter().all(|path| path.exists()), "somebody may be writing them");
    drop(alive);
    save(&snapshot, &store, "tag");
    assert!(!left.iter().any(|path| path.exists()));
    leave();
    store::prune(&store, &GO_ON).unwrap();
    assert!(!left.iter().any(|path| path.exists()));
}

/// A thousand sandboxes in as many extents as are ever mapped one by one stay far below the 65,530
/// mappings that `vm.max_map_count` allows a process.
#[test]
fn a_sandbox_takes_few_mappings() {
    if !kvm_is_available() {
        return;
    }
    let scratch = Scratch::new();
    let store = scratch.store();
    let mut sandbox = ready("testing");
    ask::<u64>(&mut sandbox, "hold_pages", &(6000,));
    save(&sandbox.snapshot().unwrap(), &store, "base");
    ask::<()>(&mut sandbox, "mark_pages", &(1400, 201));
    save(&sandbox.snapshot().unwrap(), &store, "tag");
    let loaded = load(&store, "tag").unwrap();
    let extents = |path: &str| {
        let maps = fs::read_to_string(path).unwrap();
        maps.lines().filter(|line| line.contains("blobs/sha256")).count()
    };
    let (before, extents_before) = (mappings(), extents("/proc/self/maps"));
    let sandboxes: Vec<Sandbox> = (0..64).map(|_| sandbox_of(&loaded)).collect();
    let of_one = (mappings() - before) / sandboxes.len();
    let extents = (extents("/proc/self/maps") - extents_before) / sandboxes.len();
    println!("{of_one} mappings for a sandbox over {extents} extents");
    assert!(extents >= 10, "{extents}");
    assert!(of_one * 1000 < 65_530 / 2, "{of_one}");
}

#[test]
fn memory_is_mapped_and_not_copied() {
    if !kvm_is_available() {
        return;
    }
    let scratch = Scratch::new();
    let store = scratch.store();
    let mut sandbox = ready("testing");
    ask::<u64>(&mut sandbox, "hold_pages", &(4000,));
    let saved = save(&sandbox.snapshot().unwrap(), &store, "tag");
    drop(sandbox);
    let loaded = load(&store, "tag").unwrap();
    let before = mappings();
    let mut again = sandbox_of(&loaded);
    assert!(mappings() - before < 30);
    ask::<u64>(&mut again, "sum_pages", &NONE);
    // Of the mappings of the base, next to nothing is this process's own although all was read. Copied
    // pages are anonymous; `Private_Dirty` would count a tmpfs's own pages too.
    let base = &saved.layers[0].1["sha256:".len()..];
    let (mut mapped, mut own) = (0, 0);
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut is_base = false;
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let (name, value) = (words.next().unwrap_or_default(), words.next());
        let kilobytes = value.and_then(|value| value.parse::<u64>().ok()).unwrap_or_default();
        match name {
            name if !name.ends_with(':') => is_base = line.contains(base),
            "Rss:" if is_base => mapped += kilobytes,
            "Anonymous:" if is_base => own += kilobytes,
            _ => {}
        }
    }
    println!("mapped {mapped} KiB of the base, of these private {own} KiB");
    assert!(mapped > 16_000, "{mapped}");
    assert!(own < 1_000, "{own}");
}
