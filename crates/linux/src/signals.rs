//! Signals that a program sends to itself, or that its timers send.
//!
//! No signal is ever delivered to a handler: that would need the guest's registers, which this crate
//! does not see. Everything else is as in Linux: dispositions and masks are kept, blocked signals are
//! pending and can be waited for, ignored ones vanish, and default actions are carried out. A signal
//! for which a handler is installed ends the guest with [`Answer::Handler`], which names it: a program
//! that goes on as if its handler had run would be wrong in silence.

mod send;
mod wait;

pub(crate) use send::{kill, rt_sigqueueinfo, rt_tgsigqueueinfo, tgkill, tkill};
pub(crate) use wait::{pause, rt_sigsuspend, rt_sigtimedwait};

use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Arguments, Record, read_array, read_u64};
use crate::personality::Personality;
use crate::process::PROCESS_ID;
use crate::state::bytes::Bytes;
use crate::state::{StateError, ensure};
use ampoule_memory::AddressSpace;
use serde::{Deserialize, Serialize};

pub(crate) const SIGKILL: u32 = 9;
pub(crate) const SIGPIPE: u32 = 13;
pub(crate) const SIGALRM: u32 = 14;
pub(crate) const SIGXCPU: u32 = 24;
pub(crate) const SIGVTALRM: u32 = 26;
pub(crate) const SIGPROF: u32 = 27;
const SIGSEGV: u8 = 11;
const SIGCONT: u32 = 18;
const SIGSTOP: u32 = 19;
/// Real-time signals start here: each that is sent is kept, not only the first.
const REAL_TIME: u32 = 32;
const SIGNALS: u32 = 64;
/// `sizeof(sigset_t)` of the kernel, which every call with a mask passes.
const MASK_SIZE: u64 = 8;

const SIG_DFL: u64 = 0;
const SIG_IGN: u64 = 1;
/// `SIGCHLD`, `SIGCONT`, `SIGURG` and `SIGWINCH` do nothing by default.
const IGNORED_BY_DEFAULT: u64 = bit(17) | bit(SIGCONT) | bit(23) | bit(28);
/// The stop signals: there is nobody who could continue the program, so they do nothing either.
const STOPPING: u64 = bit(SIGSTOP) | bit(20) | bit(21) | bit(22);
/// Signals that cannot be blocked.
const UNBLOCKABLE: u64 = bit(SIGKILL) | bit(SIGSTOP);
/// Those that a fault would raise are taken first: `SIGSEGV`, `SIGBUS`, `SIGILL`, `SIGTRAP`, `SIGFPE`,
/// `SIGSYS`.
const SYNCHRONOUS: u64 = bit(11) | bit(7) | bit(4) | bit(5) | bit(8) | bit(31);
/// Flags of an action that Linux knows; it clears the others (`UAPI_SA_FLAGS` and those of x86).
const ACTION_FLAGS: u64 = 0xdc00_0807;

const SS_ONSTACK: u32 = 1;
const SS_DISABLE: u32 = 2;
const SS_AUTODISARM: u32 = 1 << 31;
const MINSIGSTKSZ: u64 = 2048;

/// Most signals that wait with what was told with them: `RLIMIT_SIGPENDING`.
pub(crate) const PENDING_MAX: usize = 64;
/// Bytes of a `siginfo_t` that mean anything.
const INFO_SIZE: usize = 48;

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

/// A signal on its way: its number, and the start of its `siginfo_t`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Signal {
    number: u32,
    info: Bytes,
}

impl Signal {
    /// `si_code` of `kill`.
    const BY_KILL: i32 = 0;
    /// `si_code` of `tgkill`.
    const BY_THREAD_KILL: i32 = -6;
    /// `si_code` of what the kernel sends.
    const BY_KERNEL: i32 = 0x80;

    fn with_info(number: u32, info: &[u8]) -> Self {
        Self { number, info: Bytes(info.to_vec()) }
    }

    /// One that the program sends itself.
    fn by_itself(number: u32, code: i32) -> Self {
        let record = Record::<INFO_SIZE>::new()
            .set_u32(0, number)
            .set_u32(8, code.cast_unsigned())
            .set_u32(16, PROCESS_ID);
        Self::with_info(number, record.as_bytes())
    }

    /// One that a timer sends.
    pub(crate) fn by_kernel(number: u32) -> Self {
        let code = Self::BY_KERNEL.cast_unsigned();
        let record = Record::<INFO_SIZE>::new().set_u32(0, number).set_u32(8, code);
        Self::with_info(number, record.as_bytes())
    }

    /// `SIGPIPE`, as a write sends it.
    pub(crate) fn broken_pipe() -> Self {
        Self::by_itself(SIGPIPE, Self::BY_KILL)
    }

    /// `siginfo_t`.
    fn record(&self) -> Record<128> {
        Record::new().bytes(0, &self.info.0)
    }
}

/// What belongs to one thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SignalState {
    mask: u64,
    /// In the order in which they came.
    pending: Vec<Signal>,
    /// Address, flags and size of the alternate stack.
    alternate: (u64, u32, u64),
}

impl SignalState {
    pub(crate) const fn new() -> Self {
        Self { mask: 0, pending: Vec::new(), alternate: (0, SS_DISABLE, 0) }
    }

    /// Checks what comes from a description.
    pub(crate) fn check(&self) -> Result<(), StateError> {
        let is_sound = |signal: &Signal| {
            (1..=SIGNALS).contains(&signal.number) && signal.info.0.len() == INFO_SIZE
        };
        let count = PENDING_MAX + SIGNALS as usize;
        ensure(self.pending.len() <= count && self.pending.iter().all(is_sound), "pending signals")
    }

    fn pending(&self) -> u64 {
        self.pending.iter().fold(0, |set, signal| set | bit(signal.number))
    }

    /// Keeps a signal until it is taken. One of a kind is kept, of real-time signals each.
    fn keep(&mut self, signal: Signal) -> Result<(), Errno> {
        let is_known = self.pending() & bit(signal.number) != 0;
        if is_known && signal.number < REAL_TIME {
            return Ok(());
        }
        if is_known && self.pending.len() >= PENDING_MAX {
            return Err(Errno::EAGAIN);
        }
        self.pending.push(signal);
        Ok(())
    }

    /// Takes the first of the signals in `set` that wait.
    fn dequeue(&mut self, set: u64) -> Option<Signal> {
        let ready = self.pending() & set;
        let first = if ready & SYNCHRONOUS != 0 { ready & SYNCHRONOUS } else { ready };
        let at = self
            .pending
            .iter()
            .position(|signal| first != 0 && signal.number == first.trailing_zeros() + 1)?;
        Some(self.pending.remove(at))
    }

    fn forget(&mut self, set: u64) {
        self.pending.retain(|signal| bit(signal.number) & set == 0);
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
    ///
    /// # Errors
    /// `EAGAIN` when too many wait.
    pub(crate) fn raise(&mut self, signal: Signal) -> Result<Option<Answer>, Errno> {
        let number = signal.number;
        let state = &mut self.thread_mut().signals;
        // Each undoes the other, also where it waits.
        if number == SIGCONT {
            state.forget(STOPPING);
        } else if STOPPING & bit(number) != 0 {
            state.forget(bit(SIGCONT));
        }
        if state.mask & bit(number) != 0 {
            // Even one that is ignored now: that can change before it is unblocked.
            state.keep(signal)?;
            return Ok(None);
        }
        Ok(self.act(number))
    }

    /// Acts on an unblocked signal.
    fn act(&mut self, signal: u32) -> Option<Answer> {
        let number = u8::try_from(signal).unwrap_or(SIGSEGV);
        let quiet = (IGNORED_BY_DEFAULT | STOPPING) & bit(signal) != 0;
        match self.dispositions.handler(signal) {
            _ if signal == SIGKILL => Some(Answer::Killed { signal: number }),
            SIG_IGN => None,
            SIG_DFL if quiet => None,
            SIG_DFL => Some(Answer::Killed { signal: number }),
            _ => Some(Answer::Handler { signal: number }),
        }
    }

    /// Acts on signals that are no longer blocked; the answer when one ends the program.
    fn take_pending(&mut self) -> Option<Answer> {
        loop {
            let state = &mut self.thread_mut().signals;
            let signal = state.dequeue(!state.mask)?;
            if let Some(answer) = self.act(signal.number) {
                return Some(answer);
            }
        }
    }

    /// Acts on signals that `mask` lets through, which stands for the thread's while a call waits. The
    /// answer when one ends the program.
    ///
    /// # Errors
    /// `EFAULT`, `EINVAL` for a mask of another size.
    pub(crate) fn take_pending_through(
        &mut self,
        space: &mut AddressSpace,
        address: u64,
        size: u64,
    ) -> Result<Option<Answer>, Errno> {
        if address == 0 {
            return Ok(None);
        }
        check_mask_size(size)?;
        let mask = read_u64(space, address)? & !UNBLOCKABLE;
        let before = std::mem::replace(&mut self.thread_mut().signals.mask, mask);
        let ended = self.take_pending();
        self.thread_mut().signals.mask = before;
        Ok(ended)
    }
}

/// `rt_sigaction(int signal, const struct sigaction *new, struct sigaction *old, size_t size)`
pub(crate) fn rt_sigaction(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_mask_size(arguments.get(3))?;
    let (new, old) = (arguments.get(1), arguments.get(2));
    let action: Option<Action> = if new == 0 { None } else { Some(read_array(space, new)?) };
    let signal = signal_number(arguments.uint(0))?;
    if action.is_some() && UNBLOCKABLE & bit(signal) != 0 {
        return Err(Errno::EINVAL);
    }
    let before = *personality.dispositions.action(signal);
    if let Some(action) = action {
        let action = Record::<32>::from(action);
        let (flags, mask) = (action.u64(8) & ACTION_FLAGS, action.u64(24) & !UNBLOCKABLE);
        let kept = action.set_u64(8, flags).set_u64(24, mask);
        personality.dispositions.set(signal, kept.into());
        let quiet = IGNORED_BY_DEFAULT & bit(signal) != 0;
        let handler = kept.u64(0);
        if handler == SIG_IGN || handler == SIG_DFL && quiet {
            // Linux drops what is pending of a signal that becomes ignored.
            personality.thread_mut().signals.forget(bit(signal));
        }
    }
    // What was asked for stands, even where the answer cannot be stored.
    Record::from(before).store_if(space, old)?;
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
    if new != 0 {
        let set = read_u64(space, new)? & !UNBLOCKABLE;
        personality.thread_mut().signals.mask = match arguments.uint(0) {
            BLOCK => before | set,
            UNBLOCK => before & !set,
            SET => set,
            _ => return Err(Errno::EINVAL),
        };
    }
    let stored = Record::<8>::new().set_u64(0, before).store_if(space, old);
    match personality.take_pending() {
        Some(answer) => Ok(answer),
        None => stored.map(|()| Answer::ZERO),
    }
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
    let pending = (state.pending() & state.mask).to_le_bytes();
    let size = usize::try_from(arguments.get(1)).unwrap_or_default();
    space.write(arguments.get(0), &pending[..size])?;
    Ok(Answer::ZERO)
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
