//! Making a running virtual CPU return.

use std::sync::Arc;

/// Makes a virtual CPU's current or next run return [`crate::Exit::Kicked`].
///
/// A kick is never lost: one that arrives while the CPU is not running ends the next run at once.
/// Kicking never blocks and costs one system call at most.
#[derive(Clone)]
pub struct Kicker(Arc<dyn Kick>);

/// A back end's way to kick.
pub(crate) trait Kick: Send + Sync {
    fn kick(&self);
}

impl Kicker {
    pub(crate) fn new(kick: Arc<dyn Kick>) -> Self {
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
