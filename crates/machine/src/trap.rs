//! Why a program was left.

use ampoule_memory::Access;

/// Why ring 3 was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trap {
    /// A message stands in the channel.
    Doorbell,
    /// The batch of trace events is full.
    TraceFull,
    /// `syscall`; answer with [`crate::Machine::return_from_system_call`].
    SystemCall {
        /// RAX.
        number: u64,
        /// RDI, RSI, RDX, R10, R8, R9.
        arguments: [u64; 6],
    },
    /// A processor exception. Running on retries the instruction.
    Exception(Exception),
    /// The guest did what no program has a reason to do.
    Violation(Violation),
    /// A [`crate::Kicker`] asked for a stop; running on continues.
    Kicked,
}

/// A processor exception in ring 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exception {
    /// Vector, 0 to 31 (Intel SDM vol. 3, table 6-1).
    pub vector: u8,
    /// Error code, zero for vectors without one.
    pub error_code: u64,
    /// Address of the instruction.
    pub instruction: u64,
    /// Stack pointer.
    pub stack: u64,
    /// Address and access of a page fault.
    pub fault: Option<(u64, Access)>,
}

/// Something that ends a guest without a processor exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// I/O to a port that is not the doorbell.
    Port {
        /// The port.
        port: u16,
    },
    /// Access to guest-physical memory that does not exist.
    Unbacked,
    /// The processor was halted.
    Halt,
    /// Triple fault.
    Shutdown,
    /// The back end could not go on with this guest.
    Unrunnable {
        /// The back end's own code for it.
        code: u64,
    },
}
