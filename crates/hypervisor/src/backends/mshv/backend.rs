//! The Microsoft Hypervisor at the seam.

use super::system::{System, device_path};
use super::vm::MshvVm;
use crate::ring3;
use ampoule_machine::{
    Availability, Backend, Entry, Finding, GuestFeatures, Machine, MachineError, SystemPage,
    SystemPages,
};
use ampoule_memory::AddressSpace;
use std::time::Duration;

/// `/dev/mshv`.
#[derive(Debug)]
pub struct Mshv;

impl Backend for Mshv {
    fn name(&self) -> &'static str {
        "mshv"
    }

    fn open(&self) -> Result<(), MachineError> {
        System::get().map(|_| ())
    }

    fn probe(&self) -> Finding {
        let (availability, features) = match System::open() {
            Ok(system) => (Availability::Available, system.features.named()),
            Err(missing) => (Availability::Unavailable(missing.obstacle()), Vec::new()),
        };
        Finding { device: device_path().to_owned(), availability, features }
    }

    fn features(&self) -> Result<GuestFeatures, MachineError> {
        System::get().map(|system| system.guest_features.clone())
    }

    fn feature_sources(&self) -> &'static [&'static str] {
        &["mshv"]
    }

    /// The hypervisor's driver knows no thread of a virtual processor.
    fn thread_change_cost(&self) -> Duration {
        Duration::ZERO
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
        let vm = Box::new(MshvVm::new()?);
        ring3::machine(vm, space, pages, entry, self.thread_change_cost())
    }
}
