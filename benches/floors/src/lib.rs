//! Floors: what the machine allows, in KVM through `kvm-ioctls` and in plain memory, without a line
//! of the product.
//!
//! - [`Exit`]: an empty ring-3 `out` loop, one `KVM_RUN` each.
//! - [`Ping`]: a host thread and a virtual CPU, both spinning, pass a number to and fro.
//! - [`Create`]: a VM up to its first exit, and its end.
//! - [`struct@Copy`]: pages of an image to scattered private pages.
//!
//! Guests here are a few bytes of machine code in ring 3 under identity-mapped page tables. Each
//! floor takes *turns*: so many samples, in microseconds, so that it can alternate with what is
//! compared with it.

mod copy;
mod create;
mod exit;
mod image;
mod memory;
mod ping;
mod time;
mod vm;

pub use copy::Copy;
pub use create::{Create, Life};
pub use exit::Exit;
pub use ping::Ping;
pub use time::{microseconds, sample};
