//! Snapshots in a store.
//!
//! - `parts`: what a snapshot is made of there, each `layer` a blob; `config`: everything but bytes of
//!   memory and of files, `processor` among it.
//! - `pages`: which pages of memory a snapshot needs beyond those of its base.
//! - `save`, `load`, `inspect` (also verifying and pruning): what callers ask for.
//!
//! The directory itself, its index and its blobs are [`ampoule_store`]'s.
//!
//! **Invariant:** whatever a file holds, loading ends in a snapshot that was checked or in a
//! [`SnapshotStoreError`].

mod config;
pub(crate) mod error;
#[doc(hidden)]
pub mod fuzzing;
mod inspect;
mod layer;
mod load;
mod pages;
mod parts;
mod processor;
mod save;

pub use ampoule_store::{Pruned, StoreError};
pub use error::{Incompatibility, SnapshotStoreError};
pub use inspect::{Finding, inspect, prune, verify};
pub use load::{LoadOptions, Loaded, load};
pub use save::{SaveOptions, Saved, save};
