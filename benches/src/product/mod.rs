//! The same operations through the sandbox crate, each in turns with its floor.

pub(crate) mod call;
pub(crate) mod create;
pub(crate) mod restore;
pub(crate) mod snapshot;
pub(crate) mod trace;
