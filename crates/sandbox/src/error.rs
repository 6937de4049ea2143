//! Errors of operations.

use crate::config::ConfigError;
use crate::stop::Stop;
use ampoule_machine::MachineError;
use ampoule_program::ElfError;
use std::io;

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
    #[error("the program does not fit into {memory} bytes of guest memory")]
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
