//! Scheduling: one processor, one policy, and a nice value that is kept.

use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Arguments, Record, read_u32, to_usize};
use crate::personality::Personality;
use crate::process::check_self;
use ampoule_memory::AddressSpace;

/// Checks that `getpriority` and `setpriority` mean this process, its group or its user.
fn check_whose(arguments: &Arguments) -> Result<(), Errno> {
    const PROCESS: u32 = 0;
    const GROUP: u32 = 1;
    const USER: u32 = 2;
    match arguments.uint(0) {
        PROCESS | GROUP => check_self(arguments.int(1)),
        USER if arguments.int(1) == 0 => Ok(()),
        USER => Err(Errno::ESRCH),
        _ => Err(Errno::EINVAL),
    }
}

/// `getpriority(int which, id_t who)`: the kernel tells 20 less the nice value.
pub(crate) fn getpriority(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_whose(arguments)?;
    Ok(Answer::Return((20 - personality.process.nice).into()))
}

/// `setpriority(int which, id_t who, int nice)`: nobody may become more important.
pub(crate) fn setpriority(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_whose(arguments)?;
    let nice = arguments.int(2).clamp(-20, 19);
    if nice < personality.process.nice {
        return Err(Errno::EACCES);
    }
    personality.process.nice = nice;
    Ok(Answer::ZERO)
}

/// `sched_getaffinity(pid_t, size_t size, unsigned long *mask)`: processor 0.
pub(crate) fn sched_getaffinity(
    _: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let size = arguments.uint(1);
    if size < 8 || !size.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    check_self(arguments.int(0))?;
    Record::<8>::new().set_u64(0, 1).store(space, arguments.get(2))?;
    Ok(Answer::value(8))
}

/// `sched_setaffinity(pid_t, size_t size, const unsigned long *mask)`
pub(crate) fn sched_setaffinity(
    _: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let mut first = [0];
    let size = arguments.get(1).min(1);
    space.read(arguments.get(2), &mut first[..to_usize(size)])?;
    check_self(arguments.int(0))?;
    if first[0] & 1 == 0 { Err(Errno::EINVAL) } else { Ok(Answer::ZERO) }
}

/// Checks the thread that a `sched_` call names.
fn check_thread(id: i32) -> Result<(), Errno> {
    if id < 0 { Err(Errno::EINVAL) } else { check_self(id) }
}

/// `sched_getscheduler(pid_t)`: `SCHED_OTHER`.
pub(crate) fn sched_getscheduler(
    _: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_thread(arguments.int(0))?;
    Ok(Answer::ZERO)
}

/// `sched_getparam(pid_t, struct sched_param *)`
pub(crate) fn sched_getparam(
    _: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    if arguments.get(1) == 0 {
        return Err(Errno::EINVAL);
    }
    check_thread(arguments.int(0))?;
    Record::<4>::new().store(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

/// `sched_setparam(pid_t, const struct sched_param *)`: the policy knows no priority but 0.
pub(crate) fn sched_setparam(
    _: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    if arguments.get(1) == 0 || arguments.int(0) < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = read_u32(space, arguments.get(1))?;
    check_thread(arguments.int(0))?;
    if priority == 0 { Ok(Answer::ZERO) } else { Err(Errno::EINVAL) }
}

/// `sched_get_priority_max(int policy)`
pub(crate) fn sched_get_priority_max(
    _: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    priority_bound(arguments, 99)
}

/// `sched_get_priority_min(int policy)`
pub(crate) fn sched_get_priority_min(
    _: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    priority_bound(arguments, 1)
}

fn priority_bound(arguments: &Arguments, real_time: u64) -> Outcome {
    match arguments.uint(0) {
        0 | 3 | 5 | 6 => Ok(Answer::ZERO),
        1 | 2 => Ok(Answer::value(real_time)),
        _ => Err(Errno::EINVAL),
    }
}

/// `ioprio_get(int which, int who)`: none was set.
pub(crate) fn ioprio_get(
    _: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const PROCESS: u32 = 1;
    const GROUP: u32 = 2;
    const USER: u32 = 3;
    match arguments.uint(0) {
        PROCESS | GROUP => check_self(arguments.int(1))?,
        USER if arguments.int(1) == 0 => {}
        USER => return Err(Errno::ESRCH),
        _ => return Err(Errno::EINVAL),
    }
    Ok(Answer::ZERO)
}
