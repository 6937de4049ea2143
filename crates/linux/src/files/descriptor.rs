//! Closing, duplicating and asking about descriptors.

use super::pipe::{PIPE_SIZE, SLOT};
use super::system::Kind;
use super::{CLOSE_ON_EXEC, DIRECT, Files, NONBLOCK, Object, PATH_ONLY};
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Arguments, Record, low_half};
use crate::personality::Personality;
use ampoule_memory::AddressSpace;

/// Status flags that `F_SETFL` can change: append, non-blocking, direct, without access times.
const SETTABLE: u32 = 0o2000 | NONBLOCK | DIRECT | 0o100_0000;

/// `close(int fd)`
pub(crate) fn close(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    personality.files.close(Files::number(arguments.int(0))?)?;
    Ok(Answer::ZERO)
}

/// `close_range(unsigned first, unsigned last, int flags)`
pub(crate) fn close_range(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const MARK_ONLY: u32 = 4;
    const UNSHARE: u32 = 2;
    let (first, last, flags) = (arguments.uint(0), arguments.uint(1), arguments.uint(2));
    if first > last || flags & !(MARK_ONLY | UNSHARE) != 0 {
        return Err(Errno::EINVAL);
    }
    let files = &mut personality.files;
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
pub(crate) fn dup(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let number = personality.files.duplicate(Files::number(arguments.int(0))?, 0, false)?;
    Ok(Answer::value(number as u64))
}

/// `dup2(int old, int new)`
pub(crate) fn dup2(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let files = &mut personality.files;
    let old = Files::number(arguments.int(0))?;
    let new = Files::number(arguments.int(1))?;
    if old == new {
        files.description(old)?;
    } else {
        files.duplicate_to(old, new, false)?;
    }
    Ok(Answer::value(new as u64))
}

/// `dup3(int old, int new, int flags)`
pub(crate) fn dup3(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let flags = arguments.uint(2);
    if flags & !CLOSE_ON_EXEC != 0 || arguments.int(0) == arguments.int(1) {
        return Err(Errno::EINVAL);
    }
    let old = Files::number(arguments.int(0))?;
    let new = Files::number(arguments.int(1))?;
    personality.files.duplicate_to(old, new, flags & CLOSE_ON_EXEC != 0)?;
    Ok(Answer::value(new as u64))
}

/// `fcntl(int fd, int command, long argument)`
pub(crate) fn fcntl(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
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

    let files = &mut personality.files;
    let descriptor = arguments.int(0);
    let description = *files.description_of(descriptor)?;
    let command = arguments.uint(1);
    let value = match command {
        DUPLICATE | DUPLICATE_CLOSE_ON_EXEC => {
            let from = usize::try_from(arguments.int(2)).map_err(|_| Errno::EINVAL)?;
            if from >= files.descriptor_limit {
                return Err(Errno::EINVAL);
            }
            let close_on_exec = command == DUPLICATE_CLOSE_ON_EXEC;
            files.duplicate(Files::number(descriptor)?, from, close_on_exec)? as u64
        }
        GET_DESCRIPTOR_FLAGS => u64::from(files.close_on_exec(descriptor)?),
        SET_DESCRIPTOR_FLAGS => {
            files.set_close_on_exec(descriptor, arguments.get(2) & 1 != 0)?;
            0
        }
        GET_STATUS_FLAGS => u64::from(description.flags & !CLOSE_ON_EXEC),
        _ if description.flags & PATH_ONLY != 0 => return Err(Errno::EBADF),
        SET_STATUS_FLAGS => {
            let flags = description.flags & !SETTABLE | arguments.uint(2) & SETTABLE;
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
                files.resize_pipe(index, arguments.uint(2))?
            }
            Object::Pipe(index) => (files.pipe(index)?.capacity * SLOT) as u64,
            // Theirs is the host's to say.
            Object::Input | Object::Output(_) if command == SET_PIPE_SIZE => {
                return Err(Errno::EPERM);
            }
            Object::Input | Object::Output(_) => PIPE_SIZE as u64,
            _ => return Err(Errno::EBADF),
        },
        _ => return super::locks::control(&description, space, command, arguments.get(2)),
    };
    Ok(Answer::value(value))
}

/// `ioctl(int fd, unsigned long request, void *argument)`
pub(crate) fn ioctl(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const BLOCK_SIZE: u32 = 2;
    const SET_NONBLOCK: u32 = 0x5421;
    const COUNT_READABLE: u32 = 0x541b;
    const CLEAR_CLOSE_ON_EXEC: u32 = 0x5450;
    const SET_CLOSE_ON_EXEC: u32 = 0x5451;
    const FILE_SIZE: u32 = 0x5460;

    let files = &mut personality.files;
    let descriptor = arguments.int(0);
    let description = *files.usable(descriptor)?;
    let out = arguments.get(2);
    match (arguments.uint(1), description.object) {
        (COUNT_READABLE, Object::File(node)) => {
            // Negative beyond the end, as in Linux.
            let size = files.system.status(node).size;
            let count = low_half(size.wrapping_sub(description.offset));
            Record::<4>::new().set_u32(0, count).store(space, out)?;
        }
        // Standard input counts as readable for `poll`, so that there has to be something, or its end.
        (COUNT_READABLE, Object::Input) if files.input.is_empty() && !files.input_ended => {
            return Ok(Answer::NeedInput { wanted: PIPE_SIZE });
        }
        (COUNT_READABLE, object) => {
            let count = match object {
                Object::Input => files.input.len(),
                Object::Pipe(index) => files.pipe(index)?.len(),
                _ => return Err(Errno::ENOTTY),
            };
            let count = u32::try_from(count).unwrap_or(i32::MAX.unsigned_abs());
            Record::<4>::new().set_u32(0, count).store(space, out)?;
        }
        (SET_NONBLOCK, _) => {
            let on = crate::guest::read_u32(space, out)? != 0;
            let flags = &mut files.description_mut(descriptor)?.flags;
            *flags = if on { *flags | NONBLOCK } else { *flags & !NONBLOCK };
        }
        (SET_CLOSE_ON_EXEC, _) => files.set_close_on_exec(descriptor, true)?,
        (CLEAR_CLOSE_ON_EXEC, _) => files.set_close_on_exec(descriptor, false)?,
        (BLOCK_SIZE, _) => {
            let size = low_half(super::status::BLOCK_SIZE);
            Record::<4>::new().set_u32(0, size).store(space, out)?;
        }
        (FILE_SIZE, Object::File(node) | Object::Directory(node)) => {
            Record::<8>::new().set_u64(0, files.system.status(node).size).store(space, out)?;
        }
        // Terminals above all: nothing is one.
        _ => return Err(Errno::ENOTTY),
    }
    Ok(Answer::ZERO)
}

/// `lseek(int fd, off_t offset, int whence)`
pub(crate) fn lseek(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const SET: u32 = 0;
    const CURRENT: u32 = 1;
    const END: u32 = 2;
    const DATA: u32 = 3;
    const HOLE: u32 = 4;

    let files = &mut personality.files;
    let descriptor = arguments.int(0);
    let description = *files.usable(descriptor)?;
    let whence = arguments.uint(2);
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
    let offset = arguments.long(1);
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
pub(crate) fn syncfs(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    personality.files.usable(arguments.int(0))?;
    Ok(Answer::ZERO)
}

/// `fsync(int fd)` and `fdatasync(int fd)`, which streams refuse.
pub(crate) fn fsync(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    match personality.files.usable(arguments.int(0))?.object {
        Object::File(_) | Object::Directory(_) => Ok(Answer::ZERO),
        _ => Err(Errno::EINVAL),
    }
}

/// `sync_file_range(int fd, off_t offset, off_t length, unsigned flags)`
pub(crate) fn sync_file_range(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const KNOWN: u32 = 7;
    let object = personality.files.usable(arguments.int(0))?.object;
    let (offset, length) = (arguments.long(1), arguments.long(2));
    let is_range = offset >= 0 && offset.checked_add(length).is_some_and(|end| end >= offset);
    if arguments.uint(3) & !KNOWN != 0 || !is_range {
        return Err(Errno::EINVAL);
    }
    match object {
        Object::File(_) | Object::Directory(_) => Ok(Answer::ZERO),
        _ => Err(Errno::ESPIPE),
    }
}

/// `readahead(int fd, off_t offset, size_t count)`: everything is in memory.
pub(crate) fn readahead(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let description = personality.files.usable(arguments.int(0))?;
    match description.object {
        _ if !description.is_readable() => Err(Errno::EBADF),
        Object::File(_) if arguments.long(2) >= 0 => Ok(Answer::ZERO),
        _ => Err(Errno::EINVAL),
    }
}

/// `fadvise64(int fd, off_t offset, size_t length, int advice)`
pub(crate) fn fadvise64(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    match personality.files.usable(arguments.int(0))?.object {
        object if object.is_stream() => Err(Errno::ESPIPE),
        _ if arguments.long(2) < 0 || arguments.uint(3) > 5 => Err(Errno::EINVAL),
        _ => Ok(Answer::ZERO),
    }
}
