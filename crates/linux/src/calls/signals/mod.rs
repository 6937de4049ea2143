//! Calls about signals.

pub(crate) mod actions;
pub(crate) mod send;
pub(crate) mod wait;
