//! Locks of files. No other process exists that could hold one, so that every lock that may be asked for is
//! granted; that two descriptions of one process exclude each other is not kept.

use crate::answer::{Answer, Outcome};
use crate::calls::call::Call;
use crate::errno::Errno;
use crate::guest::{Record, read_array};
use crate::vfs::files::Description;
use ampoule_memory::AddressSpace;

const READ_LOCK: u16 = 0;
const WRITE_LOCK: u16 = 1;
const UNLOCK: u16 = 2;

/// The lock commands of `fcntl`: `F_GETLK` and its relatives.
pub(super) fn control(
    description: &Description,
    space: &mut AddressSpace,
    command: u32,
    address: u64,
) -> Outcome {
    const GET: u32 = 5;
    const SET: u32 = 6;
    const SET_AND_WAIT: u32 = 7;
    const GET_OPEN: u32 = 36;
    const SET_OPEN: u32 = 37;
    const SET_OPEN_AND_WAIT: u32 = 38;
    let asks = match command {
        GET | GET_OPEN => true,
        SET | SET_AND_WAIT | SET_OPEN | SET_OPEN_AND_WAIT => false,
        _ => return Err(Errno::EINVAL),
    };
    // struct flock: type, whence, start, length, process.
    let lock = Record::<32>::from(read_array(space, address)?);
    let kind = lock.u16(0);
    if asks && kind != READ_LOCK && kind != WRITE_LOCK {
        return Err(Errno::EINVAL);
    }
    check_range(&lock, description.offset)?;
    if kind > UNLOCK || command >= GET_OPEN && lock.u32(24) != 0 {
        return Err(Errno::EINVAL);
    }
    if asks {
        Record::<2>::new().set_u16(0, UNLOCK).store(space, address)?;
    } else if kind == READ_LOCK && !description.is_readable()
        || kind == WRITE_LOCK && !description.is_writable()
    {
        return Err(Errno::EBADF);
    }
    Ok(Answer::ZERO)
}

/// Checks where a lock lies (kernel: `flock64_to_posix_lock`); its end is that of any file.
fn check_range(lock: &Record<32>, position: u64) -> Result<(), Errno> {
    const SET: u16 = 0;
    const CURRENT: u16 = 1;
    const END: u16 = 2;
    let from = match lock.u16(2) {
        SET | END => 0,
        CURRENT => position.cast_signed(),
        _ => return Err(Errno::EINVAL),
    };
    let start = from.checked_add(lock.u64(8).cast_signed()).ok_or(Errno::EOVERFLOW)?;
    let length = lock.u64(16).cast_signed();
    if start < 0 || length < 0 && start.checked_add(length).is_none_or(|end| end < 0) {
        return Err(Errno::EINVAL);
    }
    start.checked_add(length.saturating_sub(1).max(0)).ok_or(Errno::EOVERFLOW)?;
    Ok(())
}

/// `flock(int fd, int operation)`
pub(crate) fn flock(call: &mut Call<'_>, fd: i32, operation: u32) -> Outcome {
    const NOT_BLOCKING: u32 = 4;
    const SHARED: u32 = 1;
    const EXCLUSIVE: u32 = 2;
    const UNLOCKED: u32 = 8;
    /// Locks that Linux had once, and ignores since.
    const MANDATORY: u32 = 32;
    if operation & MANDATORY != 0 {
        return Ok(Answer::ZERO);
    }
    match operation & !NOT_BLOCKING {
        SHARED | EXCLUSIVE | UNLOCKED => {}
        _ => return Err(Errno::EINVAL),
    }
    let description = call.kernel.files.usable(fd)?;
    let unlocks = operation & !NOT_BLOCKING == UNLOCKED;
    let is_open = description.is_readable() || description.is_writable();
    if unlocks || is_open { Ok(Answer::ZERO) } else { Err(Errno::EBADF) }
}
