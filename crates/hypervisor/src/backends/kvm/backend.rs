//! KVM at the seam.

use super::system::{Missing, System, device_path};
use super::threads;
use super::vm::KvmVm;
use crate::ring3;
use ampoule_machine::{
    Availability, Backend, Entry, Finding, GuestFeatures, Machine, MachineError, SystemPage,
    SystemPages,
};
use ampoule_memory::AddressSpace;
use std::time::Duration;

/// `/dev/kvm`, or what the environment variable `AMPOULE_KVM_DEVICE` says.
#[derive(Debug)]
pub struct Kvm;

impl Backend for Kvm {
    fn name(&self) -> &'static str {
        "kvm"
    }

    fn open(&self) -> Result<(), MachineError> {
        System::get().map(|_| ())
    }

    fn probe(&self) -> Finding {
        let opened = System::open().and_then(|system| match system.create_vm() {
            Ok(_) => Ok(system.features),
            Err(error) => Err(Missing::Device { errno: error.errno() }),
        });
        let (availability, features) = match opened {
            Ok(found) => (Availability::Available, found.named()),
            Err(missing) => (Availability::Unavailable(missing.obstacle()), Vec::new()),
        };
        Finding { device: device_path(), availability, features }
    }

    fn features(&self) -> Result<GuestFeatures, MachineError> {
        System::get().map(System::guest_features)
    }

    fn feature_sources(&self) -> &'static [&'static str] {
        &["kvm", "kvm-native-cpuid"]
    }

    fn thread_change_cost(&self) -> Duration {
        threads::thread_change_cost()
    }

    fn system_pages(&self) -> Vec<SystemPage> {
        ring3::system_pages()
    }

    fn machine(
        &self,
        space: &AddressSpace,
        pages: &SystemPages,
        entry: Entry,
    ) -> Result<Box<dyn Machine>, MachineError> {
        let vm = Box::new(KvmVm::new()?);
        ring3::machine(vm, space, pages, entry, self.thread_change_cost())
    }
}
