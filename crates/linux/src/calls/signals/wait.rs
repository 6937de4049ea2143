//! Waiting for signals, which only the program's own timers can send.

use super::actions::check_mask_size;
use crate::answer::{Answer, Outcome, Termination};
use crate::calls::call::Call;
use crate::calls::time::read_optional_timespec;
use crate::errno::Errno;
use crate::guest::read_u64;
use crate::task::blocked::Event;
use crate::task::signals::UNBLOCKABLE;

/// Acts on signals that a mask of the guest's lets through, which stands for the task's own while a call waits.
/// The ending when one ends the program.
///
/// # Errors
/// `EFAULT`, `EINVAL` for a mask of another size.
pub(crate) fn take_pending_through(
    call: &mut Call<'_>,
    mask: u64,
    size: u64,
) -> Result<Option<Termination>, Errno> {
    if mask == 0 {
        return Ok(None);
    }
    check_mask_size(size)?;
    let mask = read_u64(call.space, mask)? & !UNBLOCKABLE;
    let state = &mut call.task.signals;
    let before = std::mem::replace(&mut state.mask, mask);
    let ended = call.kernel.signals.take_pending(state);
    state.mask = before;
    Ok(ended)
}

/// `rt_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout, size_t size)`
pub(crate) fn rt_sigtimedwait(
    call: &mut Call<'_>,
    set: u64,
    info: u64,
    timeout: u64,
    size: u64,
) -> Outcome {
    check_mask_size(size)?;
    let set = read_u64(call.space, set)? & !UNBLOCKABLE;
    let timeout = read_optional_timespec(call.space, timeout)?;
    let Some(signal) = call.task.signals.dequeue(set) else {
        return call.wait(Event::Signal, timeout, Err(Errno::EAGAIN));
    };
    // It is taken, even where what is told with it cannot be stored.
    signal.record().store_if(call.space, info)?;
    Ok(Answer::value(signal.number().into()))
}

/// `rt_sigsuspend(const sigset_t *mask, size_t size)`
pub(crate) fn rt_sigsuspend(call: &mut Call<'_>, mask: u64, size: u64) -> Outcome {
    check_mask_size(size)?;
    if mask == 0 {
        return Err(Errno::EFAULT);
    }
    match take_pending_through(call, mask, size)? {
        Some(ending) => Ok(Answer::End(ending)),
        None => pause(call),
    }
}

/// `pause()`
pub(crate) fn pause(call: &mut Call<'_>) -> Outcome {
    call.wait(Event::Signal, None, Err(Errno::EINTR))
}
