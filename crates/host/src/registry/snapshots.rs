//! Snapshots that owners share, each as long as one of its handles is open, or a sandbox uses it.

use ampoule_sandbox::Snapshot;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

struct Shared {
    snapshot: Snapshot,
    name: String,
    handles: u64,
}

static SHARED: Mutex<Option<HashMap<i64, Shared>>> = Mutex::new(None);
static NEXT: AtomicI64 = AtomicI64::new(1);

/// Shares a snapshot with one handle open.
pub(super) fn share(snapshot: Snapshot, name: String) -> i64 {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    SHARED.lock().get_or_insert_default().insert(id, Shared { snapshot, name, handles: 1 });
    id
}

/// Opens another handle, if one is open.
pub(super) fn open(id: i64) -> bool {
    let mut shared = SHARED.lock();
    let Some(one) = shared.as_mut().and_then(|all| all.get_mut(&id)) else { return false };
    one.handles += 1;
    true
}

/// Closes a handle.
pub(super) fn release(id: i64) {
    let gone = {
        let mut shared = SHARED.lock();
        let Some(all) = &mut *shared else { return };
        let Some(one) = all.get_mut(&id) else { return };
        one.handles -= 1;
        if one.handles == 0 { all.remove(&id) } else { None }
    };
    // Unmapped without the lock.
    drop(gone);
}

/// The snapshot with that number, if a handle of it is open.
#[must_use]
pub fn snapshot(id: i64) -> Option<Snapshot> {
    with_snapshot(id, |snapshot, _| snapshot.clone())
}

/// Lets `look` see a snapshot and the name that its guest was given, if a handle of it is open. The table is locked
/// meanwhile.
pub fn with_snapshot<T>(id: i64, look: impl FnOnce(&Snapshot, &str) -> T) -> Option<T> {
    let shared = SHARED.lock();
    let one = shared.as_ref()?.get(&id)?;
    Some(look(&one.snapshot, &one.name))
}
