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

mod device;
mod kick;
mod message;
mod registers;
mod system;
#[cfg(test)]
mod tests;
mod vcpu;

pub(crate) use system::{Missing, System, device_path};

use crate::backend::{HypervisorError, Vcpu, Vm};
use ampoule_memory::{Mapping, PhysicalAddress};
use mshv_ioctls::VmFd;
use std::io;
use std::sync::Arc;

/// A partition of the Microsoft Hypervisor.
#[derive(Debug)]
pub struct MshvVm {
    // Declared before `mappings`: the partition must be gone before its memory is.
    fd: VmFd,
    mappings: Vec<Arc<Mapping>>,
    system: &'static System,
}

impl MshvVm {
    /// Makes a VM.
    ///
    /// # Errors
    /// [`HypervisorError`].
    pub fn new() -> Result<Self, HypervisorError> {
        let system = System::get()?;
        let fd = system.create_vm().map_err(refused("create a VM"))?;
        Ok(Self { fd, mappings: Vec::new(), system })
    }
}

impl Vm for MshvVm {
    fn map_memory(
        &mut self,
        base: PhysicalAddress,
        mapping: Arc<Mapping>,
    ) -> Result<(), HypervisorError> {
        // The range stays mapped for as long as `mapping` lives, and `self.mappings` keeps it until
        // after the partition is gone; virtual CPUs keep it too.
        system::map(&self.fd, base, &mapping).map_err(refused("add memory"))?;
        self.mappings.push(mapping);
        Ok(())
    }

    /// The hypervisor maps guest-physical memory by second-level tables of its own and leaves the
    /// guest's to the processor.
    fn forget_translations(&mut self) -> Result<(), HypervisorError> {
        Ok(())
    }

    fn create_vcpu(&mut self) -> Result<Box<dyn Vcpu>, HypervisorError> {
        let fd = self
            .fd
            .create_vcpu(0)
            .map_err(|error| refused("create a virtual CPU")(error.into()))?;
        let device = device::Hardware::new(fd, self.system.features, self.system.tsc_frequency);
        Ok(Box::new(vcpu::MshvVcpu::new(device, self.mappings.clone())))
    }
}

/// Turns what the system said into the error that names the operation.
fn refused(operation: &'static str) -> impl Fn(io::Error) -> HypervisorError {
    move |source| HypervisorError::Refused { operation, source }
}
