//! Deadlines without a host: whoever is due is looked at a millisecond later at most.

use ampoule_sandbox::providers::{Deadlines, Watched};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

#[derive(Default)]
pub(crate) struct Ticks(Mutex<BTreeMap<(Instant, u64), Weak<dyn Watched>>>);

impl Ticks {
    pub(crate) fn get() -> Arc<Self> {
        static TICKS: OnceLock<Arc<Ticks>> = OnceLock::new();
        let ticks = TICKS.get_or_init(|| {
            let ticks = Arc::new(Self::default());
            let ticking = Arc::clone(&ticks);
            std::thread::spawn(move || ticking.tick());
            ticks
        });
        Arc::clone(ticks)
    }

    fn tick(&self) {
        loop {
            // tidy: sleep: this is the clock
            std::thread::sleep(Duration::from_millis(1));
            let now = Instant::now();
            let due = {
                let mut entries = self.0.lock().unwrap();
                let later = entries.split_off(&(now, u64::MAX));
                std::mem::replace(&mut *entries, later)
            };
            for ((entry, _), watched) in due {
                if let Some(watched) = watched.upgrade() {
                    watched.check(now, entry);
                }
            }
        }
    }
}

impl Deadlines for Ticks {
    fn enter(&self, id: u64, before: Option<Instant>, due: Instant, watched: Weak<dyn Watched>) {
        let mut entries = self.0.lock().unwrap();
        if let Some(before) = before {
            entries.remove(&(before, id));
        }
        entries.insert((due, id), watched);
    }

    fn remove(&self, id: u64, due: Instant) {
        self.0.lock().unwrap().remove(&(due, id));
    }
}

impl fmt::Debug for Ticks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Ticks")
    }
}
