//! What can be wrong with a store.

use std::io;

/// A store could not be read, or not be changed.
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
    /// A tag, or something else from the caller, that cannot be saved.
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
}

fn not_found(path: &str, tag: Option<&str>) -> String {
    match tag {
        Some(tag) => format!("there is no snapshot `{tag}` in {path}"),
        None => format!("there is no store of snapshots at {path}"),
    }
}

impl StoreError {
    /// That `file` is damaged, and `what` is wrong with it.
    pub fn corrupt(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Corrupt { file: file.into(), what: what.into() }
    }

    /// For `map_err`: the host refused `operation` on `file`.
    pub fn io<E: Into<io::Error>>(operation: &'static str, file: &str) -> impl Fn(E) -> Self {
        move |source| Self::Io { operation, file: file.to_owned(), source: source.into() }
    }
}
