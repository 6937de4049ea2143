//! One partition.

use super::device::Hardware;
use super::system::{self, System};
use super::vcpu::MshvVcpu;
use crate::refusal::refused;
use crate::vm::{Vcpu, Vm};
use ampoule_machine::MachineError;
use ampoule_memory::{Mapping, PhysicalAddress};
use mshv_ioctls::VmFd;
use std::sync::Arc;

/// A partition of the Microsoft Hypervisor.
#[derive(Debug)]
pub(super) struct MshvVm {
    // Declared before `mappings`: the partition must be gone before its memory is.
    fd: VmFd,
    mappings: Vec<Arc<Mapping>>,
    system: &'static System,
}

impl MshvVm {
    /// Makes a VM.
    ///
    /// # Errors
    /// [`MachineError`].
    pub(super) fn new() -> Result<Self, MachineError> {
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
    ) -> Result<(), MachineError> {
        // The range stays mapped for as long as `mapping` lives, and `self.mappings` keeps it until
        // after the partition is gone; virtual CPUs keep it too.
        system::map(&self.fd, base, &mapping).map_err(refused("add memory"))?;
        self.mappings.push(mapping);
        Ok(())
    }

    /// The hypervisor maps guest-physical memory by second-level tables of its own and leaves the
    /// guest's to the processor.
    fn forget_translations(&mut self) -> Result<(), MachineError> {
        Ok(())
    }

    fn create_vcpu(&mut self) -> Result<Box<dyn Vcpu>, MachineError> {
        let fd = self.fd.create_vcpu(0).map_err(refused("create a virtual CPU"))?;
        let device = Hardware::new(fd, self.system.features, self.system.tsc_frequency);
        Ok(Box::new(MshvVcpu::new(device, self.mappings.clone())))
    }
}
