//! What makes machines.

use crate::availability::Availability;
use crate::error::MachineError;
use crate::features::GuestFeatures;
use crate::machine::Machine;
use crate::system_pages::{SystemPage, SystemPages};
use ampoule_memory::{AddressSpace, MapError, SealedSpace};
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

/// A way to run ring-3 programs on this machine.
///
/// One value a process: it is opened once and asked by every sandbox that uses it.
pub trait Backend: Debug + Send + Sync {
    /// Its name. No two back ends have the same.
    fn name(&self) -> &'static str;

    /// Makes sure that it can be used. A failure is not remembered: the next call tries again, so that
    /// permissions can be mended without a restart.
    ///
    /// Cost: nothing once it succeeded, before that up to some milliseconds.
    ///
    /// # Errors
    /// [`MachineError::Unavailable`] with the remedy.
    fn open(&self) -> Result<(), MachineError>;

    /// Tries it, and says what was found. Changes nothing.
    ///
    /// Cost: a few milliseconds at most.
    fn probe(&self) -> Finding;

    /// What of the processor its guests can see.
    ///
    /// # Errors
    /// As [`Self::open`].
    fn features(&self) -> Result<GuestFeatures, MachineError>;

    /// Values that [`GuestFeatures::backend`] can have.
    fn feature_sources(&self) -> &'static [&'static str];

    /// How long the first run of a machine on another thread than the last one's takes beyond the run itself.
    fn thread_change_cost(&self) -> Duration;

    /// The pages that it needs in an address space, in order of addresses; always the same ones.
    ///
    /// Cost: makes their contents.
    fn system_pages(&self) -> Vec<SystemPage>;

    /// Maps and fills [`Self::system_pages`].
    ///
    /// # Errors
    /// As [`SystemPages::install`].
    fn install_pages(&self, space: &mut AddressSpace) -> Result<SystemPages, MapError> {
        SystemPages::install(self.name(), &self.system_pages(), space)
    }

    /// Finds [`Self::system_pages`] in a space that was not made here: see [`SystemPages::find`].
    fn find_pages(&self, space: &SealedSpace) -> Option<SystemPages> {
        SystemPages::find(self.name(), &self.system_pages(), space)
    }

    /// Makes a machine whose first run begins at `entry` in `space`, which holds `pages` and all memory that
    /// it will ever be given.
    ///
    /// Cost: for a virtual machine about a millisecond under nested KVM, a tenth of that on bare metal.
    ///
    /// # Errors
    /// As [`Self::open`], and [`MachineError::Refused`], usually because of a limit of the host.
    fn machine(
        &self,
        space: &AddressSpace,
        pages: &SystemPages,
        entry: Entry,
    ) -> Result<Box<dyn Machine>, MachineError>;
}

/// Where a program begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Address of its first instruction.
    pub instruction: u64,
    /// Its stack pointer.
    pub stack: u64,
}

/// What [`Backend::probe`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The device or facility that was tried.
    pub device: PathBuf,
    /// Whether it can be used.
    pub availability: Availability,
    /// Features of the processor that guests get, by name; empty where it cannot be used.
    pub features: Vec<(&'static str, bool)>,
}
