//! What a program says about signals: actions, masks, the alternate stack.

use crate::answer::{Answer, Outcome, Termination};
use crate::calls::call::Call;
use crate::errno::Errno;
use crate::guest::{Record, read_array, read_u64};
use crate::kernel::dispositions::Action;
use crate::task::signals::{SIGNALS, SIGSEGV, SS_DISABLE, UNBLOCKABLE, bit};

/// `sizeof(sigset_t)` of the kernel.
const MASK_SIZE: u64 = 8;
const SS_ONSTACK: u32 = 1;
const SS_AUTODISARM: u32 = 1 << 31;
const MINSIGSTKSZ: u64 = 2048;

/// A signal number from an argument.
///
/// # Errors
/// `EINVAL` when there is no such signal.
pub(super) fn signal_number(value: u32) -> Result<u32, Errno> {
    if (1..=SIGNALS).contains(&value) { Ok(value) } else { Err(Errno::EINVAL) }
}

/// Checks the `sizeof(sigset_t)` that every call with a mask passes.
///
/// # Errors
/// `EINVAL`.
pub(super) fn check_mask_size(size: u64) -> Result<(), Errno> {
    if size == MASK_SIZE { Ok(()) } else { Err(Errno::EINVAL) }
}

/// `rt_sigaction(int signal, const struct sigaction *new, struct sigaction *old, size_t size)`
pub(crate) fn rt_sigaction(
    call: &mut Call<'_>,
    signal: u32,
    new: u64,
    old: u64,
    size: u64,
) -> Outcome {
    check_mask_size(size)?;
    let action: Option<Action> = if new == 0 { None } else { Some(read_array(call.space, new)?) };
    let signal = signal_number(signal)?;
    if action.is_some() && UNBLOCKABLE & bit(signal) != 0 {
        return Err(Errno::EINVAL);
    }
    let before = *call.kernel.signals.action(signal);
    if let Some(action) = action
        && call.kernel.signals.replace(signal, action)
    {
        // Linux drops what is pending of a signal that becomes ignored.
        call.task.signals.forget(bit(signal));
    }
    // What was asked for stands, even where the answer cannot be stored.
    Record::from(before).store_if(call.space, old)?;
    Ok(Answer::ZERO)
}

/// `rt_sigprocmask(int how, const sigset_t *new, sigset_t *old, size_t size)`
pub(crate) fn rt_sigprocmask(
    call: &mut Call<'_>,
    how: u32,
    new: u64,
    old: u64,
    size: u64,
) -> Outcome {
    const BLOCK: u32 = 0;
    const UNBLOCK: u32 = 1;
    const SET: u32 = 2;
    check_mask_size(size)?;
    let before = call.task.signals.mask;
    if new != 0 {
        let set = read_u64(call.space, new)? & !UNBLOCKABLE;
        call.task.signals.mask = match how {
            BLOCK => before | set,
            UNBLOCK => before & !set,
            SET => set,
            _ => return Err(Errno::EINVAL),
        };
    }
    let stored = Record::<8>::new().set_u64(0, before).store_if(call.space, old);
    match call.kernel.signals.take_pending(&mut call.task.signals) {
        Some(ending) => Ok(Answer::End(ending)),
        None => stored.map(|()| Answer::ZERO),
    }
}

/// `rt_sigpending(sigset_t *out, size_t size)`
pub(crate) fn rt_sigpending(call: &mut Call<'_>, out: u64, size: u64) -> Outcome {
    if size > MASK_SIZE {
        return Err(Errno::EINVAL);
    }
    let state = &call.task.signals;
    let pending = (state.pending() & state.mask).to_le_bytes();
    let size = usize::try_from(size).unwrap_or_default();
    call.space.write(out, &pending[..size])?;
    Ok(Answer::ZERO)
}

/// `rt_sigreturn()`: no handler was entered, so there is no frame to return from.
pub(crate) fn rt_sigreturn(_: &mut Call<'_>) -> Outcome {
    Ok(Answer::End(Termination::Killed { signal: SIGSEGV }))
}

/// `sigaltstack(const stack_t *new, stack_t *old)`
pub(crate) fn sigaltstack(call: &mut Call<'_>, new: u64, old: u64) -> Outcome {
    let wanted = match new {
        0 => None,
        _ => Some(Record::<24>::from(read_array(call.space, new)?)),
    };
    let (address, flags, size) = call.task.signals.alternate;
    let before = Record::<24>::new().set_u64(0, address).set_u32(8, flags).set_u64(16, size);
    if let Some(wanted) = wanted {
        let (address, flags, size) = (wanted.u64(0), wanted.u32(8), wanted.u64(16));
        let alternate = match flags & !SS_AUTODISARM {
            SS_DISABLE => (0, SS_DISABLE, 0),
            0 | SS_ONSTACK if size < MINSIGSTKSZ => return Err(Errno::ENOMEM),
            0 | SS_ONSTACK => (address, flags & SS_AUTODISARM, size),
            _ => return Err(Errno::EINVAL),
        };
        call.task.signals.alternate = alternate;
    }
    before.store_if(call.space, old)?;
    Ok(Answer::ZERO)
}
