//! What a sandbox is given by whoever hosts it: it knows no thread, no queue and no cache itself.

pub(crate) mod deadlines;

pub use deadlines::{Deadlines, Watch, Watched};

use crate::control::Control;
use crate::empty_vm::{EmptyVm, Shape};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Where a sandbox that starts from a snapshot gets its VM.
pub trait VmSource: fmt::Debug + Send + Sync {
    /// An empty VM of this shape, if one is at hand; otherwise the sandbox makes one.
    fn take(&self, shape: &Shape<'_>) -> Option<EmptyVm>;
}

/// Who else wants the thread that drives a sandbox.
pub trait Contention: fmt::Debug + Send + Sync {
    /// Whether anybody waits for the calling thread. Asked between two runs of a guest: it must not block.
    fn others_wait(&self) -> bool;
}

/// What a sandbox is given when it is made.
#[derive(Debug, Clone)]
pub struct Providers {
    /// Where VMs come from.
    pub vms: Arc<dyn VmSource>,
    /// Who else wants the thread.
    pub contention: Arc<dyn Contention>,
    /// Who keeps the deadlines of its calls and timers.
    pub deadlines: Arc<dyn Deadlines>,
}

impl Providers {
    /// A control for a sandbox to be made.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.deadlines))
    }
}

/// Nothing: every VM is made anew, nobody waits, and no deadline ever comes.
impl Default for Providers {
    fn default() -> Self {
        Self { vms: Arc::new(Nothing), contention: Arc::new(Nothing), deadlines: Arc::new(Nothing) }
    }
}

#[derive(Debug)]
struct Nothing;

impl VmSource for Nothing {
    fn take(&self, _: &Shape<'_>) -> Option<EmptyVm> {
        None
    }
}

impl Contention for Nothing {
    fn others_wait(&self) -> bool {
        false
    }
}

impl Deadlines for Nothing {
    fn enter(&self, _: u64, _: Option<Instant>, _: Instant, _: Weak<dyn Watched>) {}

    fn remove(&self, _: u64, _: Instant) {}
}
