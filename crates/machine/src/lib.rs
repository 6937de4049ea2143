//! What can run a ring-3 program: the seam between sandboxes and the back ends that run their guests.
//!
//! - [`Backend`]: a way to run programs here; [`Backends`]: several, of which the first usable one is taken.
//! - [`Machine`]: one CPU that runs a program in an address space until it traps.
//! - [`SystemPages`]: what a back end needs in an address space besides the guest.
//! - [`Trap`]: why a program was left.
//! - [`CpuState`], [`Registers`]: what a program can change of a CPU.
//! - [`Kicker`]: makes a running machine return, from any thread.
//! - [`GuestFeatures`]: what a program can see of the processor, and whether another machine has it too.
//! - [`MachineError`], [`Availability`]: what a back end cannot do, and what to do about it.
//! - [`time_stamp`], [`monotonic`]: the clocks that are read together with a guest's.
//!
//! Knows nothing of hypervisors, sandboxes, system calls or messages.
#![deny(unsafe_code)]

mod availability;
mod backend;
#[expect(unsafe_code, reason = "the time-stamp counter, and the C library's clock")]
mod clock;
mod cpu;
mod error;
mod features;
mod kick;
mod machine;
mod select;
mod system_pages;
mod trap;

pub use availability::{Availability, Obstacle, ObstacleKind};
pub use backend::{Backend, Entry, Finding};
pub use clock::{monotonic, time_stamp, time_stamp_is_invariant};
pub use cpu::{CpuState, Registers};
pub use error::MachineError;
pub use features::{
    EXTENDED_STATE, FEATURE_WORDS, FeatureWord, GuestFeatures, native_leaf, native_xcr0,
};
pub use kick::{Kick, Kicker};
pub use machine::Machine;
pub use select::Backends;
pub use system_pages::{SystemPage, SystemPages};
pub use trap::{Exception, Trap, Violation};
