//! What a sandbox is given by whoever hosts it: it knows no thread, no queue and no cache itself.

use crate::empty_vm::{EmptyVm, Shape};
use std::fmt;
use std::sync::Arc;

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
}

/// Nothing: every VM is made anew, and nobody waits.
impl Default for Providers {
    fn default() -> Self {
        Self { vms: Arc::new(Nothing), contention: Arc::new(Nothing) }
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
