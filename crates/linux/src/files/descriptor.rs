//! Opening, closing, duplicating and asking about descriptors.

use super::path::{Found, Last, path_argument};
use super::system::{Device, Kind};
use super::{CLOSE_ON_EXEC, Files, NONBLOCK, Object, PATH_ONLY, READ_ONLY};
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Arguments, Record, low_half};
use crate::personality::Personality;
use ampoule_memory::AddressSpace;

const CREATE: u32 = 0o100;
const EXCLUSIVE: u32 = 0o200;
const TRUNCATE: u32 = 0o1000;
const DIRECTORY: u32 = 0o20_0000;
const NO_FOLLOW: u32 = 0o40_0000;
const TEMPORARY: u32 = 0o2000_0000;
/// Flags that `open` keeps in the description: access mode, append, non-blocking and the like.
const KEPT: u32 = !(CREATE | EXCLUSIVE | TRUNCATE | NO_FOLLOW | 0o400);
/// Status flags that `F_SETFL` can change.
const SETTABLE: u32 = 0o2000 | NONBLOCK | 0o2_0000 | 0o4_0000 | 0o100_0000;

fn open_at(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
    descriptor: Option<usize>,
    path_index: usize,
    flags: u32,
) -> Outcome {
    let files = &mut personality.files;
    let (base, path) = path_argument(files, space, arguments, descriptor, path_index)?;
    let writes = flags & super::ACCESS_MODE != READ_ONLY || flags & TRUNCATE != 0;
    if flags & TEMPORARY != 0 {
        return Err(Errno::EROFS);
    }
    let keep_last = flags & NO_FOLLOW != 0 || flags & (CREATE | EXCLUSIVE) == CREATE | EXCLUSIVE;
    let last = if keep_last { Last::Keep } else { Last::Follow };
    let found = match files.resolve(base, &path, last) {
        Ok(_) if flags & (CREATE | EXCLUSIVE) == CREATE | EXCLUSIVE => return Err(Errno::EEXIST),
        Ok(found) => found,
        Err(Errno::ENOENT) if flags & CREATE != 0 => {
            files.resolve_parent(base, &path)?;
            return Err(Errno::EROFS);
        }
        Err(errno) => return Err(errno),
    };
    if let Found::Descriptor(number) = found {
        if flags & DIRECTORY != 0 {
            return Err(Errno::ENOTDIR);
        }
        // The description is shared rather than opened anew; for streams that is the same.
        let number = files.duplicate(number, 0, flags & CLOSE_ON_EXEC != 0)?;
        return Ok(Answer::value(number as u64));
    }
    if let Found::Node(node) = found {
        match files.system.status(node).kind {
            Kind::Link if flags & PATH_ONLY == 0 => return Err(Errno::ELOOP),
            Kind::Directory | Kind::Descriptors if writes || flags & CREATE != 0 => {
                return Err(Errno::EISDIR);
            }
            Kind::Regular | Kind::Device(_) | Kind::Link if flags & DIRECTORY != 0 => {
                return Err(Errno::ENOTDIR);
            }
            Kind::Regular if writes && flags & PATH_ONLY == 0 => return Err(Errno::EROFS),
            _ => {}
        }
    }
    let object = files.object_of(found)?;
    let number = files.open(object, flags & KEPT)?;
    Ok(Answer::value(number as u64))
}

/// `open(const char *path, int flags, mode_t mode)`
pub(crate) fn open(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    open_at(personality, space, arguments, None, 0, arguments.uint(1))
}

/// `creat(const char *path, mode_t mode)`
pub(crate) fn creat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    open_at(personality, space, arguments, None, 0, super::WRITE_ONLY | CREATE | TRUNCATE)
}

/// `openat(int directory, const char *path, int flags, mode_t mode)`
pub(crate) fn openat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    open_at(personality, space, arguments, Some(0), 1, arguments.uint(2))
}

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
    const GET_LOCK: u32 = 5;
    const SET_LOCK: u32 = 6;
    const SET_LOCK_WAIT: u32 = 7;
    const SET_OWNER: u32 = 8;
    const GET_OWNER: u32 = 9;
    const GET_OPEN_LOCK: u32 = 36;
    const SET_OPEN_LOCK: u32 = 37;
    const SET_OPEN_LOCK_WAIT: u32 = 38;
    const DUPLICATE_CLOSE_ON_EXEC: u32 = 1030;
    const SET_PIPE_SIZE: u32 = 1031;
    const GET_PIPE_SIZE: u32 = 1032;

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
        SET_STATUS_FLAGS => {
            let flags = description.flags & !SETTABLE | arguments.uint(2) & SETTABLE;
            files.description_mut(descriptor)?.flags = flags;
            0
        }
        GET_LOCK | GET_OPEN_LOCK => {
            // Nobody else exists who could hold a lock: l_type = F_UNLCK.
            const UNLOCKED: u16 = 2;
            Record::<2>::new().set_u16(0, UNLOCKED).store(space, arguments.get(2))?;
            0
        }
        SET_LOCK | SET_LOCK_WAIT | SET_OPEN_LOCK | SET_OPEN_LOCK_WAIT | SET_OWNER | GET_OWNER => 0,
        SET_PIPE_SIZE | GET_PIPE_SIZE => match description.object {
            Object::PipeReader(_) | Object::PipeWriter(_) | Object::Input | Object::Output(_) => {
                super::pipe::PIPE_SIZE as u64
            }
            _ => return Err(Errno::EBADF),
        },
        _ => return Err(Errno::EINVAL),
    };
    Ok(Answer::value(value))
}

/// `ioctl(int fd, unsigned long request, void *argument)`
pub(crate) fn ioctl(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const SET_NONBLOCK: u32 = 0x5421;
    const COUNT_READABLE: u32 = 0x541b;
    const CLEAR_CLOSE_ON_EXEC: u32 = 0x5450;
    const SET_CLOSE_ON_EXEC: u32 = 0x5451;

    let files = &mut personality.files;
    let descriptor = arguments.int(0);
    let description = *files.description_of(descriptor)?;
    match arguments.uint(1) {
        COUNT_READABLE => {
            let count = match description.object {
                Object::Input => files.input.len() as u64,
                Object::PipeReader(index) | Object::PipeWriter(index) => {
                    files.pipe(index)?.buffer.len() as u64
                }
                Object::File(node) => {
                    files.system.status(node).size.saturating_sub(description.offset)
                }
                _ => return Err(Errno::ENOTTY),
            };
            let count = low_half(count.min(i32::MAX.unsigned_abs().into()));
            Record::<4>::new().set_u32(0, count).store(space, arguments.get(2))?;
        }
        SET_NONBLOCK => {
            let on = crate::guest::read_u32(space, arguments.get(2))? != 0;
            let flags = &mut files.description_mut(descriptor)?.flags;
            *flags = if on { *flags | NONBLOCK } else { *flags & !NONBLOCK };
        }
        SET_CLOSE_ON_EXEC => files.set_close_on_exec(descriptor, true)?,
        CLEAR_CLOSE_ON_EXEC => files.set_close_on_exec(descriptor, false)?,
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
    let description = *files.description_of(descriptor)?;
    let size = match description.object {
        _ if description.flags & PATH_ONLY != 0 => return Err(Errno::EBADF),
        Object::File(node) => files.system.status(node).size,
        Object::Directory(_) => i64::MAX.unsigned_abs(),
        Object::Device(Device::Null | Device::Zero | Device::Full | Device::Random, _) => {
            return Ok(Answer::ZERO);
        }
        _ => return Err(Errno::ESPIPE),
    };
    let offset = arguments.long(1);
    let position = match arguments.uint(2) {
        SET => u64::try_from(offset).ok(),
        CURRENT => description.offset.checked_add_signed(offset),
        END => size.checked_add_signed(offset),
        DATA | HOLE => {
            let start = u64::try_from(offset).ok().filter(|&start| start < size);
            let start = start.ok_or(Errno::ENXIO)?;
            Some(if arguments.uint(2) == DATA { start } else { size })
        }
        _ => None,
    };
    let position = position.filter(|&position| i64::try_from(position).is_ok());
    let position = position.ok_or(Errno::EINVAL)?;
    files.description_mut(descriptor)?.offset = position;
    Ok(Answer::value(position))
}

/// Calls whose success changes nothing that the guest could see: `flock`, `fsync`, `fdatasync`,
/// `syncfs`, `readahead`. Nothing is buffered and nobody else holds locks.
pub(crate) fn no_effect(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    personality.files.description_of(arguments.int(0))?;
    Ok(Answer::ZERO)
}

/// `fsync(int fd)` and `fdatasync(int fd)`, which streams refuse.
pub(crate) fn fsync(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    match personality.files.description_of(arguments.int(0))?.object {
        Object::File(_) | Object::Directory(_) => Ok(Answer::ZERO),
        _ => Err(Errno::EINVAL),
    }
}

/// `fadvise64(int fd, off_t offset, size_t length, int advice)`
pub(crate) fn fadvise64(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    match personality.files.description_of(arguments.int(0))?.object {
        Object::Input | Object::Output(_) | Object::PipeReader(_) | Object::PipeWriter(_) => {
            Err(Errno::ESPIPE)
        }
        _ if arguments.uint(3) > 5 => Err(Errno::EINVAL),
        _ => Ok(Answer::ZERO),
    }
}
