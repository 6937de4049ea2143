//! What each error of an operation on a sandbox is in public.

use super::code::Code;
use super::{Failure, Remedy};
use crate::config::ConfigError;
use crate::error::{CallError, CreateError};
use crate::sandbox::snapshot::SnapshotError;
use ampoule_machine::MachineError;
use serde_json::json;
use std::error::Error;

impl CreateError {
    /// The public error for this one.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let message = self.to_string();
        match self {
            Self::Config(ConfigError::Size { option, minimum, maximum, value }) => {
                Failure::new(Code::InvalidArgument, message).with(json!({
                    "option": option, "minimum": minimum, "maximum": maximum, "value": value,
                }))
            }
            Self::Executable(_) => Failure::new(Code::InvalidGuest, message),
            Self::GuestTooLarge { memory } => {
                Failure::of_limit(Code::MemoryLimit, message, ("limitBytes", *memory))
            }
            Self::Start(_) => Failure::new(Code::InvalidArgument, message),
            Self::Memory { .. } => Failure::new(Code::Hypervisor, message),
            Self::Hypervisor(error) => of_hypervisor(error),
        }
    }
}

/// A hypervisor that is missing or refused.
pub(super) fn of_hypervisor(error: &MachineError) -> Failure {
    match error {
        MachineError::Unavailable { obstacle } => {
            Failure::new(Code::NoHypervisor, format!("{error}; {}", obstacle.remedy))
                .detail("reason", obstacle.kind.word())
                .remedied_by(Remedy::DiagnoseHost)
        }
        MachineError::Refused { source, .. } => {
            Failure::new(Code::Hypervisor, format!("{error}: {source}"))
        }
    }
}

impl CallError {
    /// The public error for this one.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let message = self.to_string();
        match self {
            Self::State { .. } => Failure::new(Code::Busy, message),
            Self::Poisoned(stop) => {
                let reason = stop.failure();
                let message = format!("{message}: {}", reason.message);
                let failure = Failure::new(Code::Poisoned, message);
                Failure { remedy: reason.remedy, ..failure }.detail("reason", reason.code.as_str())
            }
            Self::Broken => Failure::new(Code::Broken, message),
            Self::MessageTooLarge { length, capacity } => {
                Failure::of_limit(Code::MessageTooLarge, message, ("limitBytes", *capacity))
                    .detail("bytes", *length)
            }
        }
    }

    /// Why there was no call: for a sandbox that was stopped between two calls that reason, and not that it is
    /// poisoned by now.
    #[must_use]
    pub fn cause(&self) -> Failure {
        match self {
            Self::Poisoned(stop) => stop.failure(),
            _ => self.failure(),
        }
    }
}

impl SnapshotError {
    /// The public error for this one.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Self::State(error) => error.failure(),
            Self::Create(error) => error.failure(),
            Self::Memory { .. } | Self::Hypervisor(_) => {
                let source = self.source().map(ToString::to_string);
                let message = source.map_or(self.to_string(), |source| format!("{self}: {source}"));
                Failure::new(Code::Hypervisor, message)
            }
        }
    }
}
