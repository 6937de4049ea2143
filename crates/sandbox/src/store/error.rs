//! What can be wrong with a snapshot in a store.

use ampoule_machine::MachineError;
use ampoule_store::StoreError;

/// A snapshot could not be saved, loaded or looked at.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotStoreError {
    /// The store is missing, damaged or out of reach, or what was to be saved does not fit into it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The snapshot is sound but cannot run here.
    #[error("the snapshot cannot run here: it needs {needed}")]
    Incompatible {
        /// What does not fit.
        reason: Incompatibility,
        /// What it needs, in words.
        needed: String,
    },
    /// The hypervisor is missing or refused to tell what guests see.
    #[error(transparent)]
    Hypervisor(#[from] MachineError),
}

/// Why a sound snapshot cannot run on this machine or with this release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incompatibility {
    /// Another version of the store's own format.
    Format,
    /// Another version of the guest ABI.
    Abi,
    /// Another release's ring-0 pages.
    SystemPages,
    /// Another kind of processor.
    Architecture,
    /// Features of the processor that this one does not have.
    CpuFeatures,
}

impl Incompatibility {
    /// The reason as one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Abi => "abi",
            Self::SystemPages => "system-pages",
            Self::Architecture => "architecture",
            Self::CpuFeatures => "cpu-features",
        }
    }
}
