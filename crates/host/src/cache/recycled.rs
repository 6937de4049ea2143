//! Virtual machines without a guest, kept for the next one.
//!
//! Making a VM and freeing it take a millisecond together, and neither depends on the guest: a sandbox
//! that is closed leaves its VM, its emptied memory and its channel behind, and one that starts from a
//! snapshot of the same shape takes them.

use crate::watchdog::Watchdog;
use ampoule_sandbox::providers::{VmSource, Watch, Watched};
use ampoule_sandbox::{EmptyVm, Shape};
use parking_lot::Mutex;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// VMs kept. Each takes two file descriptors and about 300 KiB of the kernel's memory.
const KEPT_MAX: usize = 8;
/// How long one is kept.
const KEPT_FOR: Duration = Duration::from_millis(250);

/// The process's recycled VMs.
pub(crate) struct RecycledVms(Mutex<Kept>);

struct Kept {
    /// With the time at which each goes; the one that was left last is the last one.
    vms: Vec<(Instant, EmptyVm)>,
    /// The watchdog's entry for the oldest one.
    watch: Watch,
}

/// Keeps a VM for another guest. One too many is freed.
///
/// Cost: that of freeing a VM when there are too many.
pub(crate) fn keep(vm: EmptyVm) {
    let until = Instant::now() + KEPT_FOR;
    let oldest = {
        let mut kept = RecycledVms::get().0.lock();
        kept.vms.push((until, vm));
        kept.watch.by(until, || Arc::downgrade(RecycledVms::get()) as _);
        (kept.vms.len() > KEPT_MAX).then(|| kept.vms.remove(0))
    };
    drop(oldest);
}

impl RecycledVms {
    pub(crate) fn get() -> &'static Arc<Self> {
        static VMS: OnceLock<Arc<RecycledVms>> = OnceLock::new();
        VMS.get_or_init(|| {
            let watch = Watch::new(Watchdog::get());
            Arc::new(Self(Mutex::new(Kept { vms: Vec::new(), watch })))
        })
    }
}

impl VmSource for RecycledVms {
    fn take(&self, shape: &Shape<'_>) -> Option<EmptyVm> {
        let vms = &mut self.0.lock().vms;
        let at = vms.iter().rposition(|(_, vm)| vm.fits(shape))?;
        Some(vms.remove(at).1)
    }
}

impl Watched for RecycledVms {
    /// Frees what was kept long enough, one at a time: that takes most of a millisecond, which is how
    /// late a deadline may come by it.
    fn check(self: Arc<Self>, now: Instant, entry: Instant) {
        let expired = {
            let mut kept = self.0.lock();
            let is_due = kept.vms.first().is_some_and(|(until, _)| *until <= now);
            let expired = is_due.then(|| kept.vms.remove(0));
            if kept.watch.take(entry)
                && let Some(&(until, _)) = kept.vms.first()
            {
                kept.watch.by(until, || Arc::downgrade(&self) as _);
            }
            expired
        };
        drop(expired);
    }
}

impl fmt::Debug for RecycledVms {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RecycledVms").finish_non_exhaustive()
    }
}
