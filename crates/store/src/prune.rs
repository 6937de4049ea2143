//! Taking away what nothing names.

use crate::directory::{BLOBS, Directory, INDEX_FILE};
use crate::error::StoreError;
use crate::files::open_file;
use crate::layout::Index;
use crate::lock::{self, Lock};
use crate::temporary;
use rustix::fs::AtFlags;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// What [`prune`] removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Blobs.
    pub blobs: u64,
    /// Their bytes, holes included.
    pub bytes: u64,
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
    temporary::remove_temporaries(&directory.root, "the store")?;
    temporary::remove_temporaries(&directory.blobs, BLOBS)?;
    let mut named = BTreeSet::new();
    for entry in &directory.index()?.unwrap_or_else(Index::new).manifests {
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
        let Ok(Some((_, size))) = open_file(&directory.blobs, &name, &shown) else {
            continue;
        };
        rustix::fs::unlinkat(&directory.blobs, name.as_str(), AtFlags::empty())
            .map_err(StoreError::io::<Errno>("remove", &shown))?;
        pruned.blobs += 1;
        pruned.bytes += size;
    }
    temporary::sync(&directory.blobs, BLOBS)?;
    Ok(pruned)
}
