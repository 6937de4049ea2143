//! Deadlines: who keeps them, and what is looked at when one has come.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Keeps deadlines: looks at what was entered when its time has come, by [`Watched::check`], once.
pub trait Deadlines: fmt::Debug + Send + Sync {
    /// Enters `watched` for `due`, instead of for `before`, if it was to be looked at then. Callers hold a lock
    /// that [`Watched::check`] takes.
    fn enter(&self, id: u64, before: Option<Instant>, due: Instant, watched: Weak<dyn Watched>);

    /// Takes the entry for `due` back, if it still stands.
    fn remove(&self, id: u64, due: Instant);
}

/// What has deadlines.
pub trait Watched: Send + Sync {
    /// Acts on what is due at `now`, and sets its [`Watch`] anew when `entry` was that one's. Other deadlines
    /// wait for it: it must not block.
    fn check(self: Arc<Self>, now: Instant, entry: Instant);
}

/// The one entry that something watched has with who keeps its deadlines, if it has one. It goes with this.
#[derive(Debug)]
pub struct Watch {
    id: u64,
    due: Option<Instant>,
    deadlines: Arc<dyn Deadlines>,
}

impl Watch {
    /// No entry yet. Cost: a counter.
    #[must_use]
    pub fn new(deadlines: Arc<dyn Deadlines>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), due: None, deadlines }
    }

    /// Has `watched` looked at when `due` has come, or earlier if it was to be anyway: it then looks in vain
    /// once.
    pub fn by(&mut self, due: Instant, watched: impl FnOnce() -> Weak<dyn Watched>) {
        if self.due.is_some_and(|before| before <= due) {
            return;
        }
        let before = self.due.replace(due);
        self.deadlines.enter(self.id, before, due, watched());
    }

    /// Whether `entry` was this one, which is over then.
    #[must_use]
    pub fn take(&mut self, entry: Instant) -> bool {
        self.due.take_if(|due| *due == entry).is_some()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(due) = self.due {
            self.deadlines.remove(self.id, due);
        }
    }
}
