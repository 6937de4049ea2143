//! What the tests of stores share.

#![expect(clippy::unwrap_used, reason = "test support: failing loudly is the point")]

use crate::support::{self, call, result};
use ampoule_hypervisor::BACKENDS;
use ampoule_sandbox::store::{self, LoadOptions, SaveOptions, Saved, SnapshotStoreError};
use ampoule_sandbox::{Budget, Sandbox, Snapshot, Step};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A directory that goes away with the value.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("ampoule-store-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.0.join("store")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) static GO_ON: AtomicBool = AtomicBool::new(false);

pub(crate) fn save(snapshot: &Snapshot, path: &Path, tag: &str) -> Saved {
    try_save(snapshot, path, tag).unwrap()
}

pub(crate) fn try_save(
    snapshot: &Snapshot,
    path: &Path,
    tag: &str,
) -> Result<Saved, SnapshotStoreError> {
    let metadata = BTreeMap::from([("saved-by".to_owned(), "a test".to_owned())]);
    let options = SaveOptions { tag: tag.into(), name: "testing".into(), metadata };
    store::save(snapshot, path, &options, &GO_ON)
}

pub(crate) fn load(path: &Path, tag: &str) -> Result<Snapshot, SnapshotStoreError> {
    let options = LoadOptions { tag: tag.into(), verify: true, backends: BACKENDS };
    let loaded = store::load(path, &options, &GO_ON)?;
    assert_eq!(loaded.name, "testing");
    Ok(loaded.snapshot)
}

pub(crate) fn sandbox_of(snapshot: &Snapshot) -> Sandbox {
    support::from_snapshot(snapshot)
}

pub(crate) fn ask<T: for<'a> serde::Deserialize<'a>>(
    sandbox: &mut Sandbox,
    name: &str,
    values: &impl serde::Serialize,
) -> T {
    let step = call(sandbox, name, values, Budget::default());
    assert_eq!(step, Step::Return, "{name}: {:?}", sandbox.state());
    result(sandbox)
}

pub(crate) const NONE: [u8; 0] = [];

/// A byte string.
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl<'de> serde::Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

/// Kinds of the layers of memory.
pub(crate) fn memory_layers(saved: &Saved) -> Vec<&'static str> {
    let kinds = saved.layers.iter().map(|layer| layer.0);
    kinds.filter(|kind| ["base", "pages"].contains(kind)).collect()
}

/// Every file of a store.
pub(crate) fn files(store: &Path) -> Vec<PathBuf> {
    let blobs =
        fs::read_dir(store.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    [store.join("oci-layout"), store.join("index.json")].into_iter().chain(blobs).collect()
}

pub(crate) fn copy_store(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("blobs/sha256")).unwrap();
    for file in files(from) {
        fs::copy(&file, to.join(file.strip_prefix(from).unwrap())).unwrap();
    }
}

/// Puts bytes in the place of a file.
pub(crate) fn put(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A store with other digests but the same tag, whose configuration went through `change`.
pub(crate) fn forge(store: &Path, change: impl Fn(&mut Value)) {
    let blob = |hex: &str| store.join("blobs/sha256").join(hex);
    let read = |path: &Path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
    let hex = |value: &Value| value["digest"].as_str().unwrap()["sha256:".len()..].to_owned();
    let rename = |descriptor: &mut Value, bytes: &[u8]| {
        fs::write(blob(&digest(bytes)), bytes).unwrap_or(());
        descriptor["digest"] = format!("sha256:{}", digest(bytes)).into();
        descriptor["size"] = bytes.len().into();
    };
    let mut index = read(&store.join("index.json"));
    let mut manifest = read(&blob(&hex(&index["manifests"][0])));
    let mut config = read(&blob(&hex(&manifest["config"])));
    change(&mut config);
    rename(&mut manifest["config"], &serde_json::to_vec(&config).unwrap());
    rename(&mut index["manifests"][0], &serde_json::to_vec(&manifest).unwrap());
    fs::write(store.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
}

/// Mappings of this process.
pub(crate) fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}
