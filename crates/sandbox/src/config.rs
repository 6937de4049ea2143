//! What a sandbox is made of and what it may use.

use ampoule_abi::layout::{MEMORY_MAX, MESSAGE_MAX, PAGE_SIZE};
use ampoule_machine::Backends;
use ampoule_wire::value;
use std::sync::Arc;
use std::time::Duration;

/// Everything needed to make a sandbox.
#[derive(Debug, Clone)]
pub struct Config {
    /// The guest: a static x86-64 ELF executable.
    pub executable: Arc<[u8]>,
    /// Name of the program, its `argv[0]`.
    pub name: String,
    /// Further arguments.
    pub arguments: Vec<Vec<u8>>,
    /// Environment, each entry `NAME=value`.
    pub environment: Vec<Vec<u8>>,
    /// Read-only files that the guest sees.
    pub files: Vec<File>,
    /// Bytes of guest memory, page tables included.
    pub memory_bytes: u64,
    /// Bytes of the guest's stack, out of its memory.
    pub stack_bytes: u64,
    /// Bytes of the largest message in either direction. `None`: a plain program without a channel.
    pub message_bytes: Option<u64>,
    /// Further limits.
    pub limits: Limits,
    /// What may run it, in order of preference.
    pub backends: Backends,
}

/// A read-only file in a guest.
#[derive(Debug, Clone)]
pub struct File {
    /// Absolute path.
    pub path: Vec<u8>,
    /// Contents, shared between sandboxes.
    pub contents: Arc<[u8]>,
}

/// What a guest may use up; each is checked while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Host functions that one call may call.
    pub host_calls: u64,
    /// Bytes that the guest may write to standard output and error during one call (for a plain
    /// program: while it runs).
    pub output_bytes: u64,
    /// How deep a value may nest.
    pub value_depth: usize,
    /// Of how many items a value from the guest may be made, as [`ampoule_wire::value::Limits`] counts.
    pub value_items: u64,
    /// Bytes of trace records during one call; what is beyond them is counted and left out.
    pub trace_bytes: u64,
}

impl Limits {
    /// Those for following what a guest tells.
    pub(crate) fn trace(&self) -> ampoule_spans::Limits {
        ampoule_spans::Limits { bytes: self.trace_bytes, ..ampoule_spans::Limits::default() }
    }

    /// Those for a value, which are never beyond what either side can hold.
    pub(crate) fn value(&self) -> value::Limits {
        value::Limits {
            depth: self.value_depth.min(value::DEPTH_LIMIT),
            items: self.value_items.min(value::ITEM_LIMIT),
        }
    }
}

/// How long one call (or the start) may take; `None` is without bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Wall-clock time, host functions included.
    pub wall: Option<Duration>,
    /// Time on a CPU inside the guest, host functions excluded.
    pub cpu: Option<Duration>,
}

/// A configuration that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A size is out of range.
    #[error("{option} must be between {minimum} and {maximum} bytes, got {value}")]
    Size {
        /// Name of the option.
        option: &'static str,
        /// Smallest allowed value.
        minimum: u64,
        /// Largest allowed value.
        maximum: u64,
        /// What was given.
        value: u64,
    },
}

/// Room for system pages, page tables and a small program.
const MEMORY_MIN: u64 = 1 << 20;
pub(crate) const STACK_MIN: u64 = 16 * PAGE_SIZE;
pub(crate) const MESSAGE_MIN: u64 = 1024;

impl Config {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let check = |option, value, minimum, maximum| {
            if (minimum..=maximum).contains(&value) {
                return Ok(());
            }
            Err(ConfigError::Size { option, minimum, maximum, value })
        };
        check("memory", self.memory_bytes, MEMORY_MIN, MEMORY_MAX)?;
        check("stack", self.stack_bytes, STACK_MIN, self.memory_bytes)?;
        if let Some(bytes) = self.message_bytes {
            check("message size", bytes, MESSAGE_MIN, MESSAGE_MAX)?;
        }
        Ok(())
    }
}
