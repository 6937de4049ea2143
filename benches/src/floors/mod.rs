//! What the machine allows: KVM through `kvm-ioctls`, and memory, without a line of the product.
//!
//! Guests here are a few bytes of machine code in ring 3 under identity-mapped page tables.

pub(crate) mod copy;
pub(crate) mod create;
pub(crate) mod exit;
mod image;
mod memory;
pub(crate) mod ping;
mod vm;
