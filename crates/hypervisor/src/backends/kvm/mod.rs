//! The KVM back end.
//!
//! No irqchip, no timers, no devices: only memory and one virtual CPU. General and system registers
//! travel through `KVM_CAP_SYNC_REGS`, so that an exit costs one `KVM_RUN` and no other ioctl.

mod backend;
mod errno;
mod selectors;
mod signal;
mod system;
mod threads;
mod vcpu;
mod vm;

pub use backend::Kvm;
#[cfg(test)]
pub(crate) use system::System;
