//! Memory calls: the guest's own regions, and nothing else.

pub(crate) mod advice;
pub(crate) mod map;
mod place;
mod plan;
mod range;
pub(crate) mod remap;
