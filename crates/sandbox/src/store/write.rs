//! Making files so that they are there whole or not at all.

use super::digest::{Digest, hex};
use super::directory::{BLOBS, Directory};
use super::error::StoreError;
use super::layout::Descriptor;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;

/// How names of files begin that are not finished.
pub(super) const TEMPORARY: &str = ".tmp-";
/// Tries to find a name that nobody has; the second will do.
const NAMES_TRIED: u32 = 8;

/// A file that has no name to be found by yet; removed when it is dropped without [`Self::keep`].
#[derive(Debug)]
pub(super) struct Temporary<'a> {
    directory: &'a OwnedFd,
    name: String,
    file: OwnedFd,
    is_kept: bool,
}

impl<'a> Temporary<'a> {
    fn new(directory: &'a OwnedFd, mode: u32) -> Result<Self, StoreError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut last = Errno::EXIST;
        for _ in 0..NAMES_TRIED {
            let name = format!("{TEMPORARY}{}", hex(&random()?));
            match rustix::fs::openat(directory, name.as_str(), flags, Mode::from_raw_mode(mode)) {
                Ok(file) => return Ok(Self { directory, name, file, is_kept: false }),
                Err(errno @ Errno::EXIST) => last = errno,
                Err(errno) => return Err(StoreError::io::<Errno>("make", &name)(errno)),
            }
        }
        Err(StoreError::io::<Errno>("make", TEMPORARY)(last))
    }

    pub(super) fn write_at(&mut self, mut bytes: &[u8], mut offset: u64) -> Result<(), StoreError> {
        while !bytes.is_empty() {
            match rustix::io::pwrite(&self.file, bytes, offset) {
                Ok(0) => return Err(self.refused("write")(Errno::IO)),
                Ok(count) => {
                    bytes = &bytes[count..];
                    offset += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.refused("write")(errno)),
            }
        }
        Ok(())
    }

    /// Gives the file its length; what was not written reads as zeros and takes no space.
    fn set_length(&self, length: u64) -> Result<(), StoreError> {
        rustix::fs::ftruncate(&self.file, length).map_err(self.refused("write"))
    }

    /// Gives the finished file its name. The directory is still to be [synchronised](sync).
    fn keep(mut self, name: &str) -> Result<(), StoreError> {
        rustix::fs::fsync(&self.file).map_err(self.refused("write"))?;
        rustix::fs::renameat(self.directory, self.name.as_str(), self.directory, name)
            .map_err(StoreError::io::<Errno>("rename", name))?;
        self.is_kept = true;
        Ok(())
    }

    fn refused(&self, operation: &'static str) -> impl Fn(Errno) -> StoreError {
        StoreError::io::<Errno>(operation, &self.name)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            // What stays is removed by the next saver that is alone.
            let _ = rustix::fs::unlinkat(self.directory, self.name.as_str(), AtFlags::empty());
        }
    }
}

/// Makes sure that names given in the directory survive a crash.
pub(super) fn sync(directory: &OwnedFd, shown: &str) -> Result<(), StoreError> {
    rustix::fs::fsync(directory).map_err(StoreError::io::<Errno>("write", shown))
}

/// Replaces the file `name` of `directory` by one with these bytes, now and for good.
pub(super) fn replace(directory: &OwnedFd, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = Temporary::new(directory, 0o666)?;
    file.write_at(bytes, 0)?;
    file.keep(name)?;
    sync(directory, name)
}

/// Blobs that a save adds to a store.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    directory: &'a Directory,
    stop: &'a AtomicBool,
    /// Bytes of blobs that were not there, holes included.
    pub(super) new_bytes: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn new(directory: &'a Directory, stop: &'a AtomicBool) -> Self {
        Self { directory, stop, new_bytes: 0 }
    }

    /// Adds a blob with these bytes.
    pub(super) fn add(&mut self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, StoreError> {
        let descriptor = Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64);
        self.add_with(descriptor, |file| file.write_at(bytes, 0))
    }

    /// Adds the blob of `descriptor`, whose bytes `fill` writes; what it leaves out is zeros. A blob
    /// that is there already is kept if it is sound, and replaced if it is not.
    pub(super) fn add_with(
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

    /// Makes sure that all blobs survive a crash.
    pub(super) fn finish(&self) -> Result<(), StoreError> {
        sync(&self.directory.blobs, BLOBS)
    }
}

/// Removes what savers left that were killed. Only for whoever knows that no other saver is alive.
pub(super) fn remove_temporaries(directory: &OwnedFd, shown: &str) -> Result<(), StoreError> {
    let listing = rustix::fs::Dir::read_from(directory);
    for entry in listing.map_err(StoreError::io::<Errno>("read", shown))? {
        let entry = entry.map_err(StoreError::io::<Errno>("read", shown))?;
        if entry.file_name().to_bytes().starts_with(TEMPORARY.as_bytes()) {
            // One that cannot be removed is in nobody's way.
            let _ = rustix::fs::unlinkat(directory, entry.file_name(), AtFlags::empty());
        }
    }
    Ok(())
}

fn random() -> Result<[u8; 8], StoreError> {
    let mut bytes = [0; 8];
    let flags = rustix::rand::GetRandomFlags::empty();
    // Up to 256 bytes are never cut short (getrandom(2)).
    rustix::rand::getrandom(&mut bytes, flags)
        .map_err(StoreError::io::<Errno>("draw", "a name"))?;
    Ok(bytes)
}
