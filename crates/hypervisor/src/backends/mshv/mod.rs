//! The Microsoft Hypervisor back end: `/dev/mshv` of a Linux root partition.
//!
//! **It has never run on real hardware.** No machine of the project has the device. What is tested is
//! everything that is logic (the decoding of messages, the conversion of registers, the advance over
//! an `out`, the kick) against a stand-in for `device::Device`; the device itself compiles against
//! Microsoft's crates and follows what Cloud Hypervisor, Hyperlight and the kernel's `drivers/hv`
//! do, no more.
//!
//! Differences from KVM that shape the code:
//! - At an I/O exit RIP is still at the instruction; the back end steps over it (`vcpu`).
//! - A run has no immediate exit; kicks repeat until they are answered (`kick`).
//! - Registers do not come with the exit; two calls read and write them (`vcpu`).
//! - Older kernels pin guest memory and so would not see pages that the host withdraws; they are
//!   refused (`system`).
//! - The driver asks the host for writable pages whatever the guest does with them
//!   (`mshv_region_range_fault`), so pages of a shared image are copied at their first touch.
//!
//! The partition has no interrupt controller, no synthetic features and no intercepts beyond what
//! the hypervisor always reports.

mod backend;
mod device;
mod kick;
mod message;
mod registers;
mod system;
#[cfg(test)]
mod tests;
mod vcpu;
mod vm;

pub use backend::Mshv;
#[cfg(test)]
pub(crate) use system::Missing;
pub(crate) use system::device_path;
