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
    /// None, but for values, which are never beyond what either side can hold.
    pub const UNLIMITED: Self = Self {
        host_calls: u64::MAX,
        output_bytes: u64::MAX,
        value_depth: value::DEPTH_LIMIT,
        value_items: value::ITEM_LIMIT,
        trace_bytes: u64::MAX,
    };

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
    /// No executable, no memory and no limits yet: what is not named is not there.
    #[must_use]
    pub fn empty(backends: Backends) -> Self {
        Self {
            executable: Arc::from([]),
            name: String::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            files: Vec::new(),
            memory_bytes: 0,
            stack_bytes: 0,
            message_bytes: None,
            limits: Limits::UNLIMITED,
            backends,
        }
    }

    /// Whether both may be the same to a guest at its start, as far as that costs nothing to see:
    /// [`Self::starts_like`] knows for certain.
    #[must_use]
    pub fn looks_like(&self, other: &Self) -> bool {
        // With all that a guest can see, so that whoever adds to it says what to do with it here.
        let Self {
            executable,
            name,
            arguments,
            environment,
            files,
            memory_bytes,
            stack_bytes,
            message_bytes,
            // They are checked while it runs, and each sandbox has its own.
            limits: _,
            backends,
        } = self;
        executable.len() == other.executable.len()
            && *name == other.name
            && *arguments == other.arguments
            && *environment == other.environment
            && (*memory_bytes, *stack_bytes, *message_bytes)
                == (other.memory_bytes, other.stack_bytes, other.message_bytes)
            && files.len() == other.files.len()
            && *backends == other.backends
    }

    /// Whether a guest cannot tell at its start whether it was made from this or from `other`.
    ///
    /// Cost: a comparison of the executables and files, unless they are shared.
    #[must_use]
    pub fn starts_like(&self, other: &Self) -> bool {
        let same_file =
            |(a, b): (&File, &File)| a.path == b.path && is_equal(&a.contents, &b.contents);
        self.looks_like(other)
            && is_equal(&self.executable, &other.executable)
            && self.files.iter().zip(&other.files).all(same_file)
    }

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

fn is_equal(a: &Arc<[u8]>, b: &Arc<[u8]>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

#[cfg(test)]
mod tests {
    use super::{Config, File, Limits};
    use ampoule_hypervisor::BACKENDS;
    use std::sync::Arc;

    fn config() -> Config {
        let file = File { path: b"/a".to_vec(), contents: Arc::from(*b"contents") };
        Config { executable: Arc::from(*b"ELF"), files: vec![file], ..Config::empty(BACKENDS) }
    }

    #[test]
    fn what_a_guest_can_see_at_its_start_tells_two_apart_and_limits_do_not() {
        let limits = Limits { host_calls: 1, ..Limits::UNLIMITED };
        let alike = Config { limits, ..config() };
        assert!(config().looks_like(&alike) && config().starts_like(&alike));
        let other_file = |path: &[u8], contents: &[u8]| {
            vec![File { path: path.to_vec(), contents: contents.into() }]
        };
        let seen_at_once = [
            Config { executable: Arc::from(*b"elf or"), ..config() },
            Config { name: "other".into(), ..config() },
            Config { arguments: vec![Vec::new()], ..config() },
            Config { environment: vec![b"A=1".to_vec()], ..config() },
            Config { files: Vec::new(), ..config() },
            Config { memory_bytes: 1, ..config() },
            Config { stack_bytes: 1, ..config() },
            Config { message_bytes: Some(0), ..config() },
        ];
        for other in seen_at_once {
            assert!(!config().looks_like(&other) && !config().starts_like(&other), "{other:?}");
        }
        let seen_by_comparison = [
            Config { executable: Arc::from(*b"elf"), ..config() },
            Config { files: other_file(b"/b", b"contents"), ..config() },
            Config { files: other_file(b"/a", b"CONTENTS"), ..config() },
        ];
        for other in seen_by_comparison {
            assert!(config().looks_like(&other) && !config().starts_like(&other), "{other:?}");
        }
    }
}
