//! What is wrong with a description.

/// A state that no personality can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the personality's {what} cannot be so")]
pub struct StateError {
    /// What is wrong.
    pub what: &'static str,
}

pub(crate) fn ensure(holds: bool, what: &'static str) -> Result<(), StateError> {
    if holds { Ok(()) } else { Err(StateError { what }) }
}
