//! Looking at a store without loading from it, and taking away what nothing names.

use super::directory::{self, BLOBS, Directory, INDEX_FILE};
use super::error::StoreError;
use super::layout::{Index, Layer};
use super::load::Parts;
use super::lock::{self, Lock};
use super::write;
use rustix::fs::AtFlags;
use rustix::io::Errno;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// A snapshot of a store, and what is wrong with it.
#[derive(Debug)]
pub struct Finding {
    /// Its tag.
    pub tag: String,
    /// Digest of its manifest.
    pub digest: String,
    /// What is wrong, if something is.
    pub problem: Option<StoreError>,
}

/// What [`prune`] removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Blobs.
    pub blobs: u64,
    /// Their bytes, holes included.
    pub bytes: u64,
}

/// What is in the store at `path`, or about one snapshot of it, as JSON. Memory is not read.
///
/// # Errors
/// [`StoreError`].
pub fn inspect(path: &Path, tag: Option<&str>) -> Result<Value, StoreError> {
    let directory = Directory::open(path, tag)?;
    match tag {
        Some(tag) => about(&directory, tag),
        None => {
            let index = index_of(&directory)?;
            let tags: Vec<&str> = index.snapshots().filter_map(|entry| entry.tag()).collect();
            tags.into_iter().map(|tag| about(&directory, tag)).collect::<Result<Value, _>>()
        }
    }
}

fn about(directory: &Directory, tag: &str) -> Result<Value, StoreError> {
    let entry = directory.entry(tag)?;
    let manifest = directory.manifest(&entry)?;
    let parts = Parts::open(directory, &entry, &manifest)?;
    let layers = manifest.layers.iter().filter_map(|layer| {
        let kind = Layer::of(layer)?.word();
        Some(json!({ "kind": kind, "digest": layer.digest, "bytes": layer.size }))
    });
    let layers: Vec<Value> = layers.collect();
    let exports: Vec<&str> =
        parts.interface.exports.iter().map(|export| export.name.as_str()).collect();
    let mut summary = parts.config.summary();
    if let Value::Object(summary) = &mut summary {
        summary.insert("tag".into(), tag.into());
        summary.insert("digest".into(), entry.digest.to_string().into());
        summary.insert("layers".into(), layers.into());
        summary.insert("exports".into(), exports.into());
        let used = parts.config.space.used * ampoule_abi::layout::PAGE_SIZE;
        summary.insert("memoryBytes".into(), used.into());
    }
    Ok(summary)
}

fn index_of(directory: &Directory) -> Result<Index, StoreError> {
    Ok(directory.index()?.unwrap_or_else(Index::new))
}

/// Checks every snapshot of the store at `path`: all digests, and every document.
///
/// Cost: reading all of it, shared blobs once for each snapshot.
///
/// # Errors
/// [`StoreError`] when the store itself cannot be read, or for [`StoreError::Stopped`].
pub fn verify(path: &Path, stop: &AtomicBool) -> Result<Vec<Finding>, StoreError> {
    let directory = Directory::open(path, None)?;
    let mut findings = Vec::new();
    for entry in index_of(&directory)?.snapshots() {
        let checked = directory
            .manifest(entry)
            .and_then(|manifest| Parts::open(&directory, entry, &manifest))
            .and_then(|parts| parts.verify_all(&directory, stop));
        let problem = match checked {
            Ok(()) => None,
            Err(StoreError::Stopped) => return Err(StoreError::Stopped),
            Err(error) => Some(error),
        };
        findings.push(Finding {
            tag: entry.tag().unwrap_or_default().to_owned(),
            digest: entry.digest.to_string(),
            problem,
        });
    }
    Ok(findings)
}

/// Removes the blobs that no manifest in the index of the store at `path` names, and what dead savers
/// left. Waits until nobody saves. What is mapped stays readable for whoever maps it.
///
/// # Errors
/// [`StoreError`]. Nothing is removed when a manifest cannot be read, or is one of another program's:
/// then what it names is not known.
pub fn prune(path: &Path, stop: &AtomicBool) -> Result<Pruned, StoreError> {
    let directory = Directory::open(path, None)?;
    let _alone = Lock::exclusive(&directory.root, lock::SAVING, stop)?;
    let _index = Lock::exclusive(&directory.root, lock::INDEX, stop)?;
    write::remove_temporaries(&directory.root, "the store")?;
    write::remove_temporaries(&directory.blobs, BLOBS)?;
    let mut named = BTreeSet::new();
    for entry in &index_of(&directory)?.manifests {
        if !entry.is_snapshot() {
            let what = format!("it names {}, which is no snapshot", entry.digest);
            return Err(StoreError::corrupt(INDEX_FILE, what));
        }
        let manifest = directory.manifest(entry)?;
        named.insert(entry.digest.hex());
        named.insert(manifest.config.digest.hex());
        named.extend(manifest.layers.iter().map(|layer| layer.digest.hex()));
    }
    let mut pruned = Pruned::default();
    let listing = rustix::fs::Dir::read_from(&directory.blobs);
    for found in listing.map_err(StoreError::io::<Errno>("read", BLOBS))? {
        let found = found.map_err(StoreError::io::<Errno>("read", BLOBS))?;
        let name = found.file_name().to_string_lossy().into_owned();
        let is_digest = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_digest || named.contains(&name) {
            continue;
        }
        let shown = format!("{BLOBS}/{name}");
        // What is no file is nobody's blob, and not ours to remove.
        let Ok(Some((_, size))) = directory::open_file(&directory.blobs, &name, &shown) else {
            continue;
        };
        rustix::fs::unlinkat(&directory.blobs, name.as_str(), AtFlags::empty())
            .map_err(StoreError::io::<Errno>("remove", &shown))?;
        pruned.blobs += 1;
        pruned.bytes += size;
    }
    write::sync(&directory.blobs, BLOBS)?;
    Ok(pruned)
}
