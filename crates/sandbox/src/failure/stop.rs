//! What each reason to stop is in public.

use super::code::Code;
use super::{Failure, Remedy};
use crate::stop::{AbortReport, Fault, Stop};
use ampoule_abi::version;
use ampoule_program::Location;
use serde_json::{Value, json};
use std::time::Duration;

impl Stop {
    /// The public error for this reason.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Self::Killed => Failure::new(Code::Killed, "the sandbox was killed"),
            Self::Aborted => Failure::new(Code::Aborted, "the call was aborted by its signal"),
            Self::Closed => Failure::new(Code::Closed, "the sandbox was closed"),
            Self::Timeout { limit } => Failure::of_limit(
                Code::Timeout,
                format!("the call took longer than {} ms", limit.as_millis()),
                ("limitMs", milliseconds(*limit)),
            ),
            Self::CpuTime { limit } => Failure::of_limit(
                Code::CpuTime,
                format!("the guest used more than {} ms of CPU time", limit.as_millis()),
                ("limitMs", milliseconds(*limit)),
            ),
            Self::MemoryLimit { limit } => Failure::of_limit(
                Code::MemoryLimit,
                format!("the guest used up its {limit} bytes of memory"),
                ("limitBytes", *limit),
            ),
            Self::OutputLimit { limit } => Failure::of_limit(
                Code::OutputLimit,
                format!("the guest wrote more than {limit} bytes of output"),
                ("limitBytes", *limit),
            ),
            Self::HostCallLimit { limit } => Failure::of_limit(
                Code::HostCallLimit,
                format!("one call of the guest called more than {limit} host functions"),
                ("limit", *limit),
            ),
            Self::ItemLimit { what, limit } => Failure::of_limit(
                Code::ItemLimit,
                format!("the guest sent too much at once: {what} has more than {limit} items"),
                ("limit", *limit),
            ),
            Self::Fault(fault) => {
                Failure::new(Code::GuestFault, fault.message()).with(fault.details())
            }
            Self::Abort(report) => {
                Failure::new(Code::GuestAbort, report.message()).with(report.details())
            }
            Self::Protocol { what } => Failure::new(
                Code::Protocol,
                format!("the guest broke the rules of the channel: {what}"),
            ),
            Self::Incompatible { guest } => Failure::new(
                Code::IncompatibleGuest,
                format!(
                    "the guest was built for version {}.{} of the guest ABI, this is {}.{}; build it \
                     again with a matching SDK",
                    guest >> 16,
                    guest & 0xffff,
                    version::MAJOR,
                    version::MINOR
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
                Failure::new(Code::GuestExited, message)
                    .with(json!({ "exitCode": code, "signal": signal }))
            }
            Self::Signal { signal } => Failure::new(
                Code::GuestSignal,
                format!(
                    "the guest was sent {} and has a handler for it, but signal handlers are never \
                     run; let it ignore or block the signal, or not send it",
                    signal_name(*signal)
                ),
            )
            .with(json!({ "signal": signal_name(*signal) })),
            Self::Deadlock { waiting_for } => Failure::new(
                Code::GuestExited,
                format!("the guest waits for {waiting_for}, which can never happen"),
            )
            .with(json!({ "waitingFor": waiting_for })),
            Self::Hypervisor { message } => {
                Failure::new(Code::Hypervisor, format!("the hypervisor failed: {message}"))
                    .remedied_by(Remedy::DiagnoseHost)
            }
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
