//! Hosting sandboxes: whose thread drives which of them, and what is kept between two.
//!
//! - [`Driven`] is a sandbox with its driver: the calling thread or the executor's runners.
//! - [`providers`] are what every sandbox of this process is given.
#![forbid(unsafe_code)]

mod cache;
mod driven;
mod executor;
mod providers;
mod watchdog;

pub use driven::{Caller, Driven, Phase, Report};
pub use providers::providers;
