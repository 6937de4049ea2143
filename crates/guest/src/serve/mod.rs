//! The runtime under the macros: what answers the host, whatever the functions are made of.
//!
//! For languages, whose functions are known only when a program was read. [`run`] is the whole program: it
//! makes the functions, tells the host of them, and answers calls of [`Functions`]. Started on plain Linux it
//! understands the same command line as any guest.
//!
//! - [`CallArguments`] and [`Arguments`] are what a call came with; what does not fit is refused as an
//!   argument of the macros' functions would be.
//! - [`call_host`] calls a host function that was [described](Description::imports).
//!
//! A call leaves the virtual machine once and makes no system call by itself.

// Its frames, and those of implementations of `Functions`, are named after this module: by that the host tells
// them from the author's in a backtrace.

mod arguments;
mod functions;
mod host;
mod life;
mod native;
mod panics;

pub use ampoule_wire::failure::GuestError;
pub use ampoule_wire::interface::{Function, Parameter};
pub use arguments::{Arguments, CallArguments, invalid_result};
pub use functions::{Description, Functions};
pub use host::{HostCallError, call_host, write_argument_count};
pub use life::run;

#[cfg(test)]
mod tests;
