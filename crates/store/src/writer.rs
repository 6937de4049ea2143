//! Adding a snapshot to a store: its blobs first, and then the name that leads to them.

use crate::digest::Digest;
use crate::directory::{BLOBS, Directory, INDEX_FILE};
use crate::error::StoreError;
use crate::layout::{Descriptor, INDEX_MAX, Index, MANIFEST_TYPE, Manifest};
use crate::lock::{self, Lock};
use crate::temporary::{self, Temporary};
use std::io;
use std::sync::atomic::AtomicBool;

/// A snapshot that is being added to a store. Until [`Self::commit`], nothing names its blobs; as long as
/// it lives, nobody removes them.
#[derive(Debug)]
pub struct Writer<'a> {
    directory: &'a Directory,
    stop: &'a AtomicBool,
    _saving: Lock,
    /// Bytes of blobs that were not there, holes included.
    new_bytes: u64,
}

/// A snapshot that is in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes of blobs that the store did not have yet, holes included.
    pub new_bytes: u64,
}

impl<'a> Writer<'a> {
    /// Takes part in the lock that keeps blobs from being removed. Whoever finds nobody else there removes
    /// first what dead savers left.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin(directory: &'a Directory, stop: &'a AtomicBool) -> Result<Self, StoreError> {
        if let Some(alone) = Lock::try_exclusive(&directory.root, lock::SAVING)? {
            temporary::remove_temporaries(&directory.blobs, BLOBS)?;
            let index = Lock::exclusive(&directory.root, lock::INDEX, stop)?;
            temporary::remove_temporaries(&directory.root, "the store")?;
            drop(index);
            drop(alone);
        }
        let saving = Lock::shared(&directory.root, lock::SAVING, stop)?;
        Ok(Self { directory, stop, _saving: saving, new_bytes: 0 })
    }

    /// Adds a blob with these bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn add(&mut self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, StoreError> {
        let descriptor = Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64);
        self.add_with(descriptor, |file| file.write_at(bytes, 0))
    }

    /// Adds the blob of `descriptor`, whose bytes `fill` writes; what it leaves out is zeros. A blob
    /// that is there already is kept if it is sound, and replaced if it is not.
    ///
    /// # Errors
    /// [`StoreError`], and what `fill` returns.
    pub fn add_with(
        &mut self,
        descriptor: Descriptor,
        fill: impl FnOnce(&mut Temporary<'_>) -> Result<(), StoreError>,
    ) -> Result<Descriptor, StoreError> {
        let there =
            self.directory.blob(&descriptor).and_then(|blob| blob.verify(self.stop, |_, _| {}));
        match there {
            Ok(()) => return Ok(descriptor),
            Err(StoreError::Corrupt { .. }) => {}
            Err(other) => return Err(other),
        }
        let mut file = Temporary::new(&self.directory.blobs, 0o444)?;
        fill(&mut file)?;
        file.set_length(descriptor.size)?;
        file.keep(&descriptor.digest.hex())?;
        self.new_bytes += descriptor.size;
        Ok(descriptor)
    }

    /// Gives the snapshot of these blobs its name: it is in the store from then on, whatever happens.
    ///
    /// # Errors
    /// [`StoreError`]; the store is then as it was, but for blobs that nothing names.
    pub fn commit(
        mut self,
        config: Descriptor,
        layers: Vec<Descriptor>,
        tag: &str,
    ) -> Result<Committed, StoreError> {
        let manifest = json(&Manifest::new(config, layers), "the manifest")?;
        let manifest = self.add(MANIFEST_TYPE, &manifest)?;
        temporary::sync(&self.directory.blobs, BLOBS)?;

        let root = &self.directory.root;
        let lock = Lock::exclusive(root, lock::INDEX, self.stop)?;
        let full =
            || StoreError::Invalid { option: "path", problem: "has too many snapshots".to_owned() };
        let mut index = self.directory.index()?.unwrap_or_else(Index::new);
        if !index.set(Descriptor::tagged(manifest.digest, manifest.size, tag)) {
            return Err(full());
        }
        let bytes = json(&index, INDEX_FILE)?;
        if bytes.len() as u64 > INDEX_MAX {
            return Err(full());
        }
        temporary::replace(root, INDEX_FILE, &bytes)?;
        drop(lock);
        Ok(Committed { digest: manifest.digest, new_bytes: self.new_bytes })
    }
}

fn json(value: &impl serde::Serialize, name: &str) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value)
        .map_err(|error| StoreError::io("encode", name)(io::Error::other(error)))
}
