//! What can be wrong with a snapshot in a store, and the public form of it.

use crate::error::{CreateError, Failure};
use ampoule_machine::MachineError;
use ampoule_store::StoreError;
use serde_json::json;

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
    #[error("{}", failure.message)]
    Host {
        /// Its public form.
        failure: Failure,
    },
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

impl SnapshotStoreError {
    /// A hypervisor that did not answer.
    pub(super) fn host(error: MachineError) -> Self {
        Self::Host { failure: CreateError::from(error).failure() }
    }

    /// The public error for this one.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let message = self.to_string();
        match self {
            Self::Store(error) => of_store(error, message),
            Self::Incompatible { reason, needed } => {
                Failure::new("ERR_AMPOULE_INCOMPATIBLE_SNAPSHOT", message)
                    .with(json!({ "reason": reason.word(), "needed": needed }))
            }
            Self::Host { failure } => failure.clone(),
        }
    }
}

fn of_store(error: &StoreError, message: String) -> Failure {
    match error {
        StoreError::NotFound { path, tag } => {
            Failure::new("ERR_AMPOULE_SNAPSHOT_NOT_FOUND", message)
                .with(json!({ "path": path, "tag": tag }))
        }
        StoreError::Corrupt { file, what } => Failure::new("ERR_AMPOULE_CORRUPT_SNAPSHOT", message)
            .with(json!({ "file": file, "what": what })),
        StoreError::Invalid { option, .. } => {
            Failure::new("ERR_AMPOULE_INVALID_ARGUMENT", message).with(json!({ "option": option }))
        }
        StoreError::Io { operation, file, source } => Failure::new("ERR_AMPOULE_STORE", message)
            .with(json!({
                "operation": operation, "file": file, "errno": source.raw_os_error(),
            })),
        StoreError::Stopped => Failure::new("ERR_AMPOULE_ABORTED", message),
    }
}
