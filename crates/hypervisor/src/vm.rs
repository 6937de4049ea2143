//! What every hypervisor offers.

use ampoule_machine::{CpuState, Kicker, MachineError, Registers};
use ampoule_memory::{Mapping, PhysicalAddress};
use std::sync::Arc;

/// A virtual machine without devices.
pub trait Vm: Send {
    /// Shows `mapping` to the guest at guest-physical `base`. The VM keeps it alive.
    ///
    /// # Errors
    /// [`MachineError::Refused`], for example when the range overlaps another.
    fn map_memory(
        &mut self,
        base: PhysicalAddress,
        mapping: Arc<Mapping>,
    ) -> Result<(), MachineError>;

    /// Forgets every translation of guest addresses that was made from page tables which the host
    /// has changed since. Nothing to do where the processor walks the guest's tables itself.
    ///
    /// # Errors
    /// [`MachineError::Refused`].
    fn forget_translations(&mut self) -> Result<(), MachineError>;

    /// Makes the VM's only virtual CPU.
    ///
    /// # Errors
    /// [`MachineError::Refused`].
    fn create_vcpu(&mut self) -> Result<Box<dyn Vcpu>, MachineError>;
}

/// A virtual CPU. It may be driven by any thread, one at a time.
pub trait Vcpu: Send {
    /// Puts the CPU into the given state, with all other state as after a reset.
    ///
    /// # Errors
    /// [`MachineError::Refused`].
    fn initialise(&mut self, state: &InitialState) -> Result<(), MachineError>;

    /// Runs until something needs the host's attention.
    ///
    /// # Errors
    /// [`MachineError::Refused`] when the hypervisor itself fails; what a guest can provoke is
    /// an [`Exit`].
    fn run(&mut self) -> Result<Exit, MachineError>;

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
    /// [`MachineError::Refused`].
    fn save(&mut self) -> Result<CpuState, MachineError>;

    /// Makes all segments those that ring 3 starts with, with these bases, for the next run. An
    /// exception that the CPU was about to report is forgotten.
    ///
    /// Cost: a comparison under KVM, a hypercall elsewhere.
    ///
    /// # Errors
    /// [`MachineError::Refused`].
    fn set_segments(&mut self, fs_base: u64, gs_base: u64) -> Result<(), MachineError>;

    /// Sets the extended state, [`CpuState::extended`], for the next run.
    ///
    /// Cost: one system call.
    ///
    /// # Errors
    /// [`MachineError::Refused`], when the state is not one of this kind of CPU.
    fn load_extended(&mut self, extended: &[u8]) -> Result<(), MachineError>;

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
