//! Snapshots on disk: an OCI image layout directory.
//!
//! ```text
//! oci-layout           the layout's version
//! index.json           tag -> digest of a manifest; the only file that ever changes
//! blobs/sha256/<hex>   manifests, configurations, memory, executables, files; never changed
//! .lock, .saving       locks
//! ```
//!
//! - `layout`: the JSON documents that the OCI specifications define; `config`: ours.
//! - `pages`: which pages of memory a snapshot needs beyond those of its base.
//! - `directory`: opening what is there, with every check; `write`: making blobs; `lock`: who may.
//! - `save`, `load`, `inspect` (also verifying and pruning): what callers ask for.
//!
//! **Invariant:** a blob is complete and on disk before the index names it, and the index is replaced by
//! renaming, so that a crash at any point leaves the old index or the new one.
//! **Invariant:** whatever a file holds, loading ends in a snapshot that was checked or in a
//! [`StoreError`]. What is *not* guarded against is somebody who changes files while they are mapped:
//! a store is to be writable by those alone who may replace the guest as well.

mod config;
mod digest;
mod directory;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod inspect;
mod layout;
mod load;
mod lock;
mod pages;
mod save;
mod write;

pub use error::{Incompatibility, StoreError};
pub use inspect::{Finding, Pruned, inspect, prune, verify};
pub use load::{LoadOptions, Loaded, load};
pub use save::{SaveOptions, Saved, save};
