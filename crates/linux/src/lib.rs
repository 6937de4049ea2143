//! The Linux personality: start-up stack, system calls, in-memory files.
//!
//! A guest is an ordinary static Linux program in ring 3, and this crate is the kernel it believes
//! to run on: [`Personality::start`] lays out what a program finds at its entry point, and
//! [`Personality::system_call`] answers what it asks for. The driver of the guest moves registers
//! and carries out what an [`Answer`] tells it to.
//!
//! What lives here: the table of calls ([`documentation`] prints it) and, a module per family, their
//! handlers: `process`, `memory`, `files`, `time`, `signals`. What does not: the program's loading,
//! faults, limits on time and output, and any access to the host. Guest memory is reached through
//! [`ampoule_memory::AddressSpace`] alone, and time through [`Clock`].
#![forbid(unsafe_code)]

mod answer;
mod clock;
mod control;
mod errno;
mod files;
mod futex;
mod guest;
mod limits;
mod memory;
mod personality;
mod process;
mod scheduling;
mod signals;
mod startup;
mod state;
mod table;
mod time;
mod timers;

pub use answer::Answer;
pub use clock::{Clock, HostClock, MONOTONIC_ORIGIN};
pub use errno::Errno;
pub use files::system::{
    Device, File, FileSystem, Kind, MemoryFileSystem, Node, PlaceError, Status,
};
pub use files::{OUTPUT_HIGH_WATER, OutputStream};
pub use personality::{Personality, SystemCall};
pub use startup::{
    ARGUMENT_MAX, ARGUMENTS_MAX, InitialStack, STACK_MAX, STACK_MIN, Start, StartError, StringList,
};
pub use state::{PersonalityState, StateError};
pub use table::{SystemCallCount, answered, documentation};

#[cfg(test)]
mod tests;
