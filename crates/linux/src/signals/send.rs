//! Sending signals: `kill` and its relatives. There is nobody but the program itself to send them to.

use super::{INFO_SIZE, SIGNALS, Signal, signal_number};
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Arguments, Record, read_array};
use crate::personality::Personality;
use crate::process::{PARENT_ID, PROCESS_ID};
use ampoule_memory::AddressSpace;

impl Personality {
    fn send(&mut self, signal: u32, code: i32) -> Outcome {
        match signal {
            0 => Ok(Answer::ZERO),
            _ => {
                match self.raise(Signal::by_itself(signal_number(signal)?, code)) {
                    // As in Linux, `kill` does not say that one more of them is not kept.
                    Err(Errno::EAGAIN) if code == Signal::BY_KILL => Ok(Answer::ZERO),
                    raised => Ok(raised?.unwrap_or(Answer::ZERO)),
                }
            }
        }
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
pub(crate) fn kill(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    match arguments.int(0) {
        // Every process but the caller: there is none.
        -1 => Err(Errno::ESRCH),
        process if process == 0 || process.unsigned_abs() == PROCESS_ID => {
            personality.send(arguments.uint(1), Signal::BY_KILL)
        }
        // The parent is there, and like any first process it has no signal delivered by default.
        process if u32::try_from(process) == Ok(PARENT_ID) => match arguments.uint(1) {
            0 => Ok(Answer::ZERO),
            signal => signal_number(signal).map(|_| Answer::ZERO),
        },
        _ => Err(Errno::ESRCH),
    }
}

/// `tkill(pid_t thread, int signal)`
pub(crate) fn tkill(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_thread(arguments.int(0))?;
    personality.send(arguments.uint(1), Signal::BY_THREAD_KILL)
}

/// `tgkill(pid_t group, pid_t thread, int signal)`
pub(crate) fn tgkill(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_group(arguments)?;
    personality.send(arguments.uint(2), Signal::BY_THREAD_KILL)
}

/// Checks a group and a thread of it.
fn check_group(arguments: &Arguments) -> Result<(), Errno> {
    let (group, thread) = (arguments.int(0), arguments.int(1));
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

fn queue(personality: &mut Personality, signal: u32, info: Record<INFO_SIZE>) -> Outcome {
    if signal > SIGNALS {
        return Err(Errno::EINVAL);
    }
    if signal == 0 {
        return Ok(Answer::ZERO);
    }
    let info = info.set_u32(0, signal);
    let signal = Signal::with_info(signal, info.as_bytes());
    Ok(personality.raise(signal)?.unwrap_or(Answer::ZERO))
}

/// Whether what is told pretends to come from the kernel, or from `tgkill`.
fn pretends(info: &Record<INFO_SIZE>) -> bool {
    let code = info.u32(8).cast_signed();
    code >= 0 || code == Signal::BY_THREAD_KILL
}

/// `rt_sigqueueinfo(pid_t group, int signal, siginfo_t *info)`
pub(crate) fn rt_sigqueueinfo(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let info = read_info(space, arguments.get(2))?;
    let process = u32::try_from(arguments.int(0));
    match process {
        Ok(PROCESS_ID) => queue(personality, arguments.uint(1), info),
        _ if pretends(&info) => Err(Errno::EPERM),
        _ => Err(Errno::ESRCH),
    }
}

/// `rt_tgsigqueueinfo(pid_t group, pid_t thread, int signal, siginfo_t *info)`
pub(crate) fn rt_tgsigqueueinfo(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let info = read_info(space, arguments.get(3))?;
    if arguments.int(0) <= 0 || arguments.int(1) <= 0 {
        return Err(Errno::EINVAL);
    }
    if pretends(&info) && u32::try_from(arguments.int(1)) != Ok(PROCESS_ID) {
        return Err(Errno::EPERM);
    }
    check_group(arguments)?;
    queue(personality, arguments.uint(2), info)
}
