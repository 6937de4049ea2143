//! One thread that keeps every deadline of the process.

use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

/// What the watchdog looks after.
pub trait Watched: Send + Sync {
    /// Acts on what is due at `now`, and sets its [`Watch`] anew when `entry` was that one's. It runs on the
    /// watchdog's thread, which others wait for: it must not block.
    fn check(self: Arc<Self>, now: Instant, entry: Instant);
}

/// The one entry that something watched has with the watchdog, if it has one. It goes with this.
#[derive(Debug)]
pub struct Watch {
    id: u64,
    due: Option<Instant>,
}

/// When, and whose.
type Key = (Instant, u64);

struct Watchdog {
    entries: Mutex<BTreeMap<Key, Weak<dyn Watched>>>,
    changed: Condvar,
}

impl Default for Watch {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), due: None }
    }
}

impl Watch {
    /// Has the watchdog look at `due`, or earlier if it was to do so anyway: it then looks in vain once.
    pub fn by(&mut self, due: Instant, watched: impl FnOnce() -> Weak<dyn Watched>) {
        if self.due.is_some_and(|before| before <= due) {
            return;
        }
        let watchdog = Watchdog::get();
        let is_earliest = {
            let mut entries = watchdog.entries.lock();
            if let Some(before) = self.due.replace(due) {
                entries.remove(&(before, self.id));
            }
            entries.insert((due, self.id), watched());
            entries.first_key_value().is_some_and(|(first, _)| *first == (due, self.id))
        };
        if is_earliest {
            watchdog.changed.notify_one();
        }
    }

    /// Whether `entry` was this one, which is over then.
    #[must_use]
    pub fn take(&mut self, entry: Instant) -> bool {
        self.due.take_if(|due| *due == entry).is_some()
    }

    #[cfg(test)]
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(due) = self.due {
            Watchdog::get().entries.lock().remove(&(due, self.id));
        }
    }
}

impl Watchdog {
    fn get() -> &'static Self {
        static WATCHDOG: OnceLock<Watchdog> = OnceLock::new();
        static THREAD: OnceLock<bool> = OnceLock::new();
        let watchdog = WATCHDOG
            .get_or_init(|| Self { entries: Mutex::new(BTreeMap::new()), changed: Condvar::new() });
        THREAD.get_or_init(|| {
            std::thread::Builder::new()
                .name("ampoule-watchdog".into())
                .spawn(move || watchdog.run())
                .is_ok()
        });
        watchdog
    }

    fn run(&self) {
        let mut entries = self.entries.lock();
        loop {
            let now = Instant::now();
            match entries.first_key_value().map(|((due, _), _)| *due) {
                None => self.changed.wait(&mut entries),
                Some(due) if due > now => {
                    self.changed.wait_until(&mut entries, due);
                }
                Some(due) => {
                    let first = entries.pop_first();
                    // Not under the lock: the check takes locks that callers of `Watch::by` hold.
                    drop(entries);
                    if let Some(watched) = first.and_then(|(_, watched)| watched.upgrade()) {
                        watched.check(now, due);
                    }
                    entries = self.entries.lock();
                }
            }
        }
    }
}

/// How many entries a [`Watch`] has, also one that is gone.
#[cfg(test)]
pub(crate) fn entries_of(watch: u64) -> usize {
    let entries = Watchdog::get().entries.lock();
    entries.keys().filter(|(_, id)| *id == watch).count()
}
