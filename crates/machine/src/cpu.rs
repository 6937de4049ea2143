//! The state of a CPU, as far as ring 3 can change it.

/// The general registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the processor's own names")]
pub struct Registers {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rsp: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
}

/// Everything of a CPU that ring 3 can change, to go back to or to start from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuState {
    /// General registers. An `out` that stopped the CPU is done: RIP is behind it.
    pub registers: Registers,
    /// Base of FS.
    pub fs_base: u64,
    /// Base of GS.
    pub gs_base: u64,
    /// The extended state in the standard format of `XSAVE` (Intel SDM vol. 1, section 13.4).
    pub extended: Vec<u8>,
}
