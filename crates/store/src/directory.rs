//! Opening what stands in a store, and believing none of it.
//!
//! Every component below the store's own directory is opened by itself, without following links, and
//! must be what it should: a directory or a regular file of the size that its descriptor says. A fifo is
//! opened without waiting for its other end.

use crate::blob::Blob;
use crate::error::StoreError;
use crate::files::{make_directory, make_lasting, open_file, open_root, read_small, step};
use crate::layout::{self, Descriptor, INDEX_MAX, Index, MANIFEST_MAX, Manifest};
use crate::lock::{self, Lock};
use crate::temporary::{self, TEMPORARY};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Where the blobs are.
pub const BLOBS: &str = "blobs/sha256";
pub(crate) const INDEX_FILE: &str = "index.json";
const LAYOUT_FILE: &str = "oci-layout";

/// The directory of a store.
#[derive(Debug)]
pub struct Directory {
    pub(crate) root: OwnedFd,
    /// `blobs/sha256`.
    pub(crate) blobs: OwnedFd,
    path: String,
}

impl Directory {
    /// Opens a store to load from it; `tag` is for the message when there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path, tag: Option<&str>) -> Result<Self, StoreError> {
        let shown = path.display().to_string();
        let none = || StoreError::NotFound { path: shown.clone(), tag: tag.map(ToOwned::to_owned) };
        let root = match open_root(path) {
            Err(Errno::NOENT) => return Err(none()),
            Err(Errno::NOTDIR) => {
                return Err(StoreError::corrupt(shown, "it is not a directory"));
            }
            other => other.map_err(StoreError::io::<Errno>("open", &shown))?,
        };
        let layout = match read_small(&root, LAYOUT_FILE, LAYOUT_FILE, 4096) {
            Ok(Some(layout)) => layout,
            // Where nothing was saved yet, or nothing of this kind is.
            Ok(None) => return Err(none()),
            Err(error) => return Err(error),
        };
        check_layout(&layout)?;
        let blobs = step(&root, "blobs", "blobs")?;
        let blobs = step(&blobs, "sha256", BLOBS)?;
        Ok(Self { root, blobs, path: shown })
    }

    /// Opens a store to save to it, and makes it first where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn create(path: &Path, stop: &AtomicBool) -> Result<Self, StoreError> {
        let shown = path.display().to_string();
        make_lasting(path, &shown)?;
        let root = open_root(path).map_err(StoreError::io::<Errno>("open", &shown))?;
        let lock = match read_small(&root, LAYOUT_FILE, LAYOUT_FILE, 4096)? {
            Some(layout) => {
                check_layout(&layout)?;
                None
            }
            None => {
                refuse_foreign(path, &shown)?;
                Some(Lock::exclusive(&root, lock::INDEX, stop)?)
            }
        };
        make_directory(&root, "blobs", "blobs")?;
        let parent = step(&root, "blobs", "blobs")?;
        make_directory(&parent, "sha256", BLOBS)?;
        let blobs = step(&parent, "sha256", BLOBS)?;
        let directory = Self { root, blobs, path: shown };
        if lock.is_some() {
            temporary::sync(&parent, "blobs")?;
            temporary::replace(&directory.root, LAYOUT_FILE, layout::LAYOUT.as_bytes())?;
        }
        Ok(directory)
    }

    /// The entries of its snapshots, the one saved last at the end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn snapshots(&self) -> Result<Vec<Descriptor>, StoreError> {
        let index = self.index()?;
        Ok(index.iter().flat_map(Index::snapshots).cloned().collect())
    }

    /// The index; `None` before the first snapshot was saved.
    pub(crate) fn index(&self) -> Result<Option<Index>, StoreError> {
        let bytes = read_small(&self.root, INDEX_FILE, INDEX_FILE, INDEX_MAX)?;
        let decoded = bytes.map(|bytes| layout::decode_index(&bytes)).transpose();
        decoded.map_err(|what| StoreError::corrupt(INDEX_FILE, what))
    }

    /// The entry of `tag` in the index.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn entry(&self, tag: &str) -> Result<Descriptor, StoreError> {
        let index = self.index()?;
        let entry = index.as_ref().and_then(|index| index.find(tag)).cloned();
        entry.ok_or_else(|| StoreError::NotFound {
            path: self.path.clone(),
            tag: Some(tag.to_owned()),
        })
    }

    /// The manifest of an entry of the index.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn manifest(&self, entry: &Descriptor) -> Result<Manifest, StoreError> {
        let blob = self.blob(entry)?;
        let bytes = blob.read(MANIFEST_MAX)?;
        layout::decode_manifest(&bytes).map_err(|what| StoreError::corrupt(blob.name, what))
    }

    /// Opens the blob that `descriptor` names.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn blob(&self, descriptor: &Descriptor) -> Result<Blob, StoreError> {
        let digest = descriptor.digest;
        let hex = digest.hex();
        let name = format!("{BLOBS}/{hex}");
        let Some((file, size)) = open_file(&self.blobs, &hex, &name)? else {
            return Err(StoreError::corrupt(name, "it is missing"));
        };
        if size != descriptor.size {
            let what = format!("it has {size} bytes, {} are expected", descriptor.size);
            return Err(StoreError::corrupt(name, what));
        }
        Ok(Blob { file: Arc::new(file), size, digest, name })
    }
}

fn check_layout(bytes: &[u8]) -> Result<(), StoreError> {
    let layout: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    match layout.as_ref().and_then(|layout| layout.get("imageLayoutVersion")?.as_str()) {
        Some("1.0.0") => Ok(()),
        _ => Err(StoreError::corrupt(LAYOUT_FILE, "not an OCI image layout of version 1.0.0")),
    }
}

/// Refuses a directory that holds something else than a store which is about to be made.
fn refuse_foreign(path: &Path, shown: &str) -> Result<(), StoreError> {
    for entry in std::fs::read_dir(path).map_err(StoreError::io("read", shown))? {
        let name = entry.map_err(StoreError::io("read", shown))?.file_name();
        let own = ["blobs", lock::INDEX, lock::SAVING, LAYOUT_FILE].iter().any(|own| name == *own)
            || name.to_string_lossy().starts_with(TEMPORARY);
        if !own {
            let what = format!("a directory with other things in it, such as {}", name.display());
            return Err(StoreError::Invalid { option: "path", problem: format!("is {what}") });
        }
    }
    Ok(())
}
