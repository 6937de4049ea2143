//! What each error of a store of snapshots is in public.

use super::Failure;
use super::code::Code;
use super::operation::of_hypervisor;
use crate::store::error::SnapshotStoreError;
use ampoule_store::StoreError;
use serde_json::json;

impl SnapshotStoreError {
    /// The public error for this one.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Self::Store(error) => of_store(error),
            Self::Incompatible { reason, needed } => {
                Failure::new(Code::IncompatibleSnapshot, self.to_string())
                    .with(json!({ "reason": reason.word(), "needed": needed }))
            }
            Self::Hypervisor(error) => of_hypervisor(error),
        }
    }
}

fn of_store(error: &StoreError) -> Failure {
    let message = error.to_string();
    match error {
        StoreError::NotFound { path, tag } => {
            Failure::new(Code::SnapshotNotFound, message).with(json!({ "path": path, "tag": tag }))
        }
        StoreError::Corrupt { file, what } => {
            Failure::new(Code::CorruptSnapshot, message).with(json!({ "file": file, "what": what }))
        }
        StoreError::Invalid { option, .. } => {
            Failure::new(Code::InvalidArgument, message).detail("option", *option)
        }
        StoreError::Io { operation, file, source } => {
            Failure::new(Code::Store, message).with(json!({
                "operation": operation, "file": file, "errno": source.raw_os_error(),
            }))
        }
        StoreError::Stopped => Failure::new(Code::Aborted, message),
    }
}
