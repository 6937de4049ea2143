//! What this crate gives to the sandboxes that it hosts.

use crate::cache::recycled::RecycledVms;
use crate::executor::Executor;
use crate::watchdog::Watchdog;
use ampoule_sandbox::Providers;
use ampoule_sandbox::providers::Contention;
use std::sync::{Arc, OnceLock};

/// What the sandboxes of this process are given: VMs that others left, a thread that others
/// may wait for, and the watchdog.
///
/// Cost: once an allocation, then a counter.
#[must_use]
pub fn providers() -> Arc<Providers> {
    static PROVIDERS: OnceLock<Arc<Providers>> = OnceLock::new();
    let make = || {
        let vms = Arc::clone(RecycledVms::get());
        Arc::new(Providers { vms, contention: Arc::new(Runners), deadlines: Watchdog::get() })
    };
    Arc::clone(PROVIDERS.get_or_init(make))
}

/// The runners of the executor.
#[derive(Debug)]
struct Runners;

impl Contention for Runners {
    fn others_wait(&self) -> bool {
        Executor::is_contended()
    }
}
