//! Opening files and directories below a store without following links, and without waiting for anybody.

use crate::error::StoreError;
use crate::temporary;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Fills `out` from `offset` on; `false` when the file ends before.
pub(crate) fn read_at(file: &OwnedFd, offset: u64, out: &mut [u8]) -> Result<bool, Errno> {
    let mut done = 0;
    while done < out.len() {
        match rustix::io::pread(file, &mut out[done..], offset + done as u64) {
            Ok(0) => return Ok(false),
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(true)
}

/// Makes the directory and those that lead to it so that all survive a crash.
pub(crate) fn make_lasting(path: &Path, shown: &str) -> Result<(), StoreError> {
    let here = Path::new(".");
    let missing: Vec<&Path> =
        path.ancestors().take_while(|path| *path != Path::new("") && !path.exists()).collect();
    std::fs::create_dir_all(path).map_err(StoreError::io("make", shown))?;
    for made in missing {
        let parent = made.parent().filter(|parent| *parent != Path::new("")).unwrap_or(here);
        let parent = open_root(parent).map_err(StoreError::io::<Errno>("open", shown))?;
        temporary::sync(&parent, shown)?;
    }
    Ok(())
}

pub(crate) fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Opens the directory `name`; `shown` is its path in the store.
pub(crate) fn step(at: &OwnedFd, name: &str, shown: &str) -> Result<OwnedFd, StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(at, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => Err(StoreError::corrupt(shown, "it is missing")),
        Err(Errno::NOTDIR | Errno::LOOP) => {
            Err(StoreError::corrupt(shown, "it is not a directory"))
        }
        other => other.map_err(StoreError::io::<Errno>("open", shown)),
    }
}

pub(crate) fn make_directory(at: &OwnedFd, name: &str, shown: &str) -> Result<(), StoreError> {
    match rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o777)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(StoreError::io::<Errno>("make", shown)(errno)),
    }
}

/// Opens the regular file `name` and tells its size; `None` when there is none.
pub(crate) fn open_file(
    at: &OwnedFd,
    name: &str,
    shown: &str,
) -> Result<Option<(OwnedFd, u64)>, StoreError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let no_file = || StoreError::corrupt(shown, "it is not a regular file");
    let file = match rustix::fs::openat(at, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        // A link, and a socket or a device without a driver.
        Err(Errno::LOOP | Errno::NXIO | Errno::NODEV) => return Err(no_file()),
        other => other.map_err(StoreError::io::<Errno>("open", shown))?,
    };
    let status = rustix::fs::fstat(&file).map_err(StoreError::io::<Errno>("examine", shown))?;
    if !FileType::from_raw_mode(status.st_mode).is_file() {
        return Err(no_file());
    }
    Ok(Some((file, u64::try_from(status.st_size).unwrap_or_default())))
}

/// Reads a file of at most `limit` bytes; `None` when there is none.
pub(crate) fn read_small(
    at: &OwnedFd,
    name: &str,
    shown: &str,
    limit: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some((file, size)) = open_file(at, name, shown)? else { return Ok(None) };
    if size > limit {
        let what = format!("it has {size} bytes, the limit is {limit}");
        return Err(StoreError::corrupt(shown, what));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
    match read_at(&file, 0, &mut bytes).map_err(StoreError::io::<Errno>("read", shown))? {
        true => Ok(Some(bytes)),
        false => Err(StoreError::corrupt(shown, "it became shorter while it was read")),
    }
}
