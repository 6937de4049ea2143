//! The Linux personality: start-up stack, system calls, in-memory files.
//!
//! A guest is an ordinary static Linux program in ring 3, and this crate is the kernel it believes
//! to run on: [`Personality::start`] lays out what a program finds at its entry point, and
//! [`Personality::system_call`] answers what it asks for. The driver of the guest moves registers
//! and carries out what an [`Answer`] tells it to.
//!
//! What lives here, each room knowing only those behind it: `calls`, the handlers of system calls, a module for
//! each family, with the table of them all ([`documentation`] prints it); `kernel`, what tasks share, and the
//! scheduler; `task`, what belongs to one thread; `vfs`, descriptors, pipes and the tree of files. `state` is a
//! personality as plain data. What does not: the program's loading, faults, limits on time and output, and any
//! access to the host. Guest memory is reached through [`ampoule_memory::AddressSpace`] alone, and time through
//! [`Clock`].
#![forbid(unsafe_code)]

mod answer;
mod calls;
mod errno;
mod guest;
mod kernel;
mod personality;
mod startup;
mod state;
mod task;
mod vfs;

pub use answer::{Answer, Termination, WaitFor};
pub use calls::table::counts::SystemCallCount;
pub use calls::table::documentation::{answered, documentation};
pub use errno::Errno;
pub use kernel::clock::{Clock, HostClock, MONOTONIC_ORIGIN};
pub use kernel::layout::{STACK_MAX, STACK_MIN};
pub use personality::Personality;
pub use startup::start::{
    ARGUMENT_MAX, ARGUMENTS_MAX, InitialStack, Start, StartError, StringList,
};
pub use state::PersonalityState;
pub use state::error::StateError;
pub use task::registers::SystemCall;
pub use vfs::files::{OUTPUT_HIGH_WATER, OutputStream};
pub use vfs::system::{Device, File, FileSystem, Kind, MemoryFileSystem, Node, PlaceError, Status};

#[cfg(test)]
mod tests;
