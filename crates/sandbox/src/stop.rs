//! Why a guest ended, and how that is told.

use crate::error::Failure;
use ampoule_memory::Access;
use ampoule_program::Location;
use ampoule_wire::failure::FailureError;
use ampoule_wire::value::{ValueError, ValueProblem};
use serde_json::{Value, json};
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

    /// The public error for this reason: the one table from reasons to codes.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Self::Killed => Failure::new("ERR_AMPOULE_KILLED", "the sandbox was killed"),
            Self::Aborted => {
                Failure::new("ERR_AMPOULE_ABORTED", "the call was aborted by its signal")
            }
            Self::Closed => Failure::new("ERR_AMPOULE_CLOSED", "the sandbox was closed"),
            Self::Timeout { limit } => Failure::new(
                "ERR_AMPOULE_TIMEOUT",
                format!(
                    "the call took longer than {} ms; raise `timeoutMs` if that is expected",
                    limit.as_millis()
                ),
            )
            .with(json!({ "limitMs": milliseconds(*limit), "option": "timeoutMs" })),
            Self::CpuTime { limit } => Failure::new(
                "ERR_AMPOULE_CPU_TIME",
                format!(
                    "the guest used more than {} ms of CPU time; raise `cpuTimeMs` if that is \
                     expected",
                    limit.as_millis()
                ),
            )
            .with(json!({ "limitMs": milliseconds(*limit), "option": "cpuTimeMs" })),
            Self::MemoryLimit { limit } => Failure::new(
                "ERR_AMPOULE_MEMORY_LIMIT",
                format!("the guest used up its {limit} bytes of memory; raise `memory`"),
            )
            .with(json!({ "limitBytes": limit, "option": "memory" })),
            Self::OutputLimit { limit } => Failure::new(
                "ERR_AMPOULE_OUTPUT_LIMIT",
                format!("the guest wrote more than {limit} bytes of output; raise `limits.output`"),
            )
            .with(json!({ "limitBytes": limit, "option": "limits.output" })),
            Self::HostCallLimit { limit } => Failure::new(
                "ERR_AMPOULE_HOST_CALL_LIMIT",
                format!(
                    "one call of the guest called more than {limit} host functions; raise \
                     `limits.hostCalls`"
                ),
            )
            .with(json!({ "limit": limit, "option": "limits.hostCalls" })),
            Self::ItemLimit { what, limit } => Failure::new(
                "ERR_AMPOULE_ITEM_LIMIT",
                format!(
                    "the guest sent too much at once: {what} has more than {limit} items; raise \
                     `limits.items`"
                ),
            )
            .with(json!({ "limit": limit, "option": "limits.items" })),
            Self::Fault(fault) => {
                Failure::new("ERR_AMPOULE_GUEST_FAULT", fault.message()).with(fault.details())
            }
            Self::Abort(report) => {
                Failure::new("ERR_AMPOULE_GUEST_ABORT", report.message()).with(report.details())
            }
            Self::Protocol { what } => Failure::new(
                "ERR_AMPOULE_PROTOCOL",
                format!("the guest broke the rules of the channel: {what}"),
            ),
            Self::Incompatible { guest } => Failure::new(
                "ERR_AMPOULE_INCOMPATIBLE_GUEST",
                format!(
                    "the guest was built for version {}.{} of the guest ABI, this is {}.{}; build it \
                     again with a matching SDK",
                    guest >> 16,
                    guest & 0xffff,
                    ampoule_abi::version::MAJOR,
                    ampoule_abi::version::MINOR
                ),
            ),
            Self::Exited { code, signal } => {
                let message = match signal {
                    Some(signal) => format!(
                        "the guest was ended by signal {signal} where it should serve calls"
                    ),
                    None => {
                        format!("the guest exited with status {code} where it should serve calls")
                    }
                };
                Failure::new("ERR_AMPOULE_GUEST_EXITED", message)
                    .with(json!({ "exitCode": code, "signal": signal }))
            }
            Self::Signal { signal } => Failure::new(
                "ERR_AMPOULE_GUEST_SIGNAL",
                format!(
                    "the guest was sent {} and has a handler for it, but signal handlers are never \
                     run; let it ignore or block the signal, or not send it",
                    signal_name(*signal)
                ),
            )
            .with(json!({ "signal": signal_name(*signal) })),
            Self::Deadlock { waiting_for } => Failure::new(
                "ERR_AMPOULE_GUEST_EXITED",
                format!("the guest waits for {waiting_for}, which can never happen"),
            )
            .with(json!({ "waitingFor": waiting_for })),
            Self::Hypervisor { message } => Failure::new(
                "ERR_AMPOULE_HYPERVISOR",
                format!("the hypervisor failed: {message}; run `npx ampoule doctor`"),
            ),
        }
    }
}

impl Fault {
    fn message(&self) -> String {
        let mut message = format!("the guest faulted: {}", self.what);
        if let (Some(address), Some(access)) = (self.address, self.access) {
            message += &format!(" ({access} of address {address:#x})");
        }
        if let Some(port) = self.port {
            message += &format!(" (port {port:#x})");
        }
        message + &format!(" at {}", self.at)
    }

    fn details(&self) -> Value {
        json!({
            "fault": self.what,
            "vector": self.vector,
            "address": self.address.map(hexadecimal),
            "access": self.access.map(|access| access.to_string()),
            "port": self.port,
            "instruction": location_details(&self.at),
        })
    }
}

impl AbortReport {
    fn message(&self) -> String {
        let mut message = format!("the guest aborted: {}", self.message);
        if let Some(file) = &self.file {
            message += &format!(" ({file}");
            for part in [self.line, self.column].into_iter().flatten() {
                message += &format!(":{part}");
            }
            message += ")";
        }
        message
    }

    fn details(&self) -> Value {
        json!({
            "guestMessage": self.message,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "backtrace": self.backtrace.iter().map(location_details).collect::<Vec<_>>(),
        })
    }
}

fn location_details(location: &Location) -> Value {
    json!({
        "address": hexadecimal(location.address),
        "symbol": location.symbol.as_deref(),
        "offset": location.symbol.is_some().then_some(location.offset),
    })
}

/// The name of a signal, as `signal(7)` has it.
fn signal_name(signal: u8) -> String {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
        "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
        "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let index = usize::from(signal).checked_sub(1);
    index
        .and_then(|index| NAMES.get(index))
        .map_or_else(|| format!("real-time signal {signal}"), |name| format!("SIG{name}"))
}

/// Addresses have 64 bits, which a JavaScript number cannot hold.
fn hexadecimal(address: u64) -> String {
    format!("{address:#x}")
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
