//! A store without a sandbox: blobs of whatever bytes, named, damaged and taken away.

use crate::{CONFIG_TYPE, Committed, Descriptor, Directory, StoreError, Writer, prune};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

static GO_ON: AtomicBool = AtomicBool::new(false);
const KIND: &str = "application/vnd.test";

/// A directory that goes away with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ampoule-artifacts-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn store(&self) -> PathBuf {
        self.0.join("store")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn save(path: &Path, tag: &str, layer: &[u8]) -> Result<Committed, StoreError> {
    let directory = Directory::create(path, &GO_ON)?;
    let mut writer = Writer::begin(&directory, &GO_ON)?;
    let layer = writer.add(KIND, layer)?;
    let config = writer.add(CONFIG_TYPE, b"{}")?;
    writer.commit(config, vec![layer], tag)
}

fn load(path: &Path, tag: &str) -> Result<Vec<u8>, StoreError> {
    let directory = Directory::open(path, Some(tag))?;
    let manifest = directory.manifest(&directory.entry(tag)?)?;
    directory.blob(manifest.only(KIND).unwrap())?.read(1000)
}

fn blob_of(path: &Path, tag: &str) -> PathBuf {
    let directory = Directory::open(path, None).unwrap();
    let manifest = directory.manifest(&directory.entry(tag).unwrap()).unwrap();
    path.join("blobs/sha256").join(manifest.layers[0].digest.hex())
}

#[test]
fn a_tag_names_what_was_saved_last() {
    let scratch = Scratch::new();
    let store = scratch.store();
    assert!(matches!(load(&store, "tag"), Err(StoreError::NotFound { .. })));
    let first = save(&store, "tag", b"first").unwrap();
    let manifest = fs::metadata(store.join("blobs/sha256").join(first.digest.hex())).unwrap().len();
    assert_eq!(first.new_bytes, 5 + 2 + manifest);
    save(&store, "other", b"first").unwrap();
    save(&store, "tag", b"second").unwrap();
    assert_eq!(load(&store, "tag").unwrap(), b"second");
    assert_eq!(load(&store, "other").unwrap(), b"first");
    let entries = Directory::open(&store, None).unwrap().snapshots().unwrap();
    let tags: Vec<_> = entries.iter().map(|entry| entry.tag().unwrap()).collect();
    assert_eq!(tags, ["other", "tag"]);
    assert!(matches!(load(&store, "none"), Err(StoreError::NotFound { .. })));
}

#[test]
fn a_blob_that_is_there_is_not_written_again_unless_it_is_damaged() {
    let scratch = Scratch::new();
    let store = scratch.store();
    save(&store, "tag", b"layer").unwrap();
    assert_eq!(save(&store, "tag", b"layer").unwrap().new_bytes, 0);
    let blob = blob_of(&store, "tag");
    for damage in [&b"lAyer"[..], b"layers", b""] {
        fs::remove_file(&blob).unwrap();
        fs::write(&blob, damage).unwrap();
        assert!(matches!(load(&store, "tag"), Err(StoreError::Corrupt { .. })), "{damage:?}");
        assert_eq!(save(&store, "tag", b"layer").unwrap().new_bytes, 5);
        assert_eq!(load(&store, "tag").unwrap(), b"layer");
    }
}

#[test]
fn what_is_not_committed_is_named_by_nothing_and_pruned() {
    let scratch = Scratch::new();
    let store = scratch.store();
    save(&store, "tag", b"kept").unwrap();
    let directory = Directory::open(&store, None).unwrap();
    let mut writer = Writer::begin(&directory, &GO_ON).unwrap();
    let layer = writer.add(KIND, b"abandoned").unwrap();
    let failed = writer.add_with(Descriptor::new(KIND, layer.digest, 4), |_| {
        Err(StoreError::corrupt("the source", "it fails"))
    });
    assert!(failed.is_err());
    drop(writer);
    let pruned = prune(&store, &GO_ON).unwrap();
    assert_eq!((pruned.blobs, pruned.bytes), (1, 9));
    assert_eq!(load(&store, "tag").unwrap(), b"kept");
}

#[test]
fn pruning_waits_for_a_writer_and_can_be_stopped() {
    let scratch = Scratch::new();
    let store = scratch.store();
    save(&store, "tag", b"kept").unwrap();
    let directory = Directory::open(&store, None).unwrap();
    let writer = Writer::begin(&directory, &GO_ON).unwrap();
    let stop = AtomicBool::new(true);
    assert!(matches!(prune(&store, &stop), Err(StoreError::Stopped)));
    drop(writer);
    assert_eq!(prune(&store, &stop).unwrap().blobs, 0);
}
