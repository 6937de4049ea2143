//! The KVM back end.
//!
//! No irqchip, no timers, no devices: only memory and one virtual CPU. General and system registers
//! travel through `KVM_CAP_SYNC_REGS`, so that an exit costs one `KVM_RUN` and no other ioctl.

mod signal;
mod system;
mod vcpu;

pub use system::device_path;
pub(crate) use system::{Missing, System};

use crate::backend::{HypervisorError, Vcpu, Vm};
use ampoule_memory::{Mapping, PhysicalAddress};
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use std::io;
use std::sync::Arc;

/// A KVM virtual machine.
#[derive(Debug)]
pub struct KvmVm {
    // Declared before `mappings`: the VM must be gone before its memory is.
    fd: Arc<VmFd>,
    mappings: Vec<Arc<Mapping>>,
    system: &'static System,
}

impl KvmVm {
    /// Makes a VM.
    ///
    /// # Errors
    /// [`HypervisorError`].
    pub fn new() -> Result<Self, HypervisorError> {
        let system = System::get()?;
        let fd = system.create_vm().map_err(refused("create a VM"))?;
        Ok(Self { fd: Arc::new(fd), mappings: Vec::new(), system })
    }
}

impl Vm for KvmVm {
    fn map_memory(
        &mut self,
        base: PhysicalAddress,
        mapping: Arc<Mapping>,
    ) -> Result<(), HypervisorError> {
        let slot = u32::try_from(self.mappings.len())
            .map_err(|_| refused("add memory")(kvm_ioctls::Error::new(libc::EINVAL)))?;
        let region = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: base.get(),
            memory_size: mapping.length(),
            userspace_addr: mapping.host_address(),
        };
        // SAFETY: the range is mapped for as long as `mapping` lives, and `self.mappings` keeps it
        // until after the VM is gone; virtual CPUs keep the VM and, through it, nothing else.
        unsafe { self.fd.set_user_memory_region(region) }.map_err(refused("add memory"))?;
        self.mappings.push(mapping);
        Ok(())
    }

    fn create_vcpu(&mut self) -> Result<Box<dyn Vcpu>, HypervisorError> {
        let fd = self.fd.create_vcpu(0).map_err(refused("create a virtual CPU"))?;
        Ok(Box::new(vcpu::KvmVcpu::new(fd, self.system, self.mappings.clone())?))
    }
}

/// Turns an errno into the error that names the operation.
fn refused(operation: &'static str) -> impl Fn(kvm_ioctls::Error) -> HypervisorError {
    move |error| HypervisorError::Refused {
        operation,
        source: io::Error::from_raw_os_error(error.errno()),
    }
}
