//! Making a running guest return.

use std::sync::Arc;

/// Makes a machine's current or next run return [`crate::Trap::Kicked`].
///
/// A kick is never lost: one that arrives while the machine is not running ends the next run at once.
/// Kicking never blocks and costs one system call at most.
#[derive(Clone)]
pub struct Kicker(Arc<dyn Kick>);

/// A back end's way to kick.
pub trait Kick: Send + Sync {
    /// As [`Kicker::kick`].
    fn kick(&self);
}

impl Kicker {
    /// A handle for anybody who is to kick so.
    #[must_use]
    pub fn new(kick: Arc<dyn Kick>) -> Self {
        Self(kick)
    }

    /// Ends the current run, or else the next one.
    pub fn kick(&self) {
        self.0.kick();
    }
}

impl std::fmt::Debug for Kicker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Kicker")
    }
}
