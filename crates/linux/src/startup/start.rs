//! What a program is started with, and why it cannot be.

use crate::kernel::clock::{Clock, HostClock};
use crate::vfs::files::OUTPUT_HIGH_WATER;
use crate::vfs::system::{File, PlaceError};
use ampoule_memory::{AccessError, MapError};
use std::sync::Arc;

/// Linux' `MAX_ARG_STRLEN`: the longest argument or environment string, with its NUL.
pub const ARGUMENT_MAX: usize = 128 << 10;
/// Most bytes of arguments and environment altogether: three quarters of Linux' default stack limit
/// (kernel: `bprm_stack_limits`); with a smaller stack, a quarter of that.
pub const ARGUMENTS_MAX: usize = 6 << 20;

/// What a program starts with.
#[derive(Debug, Clone)]
pub struct Start {
    /// The program's path, as `AT_EXECFN` and `/proc/self/exe` tell it.
    pub executable: Vec<u8>,
    /// `argv`, with the program's name first.
    pub arguments: Vec<Vec<u8>>,
    /// `envp`, as `NAME=value`.
    pub environment: Vec<Vec<u8>>,
    /// Read-only files. One at the path of `executable` may be run and is what `/proc/self/exe`
    /// leads to.
    pub files: Vec<File>,
    /// Bytes of the stack; rounded up to pages, from [`crate::STACK_MIN`] to [`crate::STACK_MAX`].
    pub stack_bytes: u64,
    /// Seed of everything random that the guest sees.
    pub random: [u8; 32],
    /// Guest address of the program headers (`AT_PHDR`).
    pub program_headers: u64,
    /// Number of program headers.
    pub program_header_count: u16,
    /// Entry point (`AT_ENTRY`).
    pub entry: u64,
    /// End of the program's last segment: the heap starts at the next page.
    pub break_start: u64,
    /// Guest address of the channel's control page, for guests that use our SDK.
    pub channel: Option<u64>,
    /// What CPUID leaf 1 gives in EDX (`AT_HWCAP`).
    pub hwcap: u64,
    /// Bytes of undrained output at which a write parks with [`crate::WaitFor::OutputRoom`].
    pub output_high_water: usize,
    /// Where the guest's time comes from.
    pub clock: Arc<dyn Clock>,
}

impl Default for Start {
    /// Linux' usual stack of 8 MiB, the host's clock, and nothing else: no name, arguments or files,
    /// and a seed of zeros. Every caller sets what it knows.
    fn default() -> Self {
        Self {
            executable: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            files: Vec::new(),
            stack_bytes: 8 << 20,
            random: [0; 32],
            program_headers: 0,
            program_header_count: 0,
            entry: 0,
            break_start: ampoule_abi::layout::PIE_BASE,
            channel: None,
            hwcap: 0,
            output_high_water: OUTPUT_HIGH_WATER,
            clock: Arc::new(HostClock::new()),
        }
    }
}

/// Where the program starts to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitialStack {
    /// The value for `rsp`: `argc` stands there; a multiple of 16.
    pub stack_pointer: u64,
}

/// Which list a faulty string stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StringList {
    /// The program's path.
    Executable,
    /// The arguments.
    Arguments,
    /// The environment.
    Environment,
}

impl std::fmt::Display for StringList {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Executable => "executable path",
            Self::Arguments => "argument",
            Self::Environment => "environment variable",
        })
    }
}

/// Why a program cannot be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// A string holds a NUL byte, which would end it early.
    #[error("{list} {index} holds a NUL byte")]
    NulByte {
        /// Where the string stands.
        list: StringList,
        /// Its index there.
        index: usize,
    },
    /// One string is too long.
    #[error("{list} {index} has {bytes} bytes, the limit is {limit}")]
    StringTooLong {
        /// Where the string stands.
        list: StringList,
        /// Its index there.
        index: usize,
        /// Its length.
        bytes: usize,
        /// [`ARGUMENT_MAX`] less the NUL.
        limit: usize,
    },
    /// Arguments and environment together are too large.
    #[error("arguments and environment take {bytes} bytes, the limit is {limit}")]
    ArgumentsTooLarge {
        /// Bytes of all strings and the pointers to them.
        bytes: usize,
        /// How many fit.
        limit: usize,
    },
    /// The stack's size is out of range.
    #[error("a stack of {bytes} bytes is not between {minimum} and {maximum}")]
    StackSize {
        /// What was asked for.
        bytes: u64,
        /// [`crate::STACK_MIN`].
        minimum: u64,
        /// [`crate::STACK_MAX`].
        maximum: u64,
    },
    /// The program's end leaves no room for a heap.
    #[error("the program ends at {break_start:#x}, beyond the heap's addresses")]
    BreakOutOfRange {
        /// [`Start::break_start`].
        break_start: u64,
    },
    /// A file cannot be placed.
    #[error("the file {:?} cannot be placed in the guest", String::from_utf8_lossy(path))]
    File {
        /// Its path.
        path: Vec<u8>,
        /// What is wrong with it.
        source: PlaceError,
    },
    /// The stack cannot be mapped.
    #[error("the stack cannot be mapped")]
    Stack(#[from] MapError),
    /// The stack cannot be filled: the guest's memory is used up.
    #[error("the stack cannot be filled")]
    StackAccess(#[from] AccessError),
}
