//! Looking at a store without loading from it.

use super::error::SnapshotStoreError;
use super::layer::Layer;
use super::parts::Parts;
use ampoule_store::{Directory, Pruned, StoreError};
use serde_json::{Value, json};
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
    pub problem: Option<SnapshotStoreError>,
}

/// What is in the store at `path`, or about one snapshot of it, as JSON. Memory is not read.
///
/// # Errors
/// [`SnapshotStoreError`].
pub fn inspect(path: &Path, tag: Option<&str>) -> Result<Value, SnapshotStoreError> {
    let directory = Directory::open(path, tag)?;
    match tag {
        Some(tag) => about(&directory, tag),
        None => {
            let snapshots = directory.snapshots()?;
            let tags = snapshots.iter().filter_map(|entry| entry.tag());
            tags.map(|tag| about(&directory, tag)).collect::<Result<Value, _>>()
        }
    }
}

fn about(directory: &Directory, tag: &str) -> Result<Value, SnapshotStoreError> {
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

/// Checks every snapshot of the store at `path`: all digests, and every document.
///
/// Cost: reading all of it, shared blobs once for each snapshot.
///
/// # Errors
/// [`SnapshotStoreError`] when the store itself cannot be read, or for [`StoreError::Stopped`].
pub fn verify(path: &Path, stop: &AtomicBool) -> Result<Vec<Finding>, SnapshotStoreError> {
    let directory = Directory::open(path, None)?;
    let mut findings = Vec::new();
    for entry in &directory.snapshots()? {
        let checked = directory
            .manifest(entry)
            .map_err(SnapshotStoreError::from)
            .and_then(|manifest| Parts::open(&directory, entry, &manifest))
            .and_then(|parts| parts.verify_all(&directory, stop));
        let problem = match checked {
            Ok(()) => None,
            Err(SnapshotStoreError::Store(StoreError::Stopped)) => {
                return Err(StoreError::Stopped.into());
            }
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
/// [`SnapshotStoreError`]. Nothing is removed when a manifest cannot be read, or is one of another
/// program's: then what it names is not known.
pub fn prune(path: &Path, stop: &AtomicBool) -> Result<Pruned, SnapshotStoreError> {
    Ok(ampoule_store::prune(path, stop)?)
}
