//! One thread that keeps every deadline of the process.

use ampoule_sandbox::providers::{Deadlines, Watched};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

/// The thread's work. The thread is made at the first deadline.
#[derive(Default)]
pub(crate) struct Watchdog {
    entries: Arc<Entries>,
    has_thread: OnceLock<bool>,
}

#[derive(Default)]
struct Entries {
    all: Mutex<BTreeMap<Key, Weak<dyn Watched>>>,
    changed: Condvar,
}

/// When, and whose.
type Key = (Instant, u64);

impl Watchdog {
    /// The process's watchdog.
    pub(crate) fn get() -> Arc<Self> {
        static WATCHDOG: OnceLock<Arc<Watchdog>> = OnceLock::new();
        Arc::clone(WATCHDOG.get_or_init(Arc::default))
    }

    fn start(&self) {
        self.has_thread.get_or_init(|| {
            let entries = Arc::clone(&self.entries);
            std::thread::Builder::new()
                .name("ampoule-watchdog".into())
                .spawn(move || entries.watch())
                .is_ok()
        });
    }
}

impl Deadlines for Watchdog {
    fn enter(&self, id: u64, before: Option<Instant>, due: Instant, watched: Weak<dyn Watched>) {
        self.start();
        let is_earliest = {
            let mut all = self.entries.all.lock();
            if let Some(before) = before {
                all.remove(&(before, id));
            }
            all.insert((due, id), watched);
            all.first_key_value().is_some_and(|(first, _)| *first == (due, id))
        };
        if is_earliest {
            self.entries.changed.notify_one();
        }
    }

    fn remove(&self, id: u64, due: Instant) {
        self.entries.all.lock().remove(&(due, id));
    }
}

impl Entries {
    /// The life of the thread.
    fn watch(&self) {
        let mut all = self.all.lock();
        loop {
            let now = Instant::now();
            match all.first_key_value().map(|((due, _), _)| *due) {
                None => self.changed.wait(&mut all),
                Some(due) if due > now => {
                    self.changed.wait_until(&mut all, due);
                }
                Some(due) => {
                    let first = all.pop_first();
                    // Not under the lock: the check takes locks that callers of `Watch::by` hold.
                    drop(all);
                    if let Some(watched) = first.and_then(|(_, watched)| watched.upgrade()) {
                        watched.check(now, due);
                    }
                    all = self.all.lock();
                }
            }
        }
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watchdog").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Watchdog;
    use ampoule_sandbox::providers::{Watch, Watched};
    use parking_lot::Mutex;
    use std::sync::mpsc::{Sender, channel};
    use std::sync::{Arc, Weak};
    use std::time::{Duration, Instant};

    const LONG: Duration = Duration::from_secs(3600);

    /// Something that says which of its deadlines came, and asks for another one each time.
    struct Followed {
        watch: Mutex<Watch>,
        came: Mutex<Sender<Instant>>,
        again: Duration,
    }

    impl Watched for Followed {
        fn check(self: Arc<Self>, now: Instant, entry: Instant) {
            assert!(entry <= now);
            let mut watch = self.watch.lock();
            if watch.take(entry) {
                watch.by(entry + self.again, || Arc::downgrade(&self) as Weak<dyn Watched>);
            }
            let _ = self.came.lock().send(entry);
        }
    }

    fn entries(watchdog: &Watchdog) -> usize {
        watchdog.entries.all.lock().len()
    }

    #[test]
    fn deadlines_come_one_after_the_other_and_each_once() {
        let watchdog = Arc::new(Watchdog::default());
        let (came, told) = channel();
        let watch = Mutex::new(Watch::new(Arc::clone(&watchdog) as _));
        let again = Duration::from_nanos(1);
        let followed = Arc::new(Followed { watch, came: Mutex::new(came), again });
        let first = Instant::now();
        followed.watch.lock().by(first, || Arc::downgrade(&followed) as Weak<dyn Watched>);
        for round in 0..1000 {
            assert_eq!(told.recv().unwrap(), first + again * round);
            assert!(entries(&watchdog) <= 1);
        }
    }

    #[test]
    fn an_entry_goes_with_its_watch() {
        let watchdog = Arc::new(Watchdog::default());
        let (came, told) = channel();
        let watch = Mutex::new(Watch::new(Arc::clone(&watchdog) as _));
        let followed = Arc::new(Followed { watch, came: Mutex::new(came), again: LONG });
        let now = Instant::now();
        for hours in (1..100).rev() {
            let weak = || Arc::downgrade(&followed) as Weak<dyn Watched>;
            followed.watch.lock().by(now + LONG * hours, weak);
        }
        assert_eq!(entries(&watchdog), 1);
        drop(followed);
        assert_eq!(entries(&watchdog), 0);
        assert!(told.recv().is_err());
    }
}
