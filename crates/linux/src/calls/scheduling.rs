//! Scheduling: one processor, one policy, and a nice value that is kept.

use super::call::Call;
use super::process::check_self;
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Record, read_u32, to_usize};

/// Checks that `getpriority` and `setpriority` mean this process, its group or its user.
fn check_whose(which: u32, who: i32) -> Result<(), Errno> {
    const PROCESS: u32 = 0;
    const GROUP: u32 = 1;
    const USER: u32 = 2;
    match which {
        PROCESS | GROUP => check_self(who),
        USER if who == 0 => Ok(()),
        USER => Err(Errno::ESRCH),
        _ => Err(Errno::EINVAL),
    }
}

/// `getpriority(int which, id_t who)`: the kernel tells 20 less the nice value.
pub(crate) fn getpriority(call: &mut Call<'_>, which: u32, who: i32) -> Outcome {
    check_whose(which, who)?;
    Ok(Answer::Return((20 - call.kernel.identity.nice).into()))
}

/// `setpriority(int which, id_t who, int nice)`: nobody may become more important.
pub(crate) fn setpriority(call: &mut Call<'_>, which: u32, who: i32, nice: i32) -> Outcome {
    check_whose(which, who)?;
    let nice = nice.clamp(-20, 19);
    if nice < call.kernel.identity.nice {
        return Err(Errno::EACCES);
    }
    call.kernel.identity.nice = nice;
    Ok(Answer::ZERO)
}

/// `sched_getaffinity(pid_t process, size_t size, unsigned long *mask)`: processor 0.
pub(crate) fn sched_getaffinity(
    call: &mut Call<'_>,
    process: i32,
    size: u32,
    mask: u64,
) -> Outcome {
    if size < 8 || !size.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    check_self(process)?;
    Record::<8>::new().set_u64(0, 1).store(call.space, mask)?;
    Ok(Answer::value(8))
}

/// `sched_setaffinity(pid_t process, size_t size, const unsigned long *mask)`
pub(crate) fn sched_setaffinity(
    call: &mut Call<'_>,
    process: i32,
    size: u64,
    mask: u64,
) -> Outcome {
    let mut first = [0];
    let size = size.min(1);
    call.space.read(mask, &mut first[..to_usize(size)])?;
    check_self(process)?;
    if first[0] & 1 == 0 { Err(Errno::EINVAL) } else { Ok(Answer::ZERO) }
}

/// Checks the thread that a `sched_` call names.
fn check_thread(id: i32) -> Result<(), Errno> {
    if id < 0 { Err(Errno::EINVAL) } else { check_self(id) }
}

/// `sched_getscheduler(pid_t process)`: `SCHED_OTHER`.
pub(crate) fn sched_getscheduler(_: &mut Call<'_>, process: i32) -> Outcome {
    check_thread(process)?;
    Ok(Answer::ZERO)
}

/// `sched_getparam(pid_t process, struct sched_param *parameter)`
pub(crate) fn sched_getparam(call: &mut Call<'_>, process: i32, parameter: u64) -> Outcome {
    if parameter == 0 {
        return Err(Errno::EINVAL);
    }
    check_thread(process)?;
    Record::<4>::new().store(call.space, parameter)?;
    Ok(Answer::ZERO)
}

/// `sched_setparam(pid_t process, const struct sched_param *parameter)`: the policy knows no priority but 0.
pub(crate) fn sched_setparam(call: &mut Call<'_>, process: i32, parameter: u64) -> Outcome {
    if parameter == 0 || process < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = read_u32(call.space, parameter)?;
    check_thread(process)?;
    if priority == 0 { Ok(Answer::ZERO) } else { Err(Errno::EINVAL) }
}

/// `sched_get_priority_max(int policy)`
pub(crate) fn sched_get_priority_max(_: &mut Call<'_>, policy: u32) -> Outcome {
    priority_bound(policy, 99)
}

/// `sched_get_priority_min(int policy)`
pub(crate) fn sched_get_priority_min(_: &mut Call<'_>, policy: u32) -> Outcome {
    priority_bound(policy, 1)
}

fn priority_bound(policy: u32, real_time: u64) -> Outcome {
    match policy {
        0 | 3 | 5 | 6 => Ok(Answer::ZERO),
        1 | 2 => Ok(Answer::value(real_time)),
        _ => Err(Errno::EINVAL),
    }
}

/// `ioprio_get(int which, int who)`: none was set.
pub(crate) fn ioprio_get(_: &mut Call<'_>, which: u32, who: i32) -> Outcome {
    const PROCESS: u32 = 1;
    const GROUP: u32 = 2;
    const USER: u32 = 3;
    match which {
        PROCESS | GROUP => check_self(who)?,
        USER if who == 0 => {}
        USER => return Err(Errno::ESRCH),
        _ => return Err(Errno::EINVAL),
    }
    Ok(Answer::ZERO)
}
