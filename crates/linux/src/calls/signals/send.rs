//! Sending signals: `kill` and its relatives. There is nobody but the program itself to send them to.

use super::actions::signal_number;
use crate::answer::{Answer, Outcome};
use crate::calls::call::Call;
use crate::errno::Errno;
use crate::guest::{Record, read_array};
use crate::task::id::{PARENT_ID, PROCESS_ID};
use crate::task::signals::{INFO_SIZE, SIGNALS, Signal};
use ampoule_memory::AddressSpace;

fn send(call: &mut Call<'_>, signal: u32, code: i32) -> Outcome {
    if signal == 0 {
        return Ok(Answer::ZERO);
    }
    match call.raise(Signal::by_itself(signal_number(signal)?, code)) {
        // As in Linux, `kill` does not say that one more of them is not kept.
        Err(Errno::EAGAIN) if code == Signal::BY_KILL => Ok(Answer::ZERO),
        raised => Ok(raised?.map_or(Answer::ZERO, Answer::End)),
    }
}

/// Whether `id` is the program's process and only thread.
///
/// # Errors
/// `EINVAL` for impossible numbers, `ESRCH` for others.
fn check_thread(id: i32) -> Result<(), Errno> {
    match u32::try_from(id) {
        Ok(PROCESS_ID) => Ok(()),
        Ok(0) | Err(_) => Err(Errno::EINVAL),
        Ok(_) => Err(Errno::ESRCH),
    }
}

/// `kill(pid_t process, int signal)`: to itself, by number or as its group.
pub(crate) fn kill(call: &mut Call<'_>, process: i32, signal: u32) -> Outcome {
    match process {
        // Every process but the caller: there is none.
        -1 => Err(Errno::ESRCH),
        process if process == 0 || process.unsigned_abs() == PROCESS_ID => {
            send(call, signal, Signal::BY_KILL)
        }
        // The parent is there, and like any first process it has no signal delivered by default.
        process if u32::try_from(process) == Ok(PARENT_ID) => match signal {
            0 => Ok(Answer::ZERO),
            signal => signal_number(signal).map(|_| Answer::ZERO),
        },
        _ => Err(Errno::ESRCH),
    }
}

/// `tkill(pid_t thread, int signal)`
pub(crate) fn tkill(call: &mut Call<'_>, thread: i32, signal: u32) -> Outcome {
    check_thread(thread)?;
    send(call, signal, Signal::BY_THREAD_KILL)
}

/// `tgkill(pid_t group, pid_t thread, int signal)`
pub(crate) fn tgkill(call: &mut Call<'_>, group: i32, thread: i32, signal: u32) -> Outcome {
    check_group(group, thread)?;
    send(call, signal, Signal::BY_THREAD_KILL)
}

/// Checks a group and a thread of it.
fn check_group(group: i32, thread: i32) -> Result<(), Errno> {
    if group <= 0 || thread <= 0 {
        return Err(Errno::EINVAL);
    }
    check_thread(group)?;
    check_thread(thread)
}

/// What is told with a signal.
fn read_info(space: &mut AddressSpace, address: u64) -> Result<Record<INFO_SIZE>, Errno> {
    Ok(Record::from(read_array(space, address)?))
}

fn queue(call: &mut Call<'_>, signal: u32, info: Record<INFO_SIZE>) -> Outcome {
    if signal > SIGNALS {
        return Err(Errno::EINVAL);
    }
    if signal == 0 {
        return Ok(Answer::ZERO);
    }
    let info = info.set_u32(0, signal);
    let signal = Signal::with_info(signal, info.as_bytes());
    Ok(call.raise(signal)?.map_or(Answer::ZERO, Answer::End))
}

/// Whether what is told pretends to come from the kernel, or from `tgkill`.
fn pretends(info: &Record<INFO_SIZE>) -> bool {
    let code = info.u32(8).cast_signed();
    code >= 0 || code == Signal::BY_THREAD_KILL
}

/// `rt_sigqueueinfo(pid_t group, int signal, siginfo_t *info)`
pub(crate) fn rt_sigqueueinfo(call: &mut Call<'_>, group: i32, signal: u32, info: u64) -> Outcome {
    let info = read_info(call.space, info)?;
    let process = u32::try_from(group);
    match process {
        Ok(PROCESS_ID) => queue(call, signal, info),
        _ if pretends(&info) => Err(Errno::EPERM),
        _ => Err(Errno::ESRCH),
    }
}

/// `rt_tgsigqueueinfo(pid_t group, pid_t thread, int signal, siginfo_t *info)`
pub(crate) fn rt_tgsigqueueinfo(
    call: &mut Call<'_>,
    group: i32,
    thread: i32,
    signal: u32,
    info: u64,
) -> Outcome {
    let info = read_info(call.space, info)?;
    if group <= 0 || thread <= 0 {
        return Err(Errno::EINVAL);
    }
    if pretends(&info) && u32::try_from(thread) != Ok(PROCESS_ID) {
        return Err(Errno::EPERM);
    }
    check_group(group, thread)?;
    queue(call, signal, info)
}
