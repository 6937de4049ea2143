//! What is kept between two sandboxes, bounded.

pub(crate) mod initialised;
pub(crate) mod recycled;
