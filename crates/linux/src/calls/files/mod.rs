//! Calls about descriptors and paths.
//!
//! A *descriptor* is the guest's number; it refers to an open file *description* (offset and flags),
//! which duplicated descriptors share, as in Linux. A description refers to an object: standard
//! streams, nodes of the read-only file system, devices and pipes of this crate.

pub(crate) mod change;
pub(crate) mod descriptor;
pub(crate) mod directory;
pub(crate) mod locks;
pub(crate) mod open;
pub(crate) mod pipe;
pub(crate) mod place;
pub(crate) mod poll;
pub(crate) mod status;
pub(crate) mod transfer;
