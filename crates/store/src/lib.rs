//! Snapshots on disk as an OCI image layout directory: what is in it, and what of that can be believed.
//!
//! ```text
//! oci-layout           the layout's version
//! index.json           tag -> digest of a manifest; the only file that ever changes
//! blobs/sha256/<hex>   manifests, configurations, layers; never changed
//! .lock, .saving       locks
//! ```
//!
//! - [`Directory`] opens what is there, with every check; [`Writer`] adds a snapshot, [`prune()`] takes away
//!   what nothing names.
//! - [`Manifest`] and [`Descriptor`] are of the documents that the OCI specifications define.
//!
//! What a configuration and layers hold is the caller's. Knows no sandbox.
//!
//! **Invariant:** a blob is complete and on disk before the index names it, and the index is replaced by
//! renaming, so that a crash at any point leaves the old index or the new one.
//! **Invariant:** whatever a file holds, reading ends in what its digest says or in a [`StoreError`]. What is
//! *not* guarded against is somebody who changes files while they are mapped: a store is to be writable by
//! those alone who may replace the guest as well.
#![forbid(unsafe_code)]

mod blob;
mod digest;
mod directory;
mod error;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod layout;
mod lock;
mod prune;
mod temporary;
#[cfg(test)]
mod tests;
mod writer;

pub use blob::{Blob, CHUNK};
pub use digest::{Digest, Hasher, hex, unhex};
pub use directory::{BLOBS, Directory};
pub use error::StoreError;
pub use layout::{CONFIG_TYPE, Descriptor, Manifest, check_tag};
pub use prune::{Pruned, prune};
pub use temporary::Temporary;
pub use writer::{Committed, Writer};
