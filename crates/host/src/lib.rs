//! Hosting sandboxes: whose thread drives which of them, and what is kept between two.
//!
//! - [`Driver`] is a sandbox with what drives it: the calling thread or the executor's runners.
//! - [`registry`] is the table of all sandboxes by number.
//! - [`providers()`] are what every sandbox of this process is given.
#![forbid(unsafe_code)]

mod cache;
mod driver;
mod executor;
mod job;
mod phase;
mod providers;
pub mod registry;
mod slot;
mod watchdog;

pub use ampoule_hypervisor::{BACKENDS, Probe, probe};
pub use driver::{Caller, Driver};
pub use job::Report;
pub use phase::Phase;
pub use providers::providers;
