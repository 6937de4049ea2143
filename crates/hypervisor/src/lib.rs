//! Hypervisors as back ends of [`ampoule_machine`]: a VM with one virtual CPU that runs ring-3 code.
//!
//! - [`BACKENDS`]: the hypervisors in order of preference; [`backends`] holds them, each in a folder of its own,
//!   and a fake one for tests without hardware.
//! - [`Vm`], [`Vcpu`]: what a hypervisor offers.
//! - [`ring3`]: the few descriptor tables and stubs with which ring 3 can run and be left again, and the
//!   machine that turns raw exits into [`ampoule_machine::Trap`]s.
//! - [`probe()`]: what this machine has, what is missing and how to fix it.
//!
//! Knows nothing of sandboxes, system calls or messages.

pub mod backends;
mod long_mode;
mod probe;
mod refusal;
pub mod ring3;
mod signal;
mod vm;

pub use backends::BACKENDS;
pub use probe::{Probe, probe};
pub use vm::{Exit, InitialState, SystemRegisters, Vcpu, Vm};
