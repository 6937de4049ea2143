//! A back end whose guests are scripts.

use ampoule_hypervisor::backends::fake::FakeVm;
use ampoule_hypervisor::ring3;
use ampoule_machine::{
    Availability, Backend, Entry, Finding, GuestFeatures, Machine, MachineError, SystemPage,
    SystemPages,
};
use ampoule_memory::AddressSpace;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// Makes one machine, of this VM.
pub(super) struct Scripted(pub(super) Mutex<Option<FakeVm>>);

impl std::fmt::Debug for Scripted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Scripted")
    }
}

impl Backend for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn open(&self) -> Result<(), MachineError> {
        Ok(())
    }

    fn probe(&self) -> Finding {
        let availability = Availability::Available;
        Finding { device: PathBuf::new(), availability, features: Vec::new() }
    }

    fn features(&self) -> Result<GuestFeatures, MachineError> {
        unimplemented!("nothing is saved here")
    }

    fn feature_sources(&self) -> &'static [&'static str] {
        &[]
    }

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
        let vm = self.0.lock().unwrap().take().ok_or_else(|| MachineError::Refused {
            by: "the script",
            operation: "make a second machine",
            source: std::io::ErrorKind::AlreadyExists.into(),
        })?;
        ring3::machine(Box::new(vm), space, pages, entry, Duration::ZERO)
    }
}
