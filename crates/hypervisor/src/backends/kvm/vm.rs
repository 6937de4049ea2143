//! One virtual machine.

use super::errno::refused;
use super::system::System;
use super::vcpu::KvmVcpu;
use crate::vm::{Vcpu, Vm};
use ampoule_machine::MachineError;
use ampoule_memory::{Mapping, PhysicalAddress};
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use std::sync::Arc;

/// A KVM virtual machine.
#[derive(Debug)]
pub(super) struct KvmVm {
    // Declared before `mappings`: the VM must be gone before its memory is.
    fd: Arc<VmFd>,
    mappings: Vec<(PhysicalAddress, Arc<Mapping>)>,
    system: &'static System,
}

impl KvmVm {
    /// Makes a VM.
    ///
    /// # Errors
    /// [`MachineError`].
    pub(super) fn new() -> Result<Self, MachineError> {
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
    ) -> Result<(), MachineError> {
        self.set_slot(self.mappings.len(), base, &mapping, mapping.length())
            .map_err(refused("add memory"))?;
        self.mappings.push((base, mapping));
        Ok(())
    }

    /// KVM drops all shadow page tables when a slot goes (kernel: `kvm_arch_flush_shadow_memslot`).
    /// Taking the first one away and back does for all. About 20 us on a paravirtual nested KVM.
    fn forget_translations(&mut self) -> Result<(), MachineError> {
        let Some((base, mapping)) = self.mappings.first() else { return Ok(()) };
        self.set_slot(0, *base, mapping, 0).map_err(refused("take memory away"))?;
        self.set_slot(0, *base, mapping, mapping.length()).map_err(refused("bring memory back"))
    }

    fn create_vcpu(&mut self) -> Result<Box<dyn Vcpu>, MachineError> {
        let fd = self.fd.create_vcpu(0).map_err(refused("create a virtual CPU"))?;
        let memory = self.mappings.iter().map(|(_, mapping)| Arc::clone(mapping)).collect();
        Ok(Box::new(KvmVcpu::new(fd, self.system, memory)?))
    }
}

impl KvmVm {
    /// Shows `length` bytes of `mapping` at `base`, or takes the slot away when that is zero.
    fn set_slot(
        &self,
        slot: usize,
        base: PhysicalAddress,
        mapping: &Mapping,
        length: u64,
    ) -> Result<(), kvm_ioctls::Error> {
        let slot = u32::try_from(slot).map_err(|_| kvm_ioctls::Error::new(libc::EINVAL))?;
        let region = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: base.get(),
            memory_size: length,
            userspace_addr: mapping.host_address(),
        };
        // SAFETY: the range is mapped for as long as `mapping` lives, and whoever calls this keeps it
        // in `self.mappings`, until after the VM is gone; virtual CPUs keep the VM and, through it,
        // nothing else.
        unsafe { self.fd.set_user_memory_region(region) }
    }
}
