//! Why a guest ended.

use ampoule_memory::Access;
use ampoule_program::Location;
use ampoule_wire::failure::FailureError;
use ampoule_wire::value::{ValueError, ValueProblem};
use std::sync::Arc;
use std::time::Duration;

/// Why a sandbox can run no further. It is *poisoned* from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The owner killed it.
    Killed,
    /// The owner's abort signal fired.
    Aborted,
    /// The owner closed it.
    Closed,
    /// A call took longer than it may.
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// A call used more CPU time than it may, in the guest and in the host's work for it.
    CpuTime {
        /// The limit.
        limit: Duration,
    },
    /// The guest needed more memory than it has.
    MemoryLimit {
        /// The limit in bytes.
        limit: u64,
    },
    /// The guest wrote more output than it may.
    OutputLimit {
        /// The limit in bytes.
        limit: u64,
    },
    /// One call called more host functions than it may.
    HostCallLimit {
        /// The limit.
        limit: u64,
    },
    /// A message of the guest's is made of more items than it may be.
    ItemLimit {
        /// What the message was.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A processor exception or another forbidden act.
    Fault(Fault),
    /// The guest gave up by itself: a panic.
    Abort(Arc<AbortReport>),
    /// The guest broke the rules of the channel.
    Protocol {
        /// What was wrong.
        what: String,
    },
    /// The guest was built against another version of the ABI.
    Incompatible {
        /// The guest's version: major in the upper, minor in the lower 16 bits.
        guest: u32,
    },
    /// The program ended where a function was to be served.
    Exited {
        /// Exit status.
        code: i32,
        /// The signal that ended it, if one did.
        signal: Option<u8>,
    },
    /// A signal came for which the guest has a handler, and handlers are not delivered.
    Signal {
        /// The signal's number.
        signal: u8,
    },
    /// The guest waits for something that can never happen.
    Deadlock {
        /// What it waits for.
        waiting_for: &'static str,
    },
    /// The hypervisor itself failed.
    Hypervisor {
        /// What it said.
        message: String,
    },
}

/// A forbidden act of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In the field's words, for example "stack overflow".
    pub what: &'static str,
    /// Exception vector, when the processor raised one.
    pub vector: Option<u8>,
    /// The guest-virtual address of a memory access.
    pub address: Option<u64>,
    /// What was to be done at that address.
    pub access: Option<Access>,
    /// The I/O port, for I/O.
    pub port: Option<u16>,
    /// The instruction.
    pub at: Location,
}

/// What a guest said when it gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbortReport {
    /// The panic's message.
    pub message: String,
    /// Source file.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
    /// Active calls, innermost first.
    pub backtrace: Vec<Location>,
}

impl Stop {
    /// For `what` the guest sent, which is no value.
    pub(crate) fn of_value(what: &'static str, error: &ValueError) -> Self {
        match error.what {
            ValueProblem::TooManyItems { limit } => Self::ItemLimit { what, limit },
            _ => Self::Protocol { what: format!("{what} is invalid: {error}") },
        }
    }

    /// For `what` the guest sent, which is no error or abort.
    pub(crate) fn of_failure(what: &'static str, error: &FailureError) -> Self {
        match error {
            FailureError::Value(error) => Self::of_value(what, error),
            _ => Self::Protocol { what: format!("{what} is invalid: {error}") },
        }
    }

    /// Whether this ends one call, so that a sandbox which is restored after each goes on. The
    /// others end the sandbox, by its owner's wish.
    pub(crate) const fn is_of_a_call(&self) -> bool {
        !matches!(self, Self::Killed | Self::Closed)
    }
}
