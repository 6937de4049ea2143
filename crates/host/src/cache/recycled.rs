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
pub(crate) struct RecycledVms(Mutex<Shelf>);

struct Shelf {
    vms: Kept<EmptyVm>,
    /// The watchdog's entry for the oldest one.
    watch: Watch,
}

/// What is kept for a while, bounded in number. Reads no clock.
struct Kept<T> {
    /// With the time at which each goes; the one that was left last is the last one.
    all: Vec<(Instant, T)>,
}

/// Keeps a VM for another guest. One too many is freed.
///
/// Cost: that of freeing a VM when there are too many.
pub(crate) fn keep(vm: EmptyVm) {
    let oldest = {
        let mut kept = RecycledVms::get().0.lock();
        let oldest = kept.vms.push(vm, Instant::now());
        kept.look_in_time(RecycledVms::get());
        oldest
    };
    // Freed without the lock.
    drop(oldest);
}

impl<T> Kept<T> {
    const fn new() -> Self {
        Self { all: Vec::new() }
    }

    /// Keeps one more from `now` on, and gives the oldest one if that is one too many.
    fn push(&mut self, one: T, now: Instant) -> Option<T> {
        self.all.push((now + KEPT_FOR, one));
        (self.all.len() > KEPT_MAX).then(|| self.all.remove(0).1)
    }

    /// Takes the one that was left last of those that fit.
    fn take(&mut self, fits: impl Fn(&T) -> bool) -> Option<T> {
        let at = self.all.iter().rposition(|(_, one)| fits(one))?;
        Some(self.all.remove(at).1)
    }

    /// Takes the oldest one if it was kept long enough.
    fn expire(&mut self, now: Instant) -> Option<T> {
        let is_due = self.due().is_some_and(|due| due <= now);
        is_due.then(|| self.all.remove(0).1)
    }

    /// When the oldest one was kept long enough.
    fn due(&self) -> Option<Instant> {
        self.all.first().map(|&(until, _)| until)
    }
}

impl Shelf {
    /// Has the watchdog look when the oldest one was kept long enough.
    fn look_in_time(&mut self, vms: &Arc<RecycledVms>) {
        if let Some(due) = self.vms.due() {
            self.watch.by(due, || Arc::downgrade(vms) as _);
        }
    }
}

impl RecycledVms {
    pub(crate) fn get() -> &'static Arc<Self> {
        static VMS: OnceLock<Arc<RecycledVms>> = OnceLock::new();
        VMS.get_or_init(|| {
            let watch = Watch::new(Watchdog::get());
            Arc::new(Self(Mutex::new(Shelf { vms: Kept::new(), watch })))
        })
    }
}

impl VmSource for RecycledVms {
    fn take(&self, shape: &Shape<'_>) -> Option<EmptyVm> {
        self.0.lock().vms.take(|vm| vm.fits(shape))
    }
}

impl Watched for RecycledVms {
    /// Frees what was kept long enough, one at a time: that takes most of a millisecond, which is how
    /// late a deadline may come by it.
    fn check(self: Arc<Self>, now: Instant, entry: Instant) {
        let expired = {
            let mut kept = self.0.lock();
            let expired = kept.vms.expire(now);
            if kept.watch.take(entry) {
                kept.look_in_time(&self);
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

#[cfg(test)]
mod tests {
    use super::{KEPT_FOR, KEPT_MAX, Kept};
    use std::time::{Duration, Instant};

    #[test]
    fn the_one_that_was_left_last_is_taken_first_of_those_that_fit() {
        let (mut kept, now) = (Kept::new(), Instant::now());
        for one in ["a1", "b1", "a2"] {
            assert_eq!(kept.push(one, now), None);
        }
        assert_eq!(kept.take(|one| one.starts_with('a')), Some("a2"));
        assert_eq!(kept.take(|one| one.starts_with('a')), Some("a1"));
        assert_eq!(kept.take(|one| one.starts_with('a')), None);
        assert_eq!(kept.take(|_| true), Some("b1"));
    }

    #[test]
    fn one_too_many_is_the_oldest() {
        let (mut kept, now) = (Kept::new(), Instant::now());
        for one in 0..KEPT_MAX {
            assert_eq!(kept.push(one, now), None);
        }
        assert_eq!(kept.push(KEPT_MAX, now), Some(0));
        assert_eq!(kept.push(KEPT_MAX + 1, now), Some(1));
        assert_eq!(kept.all.len(), KEPT_MAX);
    }

    #[test]
    fn each_goes_when_it_was_kept_long_enough_one_at_a_time() {
        let (mut kept, now) = (Kept::new(), Instant::now());
        assert_eq!((kept.due(), kept.expire(now)), (None, None));
        let later = now + Duration::from_millis(1);
        kept.push('a', now);
        kept.push('b', now);
        kept.push('c', later);
        assert_eq!(kept.due(), Some(now + KEPT_FOR));
        let just_before = now + KEPT_FOR.saturating_sub(Duration::from_nanos(1));
        assert_eq!(kept.expire(just_before), None);
        assert_eq!(kept.expire(now + KEPT_FOR), Some('a'));
        assert_eq!(kept.expire(now + KEPT_FOR), Some('b'));
        assert_eq!(kept.expire(now + KEPT_FOR), None);
        assert_eq!(kept.due(), Some(later + KEPT_FOR));
    }
}
