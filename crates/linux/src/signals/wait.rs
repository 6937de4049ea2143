//! Waiting for signals, which only the program's own timers can send.

use super::{UNBLOCKABLE, check_mask_size};
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Arguments, read_u64};
use crate::personality::Personality;
use crate::time;
use ampoule_memory::AddressSpace;

/// What a wait waits for in vain.
const SIGNAL: &str = "a signal that nobody can send";

/// `rt_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout, size)`
pub(crate) fn rt_sigtimedwait(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_mask_size(arguments.get(3))?;
    let set = read_u64(space, arguments.get(0))? & !UNBLOCKABLE;
    let timeout = time::read_optional_timespec(space, arguments.get(2))?;
    let Some(signal) = personality.thread_mut().signals.dequeue(set) else {
        return match timeout {
            Some(nanoseconds) => personality.sleep(nanoseconds, Err(Errno::EAGAIN)),
            None => Ok(Answer::Deadlock { waiting_for: SIGNAL }),
        };
    };
    // It is taken, even where what is told with it cannot be stored.
    signal.record().store_if(space, arguments.get(1))?;
    Ok(Answer::value(signal.number.into()))
}

/// `rt_sigsuspend(const sigset_t *mask, size_t size)`
pub(crate) fn rt_sigsuspend(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_mask_size(arguments.get(1))?;
    let (address, size) = (arguments.get(0), arguments.get(1));
    if address == 0 {
        return Err(Errno::EFAULT);
    }
    match personality.take_pending_through(space, address, size)? {
        Some(answer) => Ok(answer),
        None => pause(personality, space, arguments),
    }
}

/// `pause()`
pub(crate) fn pause(_: &mut Personality, _: &mut AddressSpace, _: &Arguments) -> Outcome {
    Ok(Answer::Deadlock { waiting_for: SIGNAL })
}
