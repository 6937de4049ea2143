//! A blob as it lies in a store.

use crate::digest::{Digest, Hasher};
use crate::error::StoreError;
use crate::files::read_at;
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes read at once.
pub const CHUNK: usize = 1 << 20;

/// A blob that was opened; its size is right, its contents were not looked at.
#[derive(Debug)]
pub struct Blob {
    /// The open file, to be mapped.
    pub file: Arc<OwnedFd>,
    /// Bytes.
    pub size: u64,
    pub(crate) digest: Digest,
    /// Its path in the store, for messages.
    pub name: String,
}

impl Blob {
    /// All its bytes, when there are no more than `limit` and they are what the digest says.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(&self, limit: u64) -> Result<Vec<u8>, StoreError> {
        if self.size > limit {
            let what = format!("it has {} bytes, the limit is {limit}", self.size);
            return Err(StoreError::corrupt(&self.name, what));
        }
        let mut bytes = vec![0; usize::try_from(self.size).unwrap_or(usize::MAX)];
        self.read_at(0, &mut bytes)?;
        if Digest::of(&bytes) != self.digest {
            return Err(self.mismatch());
        }
        Ok(bytes)
    }

    /// Reads it once and checks its digest. `each` sees every piece with its offset.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn verify(
        &self,
        stop: &AtomicBool,
        mut each: impl FnMut(u64, &[u8]),
    ) -> Result<(), StoreError> {
        let mut hasher = Hasher::default();
        let mut chunk = vec![0; CHUNK];
        let mut at = 0;
        while at < self.size {
            if stop.load(Ordering::Relaxed) {
                return Err(StoreError::Stopped);
            }
            let count = usize::try_from(self.size - at).unwrap_or(CHUNK).min(CHUNK);
            self.read_at(at, &mut chunk[..count])?;
            hasher.update(&chunk[..count]);
            each(at, &chunk[..count]);
            at += count as u64;
        }
        if hasher.finish() == self.digest { Ok(()) } else { Err(self.mismatch()) }
    }

    /// Fills `out` with its bytes from `offset` on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        let complete = read_at(&self.file, offset, out);
        if complete.map_err(StoreError::io::<Errno>("read", &self.name))? {
            Ok(())
        } else {
            Err(StoreError::corrupt(&self.name, "it became shorter while it was read"))
        }
    }

    fn mismatch(&self) -> StoreError {
        StoreError::corrupt(&self.name, "its contents are not what its digest says")
    }
}
