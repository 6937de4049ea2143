//! One thread that keeps every deadline of the process.

use parking_lot::{Condvar, Mutex};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{OnceLock, Weak};
use std::time::Instant;

/// What the watchdog looks after.
pub(crate) trait Watched: Send + Sync {
    /// Acts on what is due at `now` and returns when to look again. `entry` is the time that was given
    /// to [`watch`]. It runs on the watchdog's thread, which others wait for: it must not block.
    fn check(&self, now: Instant, entry: Instant) -> Option<Instant>;
}

struct Watchdog {
    entries: Mutex<BinaryHeap<Reverse<Entry>>>,
    changed: Condvar,
}

struct Entry {
    due: Instant,
    watched: Weak<dyn Watched>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

/// Looks after `watched` at `due`, unless it is gone by then.
pub(crate) fn watch(due: Instant, watched: Weak<dyn Watched>) {
    let watchdog = get();
    let earliest = {
        let mut entries = watchdog.entries.lock();
        let earliest = entries.peek().is_none_or(|Reverse(first)| due < first.due);
        entries.push(Reverse(Entry { due, watched }));
        earliest
    };
    if earliest {
        watchdog.changed.notify_one();
    }
}

fn get() -> &'static Watchdog {
    static WATCHDOG: OnceLock<Watchdog> = OnceLock::new();
    static THREAD: OnceLock<bool> = OnceLock::new();
    let watchdog = WATCHDOG.get_or_init(|| Watchdog {
        entries: Mutex::new(BinaryHeap::new()),
        changed: Condvar::new(),
    });
    THREAD.get_or_init(|| {
        std::thread::Builder::new()
            .name("ampoule-watchdog".into())
            .spawn(move || watchdog.run())
            .is_ok()
    });
    watchdog
}

impl Watchdog {
    fn run(&self) {
        let mut entries = self.entries.lock();
        loop {
            let now = Instant::now();
            match entries.peek().map(|Reverse(first)| first.due) {
                None => self.changed.wait(&mut entries),
                Some(due) if due > now => {
                    self.changed.wait_until(&mut entries, due);
                }
                Some(_) => {
                    let due = entries.pop().map(|Reverse(entry)| entry);
                    // Not under the lock: the check takes locks that callers of `watch` hold.
                    drop(entries);
                    let again = due.and_then(|entry| {
                        let next = entry.watched.upgrade()?.check(now, entry.due)?;
                        Some(Entry { due: next, watched: entry.watched })
                    });
                    entries = self.entries.lock();
                    entries.extend(again.map(Reverse));
                }
            }
        }
    }
}
