//! Signals that a program sends to itself.
//!
//! No signal is ever delivered to a handler: that would need the guest's registers, which this crate
//! does not see. Dispositions and masks are kept, so that what a program reads back is what it
//! set, and default actions are carried out: a program that calls `abort` ends by `SIGABRT`. A signal
//! for which a handler is installed is taken without running it, the choice that breaks the fewest
//! programs: crash reporters raise the signal again with its default action, and that ends them.

use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Arguments, Record, read_array, read_u64};
use crate::personality::Personality;
use crate::process::PROCESS_ID;
use crate::time;
use ampoule_memory::AddressSpace;
use serde::{Deserialize, Serialize};

const SIGKILL: u32 = 9;
pub(crate) const SIGPIPE: u32 = 13;
const SIGSEGV: u8 = 11;
const SIGSTOP: u32 = 19;
const SIGNALS: u32 = 64;
/// `sizeof(sigset_t)` of the kernel, which every call with a mask passes.
const MASK_SIZE: u64 = 8;

const SIG_DFL: u64 = 0;
const SIG_IGN: u64 = 1;
/// `SIGCHLD`, `SIGCONT`, `SIGURG` and `SIGWINCH` do nothing by default.
const IGNORED_BY_DEFAULT: u64 = bit(17) | bit(18) | bit(23) | bit(28);
/// The stop signals: there is nobody who could continue the program, so they do nothing either.
const STOPPING: u64 = bit(SIGSTOP) | bit(20) | bit(21) | bit(22);
/// Signals that cannot be blocked.
const UNBLOCKABLE: u64 = bit(SIGKILL) | bit(SIGSTOP);

const SS_ONSTACK: u32 = 1;
const SS_DISABLE: u32 = 2;
const SS_AUTODISARM: u32 = 1 << 31;
const MINSIGSTKSZ: u64 = 2048;

/// The bit of a signal in a mask.
const fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// `struct kernel_sigaction`: handler, flags, restorer, mask.
pub(crate) type Action = [u8; 32];

/// What the program said about signals.
#[derive(Debug, Clone)]
pub(crate) struct Dispositions {
    actions: [Action; SIGNALS as usize],
}

impl Dispositions {
    pub(crate) const fn new() -> Self {
        Self { actions: [[0; 32]; SIGNALS as usize] }
    }

    /// The actions that are not the default, by signal.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (u32, &Action)> {
        (1..).zip(&self.actions).filter(|(_, action)| action.iter().any(|&byte| byte != 0))
    }

    /// Sets the action of `signal`; `false` when there is no such signal.
    pub(crate) fn set(&mut self, signal: u32, action: Action) -> bool {
        let known = (1..=SIGNALS).contains(&signal);
        if known {
            *self.action(signal) = action;
        }
        known
    }

    fn action(&mut self, signal: u32) -> &mut Action {
        &mut self.actions[signal as usize - 1]
    }

    fn handler(&mut self, signal: u32) -> u64 {
        Record::<32>::from(*self.action(signal)).u64(0)
    }
}

/// What belongs to one thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SignalState {
    mask: u64,
    pending: u64,
    /// Address, flags and size of the alternate stack.
    alternate: (u64, u32, u64),
}

impl SignalState {
    pub(crate) const fn new() -> Self {
        Self { mask: 0, pending: 0, alternate: (0, SS_DISABLE, 0) }
    }
}

/// A signal number from an argument.
///
/// # Errors
/// `EINVAL` when there is no such signal.
fn signal_number(value: u32) -> Result<u32, Errno> {
    if (1..=SIGNALS).contains(&value) { Ok(value) } else { Err(Errno::EINVAL) }
}

fn check_mask_size(size: u64) -> Result<(), Errno> {
    if size == MASK_SIZE { Ok(()) } else { Err(Errno::EINVAL) }
}

impl Personality {
    /// Sends a signal to the program; the answer when that ends it.
    pub(crate) fn raise(&mut self, signal: u32) -> Option<Answer> {
        let handler = self.dispositions.handler(signal);
        let quiet = (IGNORED_BY_DEFAULT | STOPPING) & bit(signal) != 0;
        if signal != SIGKILL && (handler == SIG_IGN || handler == SIG_DFL && quiet) {
            return None;
        }
        let state = &mut self.thread_mut().signals;
        if state.mask & bit(signal) != 0 {
            state.pending |= bit(signal);
            return None;
        }
        self.take(signal)
    }

    /// Acts on an unblocked signal.
    fn take(&mut self, signal: u32) -> Option<Answer> {
        let handler = self.dispositions.handler(signal);
        let quiet = (IGNORED_BY_DEFAULT | STOPPING) & bit(signal) != 0;
        self.thread_mut().signals.pending &= !bit(signal);
        if handler != SIG_DFL || quiet {
            return None;
        }
        Some(Answer::Killed { signal: u8::try_from(signal).unwrap_or(SIGSEGV) })
    }

    /// Acts on signals that are no longer blocked; the answer when one ends the program.
    fn take_pending(&mut self) -> Option<Answer> {
        loop {
            let state = &self.thread().signals;
            let ready = state.pending & !state.mask;
            if ready == 0 {
                return None;
            }
            if let Some(answer) = self.take(ready.trailing_zeros() + 1) {
                return Some(answer);
            }
        }
    }

    fn send(&mut self, signal: u32) -> Outcome {
        match signal {
            0 => Ok(Answer::ZERO),
            _ => Ok(self.raise(signal_number(signal)?).unwrap_or(Answer::ZERO)),
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
    let signal = arguments.uint(1);
    if signal > SIGNALS {
        return Err(Errno::EINVAL);
    }
    match arguments.int(0) {
        0 => personality.send(signal),
        // Every process but the caller: there is none.
        -1 => Err(Errno::ESRCH),
        process if process.unsigned_abs() == PROCESS_ID => personality.send(signal),
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
    personality.send(arguments.uint(1))
}

/// `tgkill(pid_t group, pid_t thread, int signal)`
pub(crate) fn tgkill(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_thread(arguments.int(0))?;
    check_thread(arguments.int(1))?;
    personality.send(arguments.uint(2))
}

/// `rt_sigqueueinfo(pid_t group, int signal, siginfo_t *info)`
pub(crate) fn rt_sigqueueinfo(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_thread(arguments.int(0))?;
    personality.send(arguments.uint(1))
}

/// `rt_tgsigqueueinfo(pid_t group, pid_t thread, int signal, siginfo_t *info)`
pub(crate) fn rt_tgsigqueueinfo(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    tgkill(personality, space, arguments)
}

/// `rt_sigaction(int signal, const struct sigaction *new, struct sigaction *old, size_t size)`
pub(crate) fn rt_sigaction(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_mask_size(arguments.get(3))?;
    let signal = signal_number(arguments.uint(0))?;
    let (new, old) = (arguments.get(1), arguments.get(2));
    if new != 0 && UNBLOCKABLE & bit(signal) != 0 {
        return Err(Errno::EINVAL);
    }
    let action = if new == 0 { None } else { Some(read_array(space, new)?) };
    Record::from(*personality.dispositions.action(signal)).store_if(space, old)?;
    if let Some(action) = action {
        *personality.dispositions.action(signal) = action;
        let handler = personality.dispositions.handler(signal);
        let quiet = IGNORED_BY_DEFAULT & bit(signal) != 0;
        if handler == SIG_IGN || handler == SIG_DFL && quiet {
            // Linux drops what is pending of a signal that becomes ignored.
            personality.thread_mut().signals.pending &= !bit(signal);
        }
    }
    Ok(Answer::ZERO)
}

/// `rt_sigprocmask(int how, const sigset_t *new, sigset_t *old, size_t size)`
pub(crate) fn rt_sigprocmask(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const BLOCK: u32 = 0;
    const UNBLOCK: u32 = 1;
    const SET: u32 = 2;
    check_mask_size(arguments.get(3))?;
    let (new, old) = (arguments.get(1), arguments.get(2));
    let before = personality.thread().signals.mask;
    let mut after = before;
    if new != 0 {
        let set = read_u64(space, new)? & !UNBLOCKABLE;
        after = match arguments.uint(0) {
            BLOCK => before | set,
            UNBLOCK => before & !set,
            SET => set,
            _ => return Err(Errno::EINVAL),
        };
    }
    Record::<8>::new().set_u64(0, before).store_if(space, old)?;
    personality.thread_mut().signals.mask = after;
    Ok(personality.take_pending().unwrap_or(Answer::ZERO))
}

/// `rt_sigpending(sigset_t *out, size_t size)`
pub(crate) fn rt_sigpending(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    if arguments.get(1) > MASK_SIZE {
        return Err(Errno::EINVAL);
    }
    let state = &personality.thread().signals;
    let pending = (state.pending & state.mask).to_le_bytes();
    let size = usize::try_from(arguments.get(1)).unwrap_or_default();
    space.write(arguments.get(0), &pending[..size])?;
    Ok(Answer::ZERO)
}

/// `rt_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout, size)`
pub(crate) fn rt_sigtimedwait(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_mask_size(arguments.get(3))?;
    let set = read_u64(space, arguments.get(0))? & !UNBLOCKABLE;
    let timeout = time::read_optional_timespec(space, arguments.get(2))?;
    let found = personality.thread().signals.pending & set;
    if found == 0 {
        return match timeout {
            Some(nanoseconds) => personality.sleep(nanoseconds, Err(Errno::EAGAIN)),
            None => Ok(Answer::Deadlock { waiting_for: "a signal that nobody can send" }),
        };
    }
    let signal = found.trailing_zeros() + 1;
    Record::<128>::new().set_u32(0, signal).store_if(space, arguments.get(1))?;
    personality.thread_mut().signals.pending &= !bit(signal);
    Ok(Answer::value(signal.into()))
}

/// `rt_sigsuspend(const sigset_t *mask, size_t size)`
pub(crate) fn rt_sigsuspend(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_mask_size(arguments.get(1))?;
    let mask = read_u64(space, arguments.get(0))? & !UNBLOCKABLE;
    let state = &mut personality.thread_mut().signals;
    let woken = state.pending & !mask != 0;
    let before = std::mem::replace(&mut state.mask, mask);
    let ended = personality.take_pending();
    personality.thread_mut().signals.mask = before;
    match ended {
        Some(answer) => Ok(answer),
        None if woken => Err(Errno::EINTR),
        None => pause(personality, space, arguments),
    }
}

/// `pause()`
pub(crate) fn pause(_: &mut Personality, _: &mut AddressSpace, _: &Arguments) -> Outcome {
    Ok(Answer::Deadlock { waiting_for: "a signal that nobody can send" })
}

/// `rt_sigreturn()`: no handler was entered, so there is no frame to return from.
pub(crate) fn rt_sigreturn(_: &mut Personality, _: &mut AddressSpace, _: &Arguments) -> Outcome {
    Ok(Answer::Killed { signal: SIGSEGV })
}

/// `sigaltstack(const stack_t *new, stack_t *old)`
pub(crate) fn sigaltstack(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let (new, old) = (arguments.get(0), arguments.get(1));
    let wanted = match new {
        0 => None,
        _ => Some(Record::<24>::from(read_array(space, new)?)),
    };
    let (address, flags, size) = personality.thread().signals.alternate;
    let before = Record::<24>::new().set_u64(0, address).set_u32(8, flags).set_u64(16, size);
    if let Some(wanted) = wanted {
        let (address, flags, size) = (wanted.u64(0), wanted.u32(8), wanted.u64(16));
        let alternate = match flags & !SS_AUTODISARM {
            SS_DISABLE => (0, SS_DISABLE, 0),
            0 | SS_ONSTACK if size < MINSIGSTKSZ => return Err(Errno::ENOMEM),
            0 | SS_ONSTACK => (address, flags & SS_AUTODISARM, size),
            _ => return Err(Errno::EINVAL),
        };
        personality.thread_mut().signals.alternate = alternate;
    }
    before.store_if(space, old)?;
    Ok(Answer::ZERO)
}
