//! What a processor holds for a task, as far as this crate has to know it.

/// A system call as the registers have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemCall {
    /// `rax`. As in Linux its lower half counts.
    pub number: u64,
    /// `rdi`, `rsi`, `rdx`, `r10`, `r8`, `r9`.
    pub arguments: [u64; 6],
}

/// The registers that a task keeps while another one runs.
///
/// The base of FS is what system calls set and tell; the others stay in the virtual processor, for the one task
/// that there is never leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Registers {
    pub(crate) fs_base: u64,
}
