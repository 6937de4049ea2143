//! Sandboxes: a guest in a VM of its own, driven as a resumable machine.
//!
//! - [`Sandbox`] runs until it needs its driver and says why in a [`Step`]; nothing in it waits for
//!   a host function.
//! - [`Control`] stops one from any thread; [`Budget`] bounds a call in time.
//! - [`Providers`] are what it is given by whoever hosts it: it knows no thread, queue or cache.
//! - [`Stop`] is why a guest ended; [`Stop::failure`] maps each reason to its public error code.
//!
//! Defaults and user-facing validation live in the TypeScript API; the hard limits are checked here.
#![forbid(unsafe_code)]

mod channel;
mod config;
mod control;
mod empty_vm;
mod error;
mod events;
mod failure;
mod loaded;
pub mod providers;
mod sandbox;
mod statistics;
mod stop;
pub mod store;
mod tracing;

pub use ampoule_linux::{OutputStream, SystemCallCount};
pub use ampoule_program::{ElfError, ElfKind, Location, Program};
pub use ampoule_spans::TraceEntry;
pub use config::{Budget, Config, ConfigError, File, Limits};
pub use control::{CALLER_SLICE, Control, StopRequest, Waker};
pub use empty_vm::{EmptyVm, Shape};
pub use error::{CallError, CreateError};
pub use failure::{Code, Failure, Remedy};
pub use loaded::parse_executable;
pub use providers::Providers;
pub use sandbox::{Resumption, Sandbox, Snapshot, SnapshotError, State, Step, WeakSnapshot};
pub use statistics::Statistics;
pub use stop::{AbortReport, Fault, Stop};
pub use tracing::{
    CallTrace, Directives, DirectivesError, TraceContext, clock_is_invariant, wall_offset,
};
