//! What every back end offers.

use crate::kick::Kicker;
use crate::probe::Availability;
use ampoule_memory::{Mapping, PhysicalAddress};
use std::io;
use std::sync::Arc;

/// A virtual machine without devices.
pub trait Vm: Send {
    /// Shows `mapping` to the guest at guest-physical `base`. The VM keeps it alive.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`], for example when the range overlaps another.
    fn map_memory(
        &mut self,
        base: PhysicalAddress,
        mapping: Arc<Mapping>,
    ) -> Result<(), HypervisorError>;

    /// Forgets every translation of guest addresses that was made from page tables which the host
    /// has changed since. Nothing to do where the processor walks the guest's tables itself.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`].
    fn forget_translations(&mut self) -> Result<(), HypervisorError>;

    /// Makes the VM's only virtual CPU.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`].
    fn create_vcpu(&mut self) -> Result<Box<dyn Vcpu>, HypervisorError>;
}

/// A virtual CPU. It may be driven by any thread, one at a time.
pub trait Vcpu: Send {
    /// Puts the CPU into the given state, with all other state as after a reset.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`].
    fn initialise(&mut self, state: &InitialState) -> Result<(), HypervisorError>;

    /// Runs until something needs the host's attention.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`] when the hypervisor itself fails; what a guest can provoke is
    /// an [`Exit`].
    fn run(&mut self) -> Result<Exit, HypervisorError>;

    /// General registers as of the last exit. Costs a copy, no system call.
    fn registers(&self) -> Registers;

    /// Sets the general registers for the next run. Costs a copy, no system call.
    fn set_registers(&mut self, registers: &Registers);

    /// The system registers of interest as of the last exit. Costs a copy, no system call.
    fn system_registers(&self) -> SystemRegisters;

    /// Sets the base of FS for the next run.
    fn set_fs_base(&mut self, base: u64);

    /// Reads the state for [`Self::set_segments`], [`Self::load_extended`] and
    /// [`Self::set_registers`].
    ///
    /// Cost: two or three system calls.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`].
    fn save(&mut self) -> Result<CpuState, HypervisorError>;

    /// Makes all segments those that ring 3 starts with, with these bases, for the next run. An
    /// exception that the CPU was about to report is forgotten.
    ///
    /// Cost: a comparison under KVM, a hypercall elsewhere.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`].
    fn set_segments(&mut self, fs_base: u64, gs_base: u64) -> Result<(), HypervisorError>;

    /// Sets the extended state, [`CpuState::extended`], for the next run.
    ///
    /// Cost: one system call.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`], when the state is not one of this kind of CPU.
    fn load_extended(&mut self, extended: &[u8]) -> Result<(), HypervisorError>;

    /// The state components that ring 3 may load by `xrstor`, should it have that; `None` when it
    /// certainly cannot.
    fn xcr0(&self) -> Option<u64>;

    /// Frequency of the guest's time-stamp counter in Hz, when the hypervisor knows it.
    fn tsc_frequency(&self) -> Option<u64>;

    /// A handle that makes [`Vcpu::run`] return, from any thread.
    fn kicker(&self) -> Kicker;

    /// Forgets kicks that came while nothing ran, so that they do not end the next run.
    fn forget_kicks(&mut self);
}

/// Why a virtual CPU stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// `out` to a port.
    PortOut {
        /// The port.
        port: u16,
    },
    /// `in` from a port.
    PortIn {
        /// The port.
        port: u16,
    },
    /// Access to guest-physical memory that no mapping backs.
    Unbacked {
        /// Where, when the hypervisor tells.
        address: Option<u64>,
    },
    /// `hlt` reached the hypervisor.
    Halt,
    /// Triple fault.
    Shutdown,
    /// The hypervisor could not emulate or enter the guest.
    Unrunnable {
        /// The hypervisor's own code for it.
        code: u64,
    },
    /// A [`Kicker`] asked for it.
    Kicked,
}

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

/// The system registers that the host looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SystemRegisters {
    /// Selector of the code segment; its low two bits are the privilege level.
    pub cs: u16,
    /// Address of the last page fault.
    pub cr2: u64,
    /// Base of FS.
    pub fs_base: u64,
    /// Base of GS, which ring 3 can set by itself where `wrgsbase` exists.
    pub gs_base: u64,
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

/// State of a CPU before its first instruction: long mode, ring 3, flat segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitialState {
    /// General registers, entry point and stack among them.
    pub registers: Registers,
    /// Guest-physical address of the root page table.
    pub page_tables: PhysicalAddress,
    /// Guest-virtual base and limit of the global descriptor table.
    pub gdt: (u64, u16),
    /// Guest-virtual base and limit of the interrupt descriptor table.
    pub idt: (u64, u16),
    /// Guest-virtual base and limit of the task state segment.
    pub tss: (u64, u16),
    /// Guest-virtual address that `syscall` enters.
    pub system_call_entry: u64,
    /// RFLAGS bits that `syscall` clears.
    pub system_call_flag_mask: u64,
}

/// The hypervisor cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum HypervisorError {
    /// There is no usable hypervisor here.
    #[error("no usable hypervisor: {availability}")]
    Unavailable {
        /// What is missing and what to do.
        availability: Availability,
    },
    /// The hypervisor refused an operation.
    #[error("the hypervisor refused to {operation}")]
    Refused {
        /// What was asked, for example "create a VM".
        operation: &'static str,
        /// What it said.
        source: io::Error,
    },
}
