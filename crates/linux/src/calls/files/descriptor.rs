//! Closing, duplicating and asking about descriptors.

use super::{locks, status};
use crate::answer::{Answer, Outcome};
use crate::calls::call::Call;
use crate::errno::Errno;
use crate::guest::{Record, low_half, read_u32};
use crate::task::blocked::BlockedOn;
use crate::vfs::files::{Files, Object};
use crate::vfs::flags::{CLOSE_ON_EXEC, DIRECT, NONBLOCK, PATH_ONLY};
use crate::vfs::pipe::{PIPE_SIZE, SLOT};
use crate::vfs::system::Kind;

/// Status flags that `F_SETFL` can change: append, non-blocking, direct, without access times.
const SETTABLE: u32 = 0o2000 | NONBLOCK | DIRECT | 0o100_0000;

/// `close(int fd)`
pub(crate) fn close(call: &mut Call<'_>, fd: i32) -> Outcome {
    call.kernel.files.close(Files::number(fd)?)?;
    Ok(Answer::ZERO)
}

/// `close_range(unsigned first, unsigned last, int flags)`
pub(crate) fn close_range(call: &mut Call<'_>, first: u32, last: u32, flags: u32) -> Outcome {
    const MARK_ONLY: u32 = 4;
    const UNSHARE: u32 = 2;
    if first > last || flags & !(MARK_ONLY | UNSHARE) != 0 {
        return Err(Errno::EINVAL);
    }
    let files = &mut call.kernel.files;
    let numbers: Vec<_> =
        files.open_from(first as usize).take_while(|&number| number <= last as usize).collect();
    for number in numbers {
        if flags & MARK_ONLY != 0 {
            let descriptor = i32::try_from(number).map_err(|_| Errno::EBADF)?;
            files.set_close_on_exec(descriptor, true)?;
        } else {
            files.close(number)?;
        }
    }
    Ok(Answer::ZERO)
}

/// `dup(int fd)`
pub(crate) fn dup(call: &mut Call<'_>, fd: i32) -> Outcome {
    let number = call.kernel.files.duplicate(Files::number(fd)?, 0, false)?;
    Ok(Answer::value(number as u64))
}

/// `dup2(int old, int new)`
pub(crate) fn dup2(call: &mut Call<'_>, old: i32, new: i32) -> Outcome {
    let files = &mut call.kernel.files;
    let old = Files::number(old)?;
    let new = Files::number(new)?;
    if old == new {
        files.description(old)?;
    } else {
        files.duplicate_to(old, new, false)?;
    }
    Ok(Answer::value(new as u64))
}

/// `dup3(int old, int new, int flags)`
pub(crate) fn dup3(call: &mut Call<'_>, old: i32, new: i32, flags: u32) -> Outcome {
    if flags & !CLOSE_ON_EXEC != 0 || old == new {
        return Err(Errno::EINVAL);
    }
    let old = Files::number(old)?;
    let new = Files::number(new)?;
    call.kernel.files.duplicate_to(old, new, flags & CLOSE_ON_EXEC != 0)?;
    Ok(Answer::value(new as u64))
}

/// `fcntl(int fd, int command, long argument)`
pub(crate) fn fcntl(call: &mut Call<'_>, descriptor: i32, command: u32, argument: u64) -> Outcome {
    const DUPLICATE: u32 = 0;
    const GET_DESCRIPTOR_FLAGS: u32 = 1;
    const SET_DESCRIPTOR_FLAGS: u32 = 2;
    const GET_STATUS_FLAGS: u32 = 3;
    const SET_STATUS_FLAGS: u32 = 4;
    const SET_OWNER: u32 = 8;
    const GET_OWNER: u32 = 9;
    const GET_SIGNAL: u32 = 11;
    const GET_LEASE: u32 = 1025;
    const DUPLICATE_CLOSE_ON_EXEC: u32 = 1030;
    const SET_PIPE_SIZE: u32 = 1031;
    const GET_PIPE_SIZE: u32 = 1032;
    const GET_SEALS: u32 = 1034;
    const UNLOCKED: u64 = 2;

    let files = &mut call.kernel.files;
    let description = *files.description_of(descriptor)?;
    let value = match command {
        DUPLICATE | DUPLICATE_CLOSE_ON_EXEC => {
            let from =
                usize::try_from(low_half(argument).cast_signed()).map_err(|_| Errno::EINVAL)?;
            if from >= files.descriptor_limit() {
                return Err(Errno::EINVAL);
            }
            let close_on_exec = command == DUPLICATE_CLOSE_ON_EXEC;
            files.duplicate(Files::number(descriptor)?, from, close_on_exec)? as u64
        }
        GET_DESCRIPTOR_FLAGS => u64::from(files.close_on_exec(descriptor)?),
        SET_DESCRIPTOR_FLAGS => {
            files.set_close_on_exec(descriptor, argument & 1 != 0)?;
            0
        }
        GET_STATUS_FLAGS => u64::from(description.flags & !CLOSE_ON_EXEC),
        _ if description.flags & PATH_ONLY != 0 => return Err(Errno::EBADF),
        SET_STATUS_FLAGS => {
            let flags = description.flags & !SETTABLE | low_half(argument) & SETTABLE;
            files.description_mut(descriptor)?.flags = flags;
            0
        }
        // Nobody is ever told of anything.
        SET_OWNER | GET_OWNER | GET_SIGNAL => 0,
        GET_LEASE => UNLOCKED,
        GET_SEALS => match description.object {
            // The set of seals is sealed, as of any file that was not made for them.
            Object::File(_) => 1,
            _ => return Err(Errno::EINVAL),
        },
        SET_PIPE_SIZE | GET_PIPE_SIZE => match description.object {
            Object::Pipe(index) if command == SET_PIPE_SIZE => {
                files.pipes.resize(index, low_half(argument))?
            }
            Object::Pipe(index) => (files.pipes.get(index)?.capacity * SLOT) as u64,
            // Theirs is the host's to say.
            Object::Input | Object::Output(_) if command == SET_PIPE_SIZE => {
                return Err(Errno::EPERM);
            }
            Object::Input | Object::Output(_) => PIPE_SIZE as u64,
            _ => return Err(Errno::EBADF),
        },
        _ => return locks::control(&description, call.space, command, argument),
    };
    Ok(Answer::value(value))
}

/// `ioctl(int fd, unsigned long request, void *argument)`
pub(crate) fn ioctl(call: &mut Call<'_>, descriptor: i32, request: u32, out: u64) -> Outcome {
    const BLOCK_SIZE: u32 = 2;
    const SET_NONBLOCK: u32 = 0x5421;
    const COUNT_READABLE: u32 = 0x541b;
    const CLEAR_CLOSE_ON_EXEC: u32 = 0x5450;
    const SET_CLOSE_ON_EXEC: u32 = 0x5451;
    const FILE_SIZE: u32 = 0x5460;

    let files = &mut call.kernel.files;
    let description = *files.usable(descriptor)?;
    match (request, description.object) {
        (COUNT_READABLE, Object::File(node)) => {
            // Negative beyond the end, as in Linux.
            let size = files.system.status(node).size;
            let count = low_half(size.wrapping_sub(description.offset));
            Record::<4>::new().set_u32(0, count).store(call.space, out)?;
        }
        // Standard input counts as readable for `poll`, so that there has to be something, or its end.
        (COUNT_READABLE, Object::Input) if files.input.is_empty() && !files.input_ended => {
            return Ok(Answer::Wait(BlockedOn::Input { wanted: PIPE_SIZE }));
        }
        (COUNT_READABLE, object) => {
            let count = match object {
                Object::Input => files.input.len(),
                Object::Pipe(index) => files.pipes.get(index)?.len(),
                _ => return Err(Errno::ENOTTY),
            };
            let count = u32::try_from(count).unwrap_or(i32::MAX.unsigned_abs());
            Record::<4>::new().set_u32(0, count).store(call.space, out)?;
        }
        (SET_NONBLOCK, _) => {
            let on = read_u32(call.space, out)? != 0;
            let flags = &mut files.description_mut(descriptor)?.flags;
            *flags = if on { *flags | NONBLOCK } else { *flags & !NONBLOCK };
        }
        (SET_CLOSE_ON_EXEC, _) => files.set_close_on_exec(descriptor, true)?,
        (CLEAR_CLOSE_ON_EXEC, _) => files.set_close_on_exec(descriptor, false)?,
        (BLOCK_SIZE, _) => {
            let size = low_half(status::BLOCK_SIZE);
            Record::<4>::new().set_u32(0, size).store(call.space, out)?;
        }
        (FILE_SIZE, Object::File(node) | Object::Directory(node)) => {
            Record::<8>::new().set_u64(0, files.system.status(node).size).store(call.space, out)?;
        }
        // Terminals above all: nothing is one.
        _ => return Err(Errno::ENOTTY),
    }
    Ok(Answer::ZERO)
}

/// `lseek(int fd, off_t offset, int whence)`
pub(crate) fn lseek(call: &mut Call<'_>, descriptor: i32, offset: i64, whence: u32) -> Outcome {
    const SET: u32 = 0;
    const CURRENT: u32 = 1;
    const END: u32 = 2;
    const DATA: u32 = 3;
    const HOLE: u32 = 4;

    let files = &mut call.kernel.files;
    let description = *files.usable(descriptor)?;
    if whence > HOLE {
        return Err(Errno::EINVAL);
    }
    let is_list = match description.object {
        Object::Directory(node) => files.system.status(node).kind == Kind::Descriptors,
        _ => false,
    };
    let size = match description.object {
        Object::File(node) => files.system.status(node).size,
        // The list of descriptors has no size for this, and other directories have no end.
        Object::Directory(_) if is_list => 0,
        Object::Directory(_) if whence > CURRENT => return Err(Errno::EINVAL),
        Object::Directory(_) => 0,
        Object::Device(..) => return Ok(Answer::ZERO),
        _ => return Err(Errno::ESPIPE),
    };
    let position = match whence {
        SET => u64::try_from(offset).ok(),
        CURRENT => description.offset.checked_add_signed(offset),
        END => size.checked_add_signed(offset),
        _ => {
            let start = u64::try_from(offset).ok().filter(|&start| start < size);
            let start = start.ok_or(Errno::ENXIO)?;
            Some(if whence == DATA { start } else { size })
        }
    };
    // The list of descriptors is a file of the old kind, whose positions are those of an `int`.
    let largest = if is_list { i32::MAX.unsigned_abs().into() } else { i64::MAX.unsigned_abs() };
    let position = position.filter(|&position| position <= largest);
    let position = position.ok_or(Errno::EINVAL)?;
    files.description_mut(descriptor)?.offset = position;
    Ok(Answer::value(position))
}

/// `syncfs(int fd)`: nothing is buffered.
pub(crate) fn syncfs(call: &mut Call<'_>, fd: i32) -> Outcome {
    call.kernel.files.usable(fd)?;
    Ok(Answer::ZERO)
}

/// `fsync(int fd)` and `fdatasync(int fd)`, which streams refuse.
pub(crate) fn fsync(call: &mut Call<'_>, fd: i32) -> Outcome {
    match call.kernel.files.usable(fd)?.object {
        Object::File(_) | Object::Directory(_) => Ok(Answer::ZERO),
        _ => Err(Errno::EINVAL),
    }
}

/// `sync_file_range(int fd, off_t offset, off_t length, unsigned flags)`
pub(crate) fn sync_file_range(
    call: &mut Call<'_>,
    fd: i32,
    offset: i64,
    length: i64,
    flags: u32,
) -> Outcome {
    const KNOWN: u32 = 7;
    let object = call.kernel.files.usable(fd)?.object;
    let is_range = offset >= 0 && offset.checked_add(length).is_some_and(|end| end >= offset);
    if flags & !KNOWN != 0 || !is_range {
        return Err(Errno::EINVAL);
    }
    match object {
        Object::File(_) | Object::Directory(_) => Ok(Answer::ZERO),
        _ => Err(Errno::ESPIPE),
    }
}

/// `readahead(int fd, off_t offset, size_t count)`: everything is in memory.
pub(crate) fn readahead(call: &mut Call<'_>, fd: i32, _: u64, count: i64) -> Outcome {
    let description = call.kernel.files.usable(fd)?;
    match description.object {
        _ if !description.is_readable() => Err(Errno::EBADF),
        Object::File(_) if count >= 0 => Ok(Answer::ZERO),
        _ => Err(Errno::EINVAL),
    }
}

/// `fadvise64(int fd, off_t offset, size_t length, int advice)`
pub(crate) fn fadvise64(call: &mut Call<'_>, fd: i32, _: u64, length: i64, advice: u32) -> Outcome {
    match call.kernel.files.usable(fd)?.object {
        object if object.is_stream() => Err(Errno::ESPIPE),
        _ if length < 0 || advice > 5 => Err(Errno::EINVAL),
        _ => Ok(Answer::ZERO),
    }
}
