//! Errors of operations, and their public form.

use crate::config::ConfigError;
use crate::stop::Stop;
use ampoule_machine::MachineError;
use ampoule_program::ElfError;
use serde_json::{Value, json};
use std::io;

/// An error as the public API shows it: a stable code, a message, and details by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One of the codes in `docs/errors.md`.
    pub code: &'static str,
    /// What was wrong and what to do.
    pub message: String,
    /// A JSON object.
    pub details: Value,
}

impl Failure {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: json!({}) }
    }

    pub(crate) fn with(mut self, details: Value) -> Self {
        self.details = details;
        self
    }
}

/// A sandbox could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The executable cannot be a guest.
    #[error("the executable cannot be a guest: {0}")]
    Executable(#[from] ElfError),
    /// The program does not fit into the guest's memory.
    #[error("the program does not fit into {memory} bytes of guest memory; raise `memory`")]
    GuestTooLarge {
        /// The limit in bytes.
        memory: u64,
    },
    /// The program's arguments, environment or files cannot be set up.
    #[error("{0}")]
    Start(#[from] ampoule_linux::StartError),
    /// The host has no memory to give.
    #[error("the host could not map guest memory: {source}")]
    Memory {
        /// What it said.
        source: io::Error,
    },
    /// The hypervisor is missing or refused.
    #[error(transparent)]
    Hypervisor(#[from] MachineError),
}

impl CreateError {
    /// The public error for this one.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let message = self.to_string();
        match self {
            Self::Config(ConfigError::Size { option, minimum, maximum, value }) => {
                Failure::new("ERR_AMPOULE_INVALID_ARGUMENT", message).with(json!({
                    "option": option, "minimum": minimum, "maximum": maximum, "value": value,
                }))
            }
            Self::Executable(_) => Failure::new("ERR_AMPOULE_INVALID_GUEST", message),
            Self::GuestTooLarge { memory } => Failure::new("ERR_AMPOULE_MEMORY_LIMIT", message)
                .with(json!({ "limitBytes": memory, "option": "memory" })),
            Self::Start(_) => Failure::new("ERR_AMPOULE_INVALID_ARGUMENT", message),
            Self::Hypervisor(MachineError::Unavailable { obstacle }) => Failure::new(
                "ERR_AMPOULE_NO_HYPERVISOR",
                format!("{message}; {}. `npx ampoule doctor` tells more", obstacle.remedy),
            )
            .with(json!({ "reason": obstacle.kind.word() })),
            Self::Memory { .. } => Failure::new("ERR_AMPOULE_HYPERVISOR", message),
            Self::Hypervisor(error @ MachineError::Refused { source, .. }) => {
                Failure::new("ERR_AMPOULE_HYPERVISOR", format!("{error}: {source}"))
            }
        }
    }
}

/// A call or resumption was not accepted. The sandbox is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The sandbox is not in a state in which this can be done.
    #[error("the sandbox is {state}; it cannot {operation}")]
    State {
        /// Its state, a word.
        state: &'static str,
        /// What was asked.
        operation: &'static str,
    },
    /// The sandbox is poisoned.
    #[error("the sandbox is poisoned and cannot be called any more")]
    Poisoned(Stop),
    /// A restore failed before.
    #[error("the sandbox is broken since a restore failed; restore it again, or close it")]
    Broken,
    /// The message does not fit into the channel.
    #[error("the message of {length} bytes is larger than the {capacity} bytes that fit")]
    MessageTooLarge {
        /// Bytes of the message.
        length: u64,
        /// Bytes that fit.
        capacity: u64,
    },
}

impl CallError {
    /// The public error for this one.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let message = self.to_string();
        match self {
            Self::State { .. } => Failure::new("ERR_AMPOULE_BUSY", message),
            Self::Poisoned(stop) => {
                let reason = stop.failure();
                Failure::new("ERR_AMPOULE_POISONED", format!("{message}: {}", reason.message))
                    .with(json!({ "reason": reason.code }))
            }
            Self::Broken => Failure::new("ERR_AMPOULE_BROKEN", message),
            Self::MessageTooLarge { length, capacity } => Failure::new(
                "ERR_AMPOULE_MESSAGE_TOO_LARGE",
                format!("{message}; raise `limits.message`"),
            )
            .with(json!({ "bytes": length, "limitBytes": capacity, "option": "limits.message" })),
        }
    }
}
