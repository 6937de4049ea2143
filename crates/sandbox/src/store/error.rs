//! What can be wrong with a store, and the public form of it.

use crate::error::Failure;
use serde_json::json;
use std::io;

/// A snapshot could not be saved, loaded or looked at.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store, or no snapshot of that tag in it.
    #[error("{}", not_found(path, tag.as_deref()))]
    NotFound {
        /// The store.
        path: String,
        /// The tag, if one was asked for.
        tag: Option<String>,
    },
    /// A file is malformed, truncated, too large, missing, not what its digest says, or no file.
    #[error("the snapshot is damaged: {file}: {what}")]
    Corrupt {
        /// Path of the file in the store.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// The snapshot is sound but cannot run here.
    #[error("the snapshot cannot run here: it needs {needed}")]
    Incompatible {
        /// What does not fit.
        reason: Incompatibility,
        /// What it needs, in words.
        needed: String,
    },
    /// A tag or metadata that cannot be saved.
    #[error("{option} {problem}")]
    Invalid {
        /// Name of the option.
        option: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// The host's file system refused.
    #[error("the host could not {operation} {file}: {source}")]
    Io {
        /// What was to be done, for example "write".
        operation: &'static str,
        /// Path of the file in the store, or of the store.
        file: String,
        /// What the host said.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("the operation was stopped")]
    Stopped,
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

fn not_found(path: &str, tag: Option<&str>) -> String {
    match tag {
        Some(tag) => format!("there is no snapshot `{tag}` in {path}"),
        None => format!("there is no store of snapshots at {path}"),
    }
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

impl StoreError {
    pub(super) fn corrupt(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Corrupt { file: file.into(), what: what.into() }
    }

    /// For `map_err`: the host refused `operation` on `file`.
    pub(super) fn io<E: Into<io::Error>>(
        operation: &'static str,
        file: &str,
    ) -> impl Fn(E) -> Self {
        move |source| Self::Io { operation, file: file.to_owned(), source: source.into() }
    }

    /// The public error for this one.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let message = self.to_string();
        match self {
            Self::NotFound { path, tag } => Failure::new("ERR_AMPOULE_SNAPSHOT_NOT_FOUND", message)
                .with(json!({ "path": path, "tag": tag })),
            Self::Corrupt { file, what } => Failure::new("ERR_AMPOULE_CORRUPT_SNAPSHOT", message)
                .with(json!({ "file": file, "what": what })),
            Self::Incompatible { reason, needed } => {
                Failure::new("ERR_AMPOULE_INCOMPATIBLE_SNAPSHOT", message)
                    .with(json!({ "reason": reason.word(), "needed": needed }))
            }
            Self::Invalid { option, .. } => Failure::new("ERR_AMPOULE_INVALID_ARGUMENT", message)
                .with(json!({ "option": option })),
            Self::Io { operation, file, source } => Failure::new("ERR_AMPOULE_STORE", message)
                .with(json!({
                    "operation": operation, "file": file, "errno": source.raw_os_error(),
                })),
            Self::Stopped => Failure::new("ERR_AMPOULE_ABORTED", message),
            Self::Host { failure } => failure.clone(),
        }
    }
}
