//! The sandboxes and snapshots of this process by number, for callers to whom a number is all they can hold.
//!
//! Each sandbox has one owner, a thread that looks it up without a lock ([`Owner`]). Stopping one works from
//! every thread ([`control`]). Numbers are never used twice.

mod snapshots;

pub use snapshots::{snapshot, with_snapshot};

use crate::driver::Driver;
use ampoule_sandbox::{Control, Snapshot};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The sandboxes of all owners, to stop them from anywhere.
static CONTROLS: Mutex<Option<HashMap<i64, Control>>> = Mutex::new(None);
static NEXT: AtomicI64 = AtomicI64::new(1);

/// The sandboxes that one thread owns, and its handles of snapshots.
#[derive(Debug)]
pub struct Owner<T> {
    sandboxes: HashMap<i64, Rc<Owned<T>>>,
    /// How many handles this thread has of each snapshot.
    snapshots: HashMap<i64, u64>,
}

/// A sandbox and the notes of its owner.
#[derive(Debug)]
pub struct Owned<T> {
    /// What drives it.
    pub driver: Arc<Driver>,
    /// What its owner keeps beside it.
    pub notes: T,
}

impl<T> Default for Owner<T> {
    fn default() -> Self {
        Self { sandboxes: HashMap::new(), snapshots: HashMap::new() }
    }
}

impl<T> Owner<T> {
    /// Enters the sandbox that `make` makes, given its number, and returns the number.
    pub fn add(&mut self, notes: T, make: impl FnOnce(i64) -> Arc<Driver>) -> i64 {
        let handle = NEXT.fetch_add(1, Ordering::Relaxed);
        let driver = make(handle);
        CONTROLS.lock().get_or_insert_default().insert(handle, driver.control().clone());
        self.sandboxes.insert(handle, Rc::new(Owned { driver, notes }));
        handle
    }

    /// The sandbox of this owner with that number. Takes no lock.
    #[must_use]
    pub fn get(&self, handle: i64) -> Option<Rc<Owned<T>>> {
        self.sandboxes.get(&handle).cloned()
    }

    /// Drops a sandbox that is closed.
    pub fn remove(&mut self, handle: i64) {
        forget(handle);
        self.sandboxes.remove(&handle);
    }

    /// Shares a snapshot under a name, opens its first handle, and returns its number, which is never 0.
    pub fn share(&mut self, snapshot: Snapshot, name: String) -> i64 {
        let id = snapshots::share(snapshot, name);
        self.count(id);
        id
    }

    /// Opens another handle of a snapshot. `false`: all handles are closed, or there never was one.
    pub fn open_snapshot(&mut self, id: i64) -> bool {
        let opened = snapshots::open(id);
        if opened {
            self.count(id);
        }
        opened
    }

    /// Closes a handle of this owner's, if it has one. The last one of all frees the snapshot.
    pub fn close_snapshot(&mut self, id: i64) {
        let Some(handles) = self.snapshots.get_mut(&id) else { return };
        *handles -= 1;
        if *handles == 0 {
            self.snapshots.remove(&id);
        }
        snapshots::release(id);
    }

    /// Ends everything: sandboxes are stopped, and freed by the runners.
    pub fn leave(self) {
        for (handle, owned) in self.sandboxes {
            forget(handle);
            owned.driver.close();
        }
        for (id, handles) in self.snapshots {
            for _ in 0..handles {
                snapshots::release(id);
            }
        }
    }

    fn count(&mut self, id: i64) {
        *self.snapshots.entry(id).or_default() += 1;
    }
}

/// How to stop a sandbox of any owner, if it still exists.
#[must_use]
pub fn control(handle: i64) -> Option<Control> {
    CONTROLS.lock().as_ref()?.get(&handle).cloned()
}

fn forget(handle: i64) {
    if let Some(controls) = &mut *CONTROLS.lock() {
        controls.remove(&handle);
    }
}

#[cfg(test)]
mod tests {
    use super::{Owner, control};
    use crate::driver::Driver;
    use crate::job::Report;
    use ampoule_hypervisor::BACKENDS;
    use ampoule_sandbox::{Config, StopRequest};
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};

    /// Adds a sandbox that is never started, and hears of its reports.
    fn add(owner: &mut Owner<()>) -> (i64, Receiver<i64>) {
        let (tell, told) = channel();
        let tell = std::sync::Mutex::new(tell);
        let handle = owner.add((), |handle| {
            let on_step = move || {
                let _ = tell.lock().unwrap().send(handle);
            };
            Driver::new(Config::empty(BACKENDS), Box::new(on_step))
        });
        (handle, told)
    }

    #[test]
    fn a_sandbox_is_found_by_its_owner_and_its_control_by_everybody() {
        let (mut one, mut other) = (Owner::default(), Owner::default());
        let (handle, _told) = add(&mut one);
        let (later, _told) = add(&mut other);
        assert_ne!(handle, later);
        assert!(one.get(handle).is_some() && other.get(handle).is_none());
        let found = std::thread::spawn(move || {
            let control = control(handle).unwrap();
            control.stop(StopRequest::Killed);
        });
        found.join().unwrap();
        assert!(one.get(handle).unwrap().driver.control().stop_is_pending());
        assert!(!other.get(later).unwrap().driver.control().stop_is_pending());
        one.remove(handle);
        assert!(one.get(handle).is_none() && control(handle).is_none());
    }

    #[test]
    fn who_leaves_ends_its_sandboxes() {
        let mut owner = Owner::default();
        let (handle, told) = add(&mut owner);
        let driver = Arc::clone(&owner.get(handle).unwrap().driver);
        owner.leave();
        assert!(control(handle).is_none());
        assert_eq!(told.recv(), Ok(handle));
        assert!(matches!(driver.take_step(), Some(Report::Closed)));
    }
}
