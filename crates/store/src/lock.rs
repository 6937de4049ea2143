//! Who may change a store. Locks are `flock(2)`s: the kernel drops them with the process that holds
//! them, however it ends.

use crate::error::StoreError;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Held shared while blobs are made that no index names yet, and alone to remove blobs that no index
/// names.
pub(crate) const SAVING: &str = ".saving";
/// Held while the index is read, changed and replaced.
pub(crate) const INDEX: &str = ".lock";

/// Longest time between two looks at a lock that somebody else holds. Looking instead of waiting lets
/// the caller give up.
const PAUSE_MAX: Duration = Duration::from_millis(16);

/// A lock, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: OwnedFd,
}

impl Lock {
    /// Takes a lock at once, or not at all.
    pub(crate) fn try_exclusive(
        root: &OwnedFd,
        name: &'static str,
    ) -> Result<Option<Self>, StoreError> {
        let lock = Self::open(root, name)?;
        let taken = lock.attempt(name, FlockOperation::NonBlockingLockExclusive)?;
        Ok(taken.then_some(lock))
    }

    /// Waits for a lock that only one can have.
    pub(crate) fn exclusive(
        root: &OwnedFd,
        name: &'static str,
        stop: &AtomicBool,
    ) -> Result<Self, StoreError> {
        let lock = Self::open(root, name)?;
        lock.wait(name, FlockOperation::NonBlockingLockExclusive, stop)?;
        Ok(lock)
    }

    /// Waits for a lock that many can have.
    pub(crate) fn shared(
        root: &OwnedFd,
        name: &'static str,
        stop: &AtomicBool,
    ) -> Result<Self, StoreError> {
        let lock = Self::open(root, name)?;
        lock.wait(name, FlockOperation::NonBlockingLockShared, stop)?;
        Ok(lock)
    }

    fn open(root: &OwnedFd, name: &'static str) -> Result<Self, StoreError> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mode = Mode::from_raw_mode(0o666);
        let file = rustix::fs::openat(root, name, flags, mode)
            .map_err(StoreError::io::<Errno>("open", name))?;
        Ok(Self { file })
    }

    fn wait(
        &self,
        name: &'static str,
        operation: FlockOperation,
        stop: &AtomicBool,
    ) -> Result<(), StoreError> {
        let mut pause = Duration::from_millis(1);
        while !self.attempt(name, operation)? {
            if stop.load(Ordering::Relaxed) {
                return Err(StoreError::Stopped);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(())
    }

    fn attempt(&self, name: &'static str, operation: FlockOperation) -> Result<bool, StoreError> {
        loop {
            match rustix::fs::flock(&self.file, operation) {
                Ok(()) => return Ok(true),
                Err(Errno::WOULDBLOCK) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(StoreError::io::<Errno>("lock", name)(errno)),
            }
        }
    }
}
