//! Signals, and those that wait for a task.

use super::id::PROCESS_ID;
use crate::errno::Errno;
use crate::guest::Record;
use crate::state::bytes::Bytes;
use crate::state::error::{StateError, ensure};
use serde::{Deserialize, Serialize};

pub(crate) const SIGKILL: u32 = 9;
pub(crate) const SIGSEGV: u8 = 11;
pub(crate) const SIGPIPE: u32 = 13;
pub(crate) const SIGALRM: u32 = 14;
pub(crate) const SIGCONT: u32 = 18;
pub(crate) const SIGSTOP: u32 = 19;
pub(crate) const SIGXCPU: u32 = 24;
pub(crate) const SIGVTALRM: u32 = 26;
pub(crate) const SIGPROF: u32 = 27;
/// Real-time signals start here: each that is sent is kept, not only the first.
const REAL_TIME: u32 = 32;
pub(crate) const SIGNALS: u32 = 64;

/// Signals that cannot be blocked.
pub(crate) const UNBLOCKABLE: u64 = bit(SIGKILL) | bit(SIGSTOP);
/// Those that a fault would raise are taken first: `SIGSEGV`, `SIGBUS`, `SIGILL`, `SIGTRAP`, `SIGFPE`,
/// `SIGSYS`.
const SYNCHRONOUS: u64 = bit(11) | bit(7) | bit(4) | bit(5) | bit(8) | bit(31);

/// Flag of an alternate stack: there is none.
pub(crate) const SS_DISABLE: u32 = 2;

/// Most signals that wait with what was told with them: `RLIMIT_SIGPENDING`.
pub(crate) const PENDING_MAX: usize = 64;
/// Bytes of a `siginfo_t` that mean anything.
pub(crate) const INFO_SIZE: usize = 48;

/// The bit of a signal in a mask.
pub(crate) const fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
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
    pub(crate) const BY_KILL: i32 = 0;
    /// `si_code` of `tgkill`.
    pub(crate) const BY_THREAD_KILL: i32 = -6;
    /// `si_code` of what the kernel sends.
    const BY_KERNEL: i32 = 0x80;

    pub(crate) fn with_info(number: u32, info: &[u8]) -> Self {
        Self { number, info: Bytes(info.to_vec()) }
    }

    /// One that the program sends itself.
    pub(crate) fn by_itself(number: u32, code: i32) -> Self {
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

    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// `siginfo_t`.
    pub(crate) fn record(&self) -> Record<128> {
        Record::new().bytes(0, &self.info.0)
    }
}

/// Which signals a task blocks, and those that wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SignalState {
    pub(crate) mask: u64,
    /// In the order in which they came.
    pending: Vec<Signal>,
    /// Address, flags and size of the alternate stack.
    pub(crate) alternate: (u64, u32, u64),
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

    /// Those that wait, as a mask.
    pub(crate) fn pending(&self) -> u64 {
        self.pending.iter().fold(0, |set, signal| set | bit(signal.number))
    }

    /// Keeps a signal until it is taken. One of a kind is kept, of real-time signals each.
    ///
    /// # Errors
    /// `EAGAIN` when too many wait.
    pub(crate) fn keep(&mut self, signal: Signal) -> Result<(), Errno> {
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
    pub(crate) fn dequeue(&mut self, set: u64) -> Option<Signal> {
        let ready = self.pending() & set;
        let first = if ready & SYNCHRONOUS != 0 { ready & SYNCHRONOUS } else { ready };
        let at = self
            .pending
            .iter()
            .position(|signal| first != 0 && signal.number == first.trailing_zeros() + 1)?;
        Some(self.pending.remove(at))
    }

    /// Drops those in `set` that wait.
    pub(crate) fn forget(&mut self, set: u64) {
        self.pending.retain(|signal| bit(signal.number) & set == 0);
    }
}
