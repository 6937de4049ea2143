//! Making files so that they are there whole or not at all.

use crate::digest::hex;
use crate::error::StoreError;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// How names of files begin that are not finished.
pub(crate) const TEMPORARY: &str = ".tmp-";
/// Tries to find a name that nobody has; the second will do.
const NAMES_TRIED: u32 = 8;

/// A file that has no name to be found by yet; removed when it is dropped without [`Self::keep`].
#[derive(Debug)]
pub struct Temporary<'a> {
    directory: &'a OwnedFd,
    name: String,
    file: OwnedFd,
    is_kept: bool,
}

impl<'a> Temporary<'a> {
    pub(crate) fn new(directory: &'a OwnedFd, mode: u32) -> Result<Self, StoreError> {
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

    /// Writes `bytes` from `offset` on.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write_at(&mut self, mut bytes: &[u8], mut offset: u64) -> Result<(), StoreError> {
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
    pub(crate) fn set_length(&self, length: u64) -> Result<(), StoreError> {
        rustix::fs::ftruncate(&self.file, length).map_err(self.refused("write"))
    }

    /// Gives the finished file its name. The directory is still to be [synchronised](sync).
    pub(crate) fn keep(mut self, name: &str) -> Result<(), StoreError> {
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
pub(crate) fn sync(directory: &OwnedFd, shown: &str) -> Result<(), StoreError> {
    rustix::fs::fsync(directory).map_err(StoreError::io::<Errno>("write", shown))
}

/// Replaces the file `name` of `directory` by one with these bytes, now and for good.
pub(crate) fn replace(directory: &OwnedFd, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = Temporary::new(directory, 0o666)?;
    file.write_at(bytes, 0)?;
    file.keep(name)?;
    sync(directory, name)
}

/// Removes what savers left that were killed. Only for whoever knows that no other saver is alive.
pub(crate) fn remove_temporaries(directory: &OwnedFd, shown: &str) -> Result<(), StoreError> {
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
