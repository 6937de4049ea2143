//! The machine that runs one program.

use crate::cpu::CpuState;
use crate::error::MachineError;
use crate::kick::Kicker;
use crate::system_pages::SystemPages;
use crate::trap::Trap;
use ampoule_memory::AddressSpace;
use std::fmt::Debug;

/// One CPU that runs a ring-3 program in an address space, until the program needs its host.
///
/// Every method but [`Machine::run`] costs a copy and no system call, unless it says more. The space that it is
/// given is always the one that it was made for ([`crate::Backend::machine`]).
pub trait Machine: Debug + Send {
    /// Runs the program until it traps. Allocates nothing.
    ///
    /// A page that the program wrote is marked dirty in `space`, as the processor marks it: by that a restore
    /// finds it.
    ///
    /// # Errors
    /// [`MachineError::Refused`] when the back end itself fails; what a program can provoke is a [`Trap`].
    fn run(&mut self, space: &mut AddressSpace) -> Result<Trap, MachineError>;

    /// Gives the system call that trapped its result and goes on behind it at the next run.
    fn return_from_system_call(&mut self, result: i64);

    /// Sets the base of FS, where a libc keeps its thread's data.
    fn set_fs_base(&mut self, base: u64);

    /// Instruction pointer and stack pointer of ring 3 as of the last trap, for reports. At a
    /// system call the pointer is that of the instruction behind `syscall`.
    fn position(&self) -> (u64, u64);

    /// Frequency of the guest's time-stamp counter in Hz, when the back end knows it.
    fn tsc_frequency(&self) -> Option<u64>;

    /// Reads the CPU's state. Memory that is sealed next carries what [`Self::load`] needs of it.
    ///
    /// Cost: a few system calls.
    ///
    /// # Errors
    /// [`MachineError::Refused`].
    fn save(&mut self, space: &AddressSpace) -> Result<CpuState, MachineError>;

    /// Makes the next run start in `state`, in `space`.
    ///
    /// Cost: a system call at most, as a rule none.
    ///
    /// # Errors
    /// [`MachineError::Refused`].
    fn load(&mut self, state: &CpuState, space: &AddressSpace) -> Result<(), MachineError>;

    /// Whether [`Self::load`] leads to a known state. It does not when the CPU stopped in a way after which its
    /// state cannot be relied on: then only a new machine will do.
    fn is_sound(&self) -> bool;

    /// Whether the next run on the calling thread costs nothing but itself
    /// ([`crate::Backend::thread_change_cost`]).
    fn has_affinity_here(&self) -> bool;

    /// Whether it can run in memory where the back end's pages stand as `pages` says.
    fn stands_on(&self, pages: &SystemPages) -> bool;

    /// Forgets kicks that came while nothing ran: they were meant for what ran before.
    fn forget_kicks(&mut self);

    /// A handle that makes [`Self::run`] return, from any thread.
    fn kicker(&self) -> Kicker;
}
