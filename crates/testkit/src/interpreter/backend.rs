//! Back ends for tests.

use super::machine::Interpreter;
use ampoule_abi::layout::{PAGE_SIZE, SYSTEM_BASE};
use ampoule_machine::{
    Availability, Backend, Backends, Entry, FEATURE_WORDS, Finding, GuestFeatures, Machine,
    MachineError, Obstacle, ObstacleKind, SystemPage, SystemPages,
};
use ampoule_memory::{AddressSpace, PinnedRange, Privilege, Protection};
use std::path::PathBuf;
use std::time::Duration;

/// The interpreter, behind one that cannot be used.
pub const INTERPRETER: Backends = Backends::new(&Absent, &[&Interpreting]);

/// Nothing that can be used.
pub const ABSENT: Backends = Backends::new(&Absent, &[]);

/// One page of its own, so that nobody takes a back end for one without.
const PAGE: PinnedRange = PinnedRange {
    start: SYSTEM_BASE,
    end: SYSTEM_BASE + PAGE_SIZE,
    protection: Protection::READ,
    privilege: Privilege::User,
    attached: None,
};

#[derive(Debug)]
struct Interpreting;

impl Backend for Interpreting {
    fn name(&self) -> &'static str {
        "interpreter"
    }

    fn open(&self) -> Result<(), MachineError> {
        Ok(())
    }

    fn probe(&self) -> Finding {
        let availability = Availability::Available;
        Finding { device: PathBuf::new(), availability, features: Vec::new() }
    }

    /// Its instructions need nothing that a 64-bit processor may lack.
    fn features(&self) -> Result<GuestFeatures, MachineError> {
        let words = [0; FEATURE_WORDS.len()];
        Ok(GuestFeatures { backend: self.name(), words, xcr0: 0, components: Vec::new() })
    }

    fn feature_sources(&self) -> &'static [&'static str] {
        &["interpreter"]
    }

    fn thread_change_cost(&self) -> Duration {
        Duration::ZERO
    }

    fn system_pages(&self) -> Vec<SystemPage> {
        vec![SystemPage { range: PAGE, contents: Some(b"interpreter".to_vec()) }]
    }

    fn machine(
        &self,
        _: &AddressSpace,
        pages: &SystemPages,
        entry: Entry,
    ) -> Result<Box<dyn Machine>, MachineError> {
        Ok(Box::new(Interpreter::new(pages, entry)))
    }
}

#[derive(Debug)]
struct Absent;

impl Absent {
    fn obstacle() -> Obstacle {
        Obstacle {
            lacking: "interpreter",
            kind: ObstacleKind::NoDevice,
            finding: "there is none".to_owned(),
            remedy: "write one",
        }
    }
}

impl Backend for Absent {
    fn name(&self) -> &'static str {
        "absent"
    }

    fn open(&self) -> Result<(), MachineError> {
        Err(MachineError::Unavailable { obstacle: Self::obstacle() })
    }

    fn probe(&self) -> Finding {
        let availability = Availability::Unavailable(Self::obstacle());
        Finding { device: PathBuf::new(), availability, features: Vec::new() }
    }

    fn features(&self) -> Result<GuestFeatures, MachineError> {
        Err(MachineError::Unavailable { obstacle: Self::obstacle() })
    }

    fn feature_sources(&self) -> &'static [&'static str] {
        &[]
    }

    /// Nobody waits for it all the same.
    fn thread_change_cost(&self) -> Duration {
        Duration::ZERO
    }

    fn system_pages(&self) -> Vec<SystemPage> {
        Vec::new()
    }

    fn machine(
        &self,
        _: &AddressSpace,
        _: &SystemPages,
        _: Entry,
    ) -> Result<Box<dyn Machine>, MachineError> {
        Err(MachineError::Unavailable { obstacle: Self::obstacle() })
    }
}
