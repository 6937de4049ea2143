//! Snapshots, shared by all JavaScript threads of the process.
//!
//! A snapshot lives as long as one of its handles is open, or a sandbox uses it. A handle belongs to
//! the thread that opened it; those of a thread that ends are closed.

use crate::config::{count, number};
use crate::environment;
use ampoule_sandbox::Snapshot;
use napi::{Env, Error, Result};
use napi_derive::napi;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

struct Shared {
    snapshot: Snapshot,
    name: String,
    handles: u64,
}

static SHARED: Mutex<Option<HashMap<i64, Shared>>> = Mutex::new(None);
/// Numbers are never used twice; 0 stands for none.
static NEXT: AtomicI64 = AtomicI64::new(1);

/// What is known of a snapshot.
#[napi(object, object_from_js = false)]
pub struct NativeSnapshot {
    /// Name of the guest.
    pub name: String,
    /// What it exports and imports.
    pub interface_json: String,
    /// Guest memory in use.
    pub memory_bytes: f64,
    /// Largest message.
    pub message_bytes: f64,
}

/// Shares a snapshot and opens its first handle on this thread.
pub(crate) fn share(env: &Env, snapshot: Snapshot, name: String) -> Result<i64> {
    environment::leave_in_the_end(env)?;
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    SHARED.lock().get_or_insert_default().insert(id, Shared { snapshot, name, handles: 1 });
    environment::count_snapshot(id, true);
    Ok(id)
}

/// The snapshot with that number; 0 is none.
pub(crate) fn find(id: i64) -> Result<Option<Snapshot>> {
    if id == 0 {
        return Ok(None);
    }
    let found = SHARED.lock().as_ref().and_then(|all| Some(all.get(&id)?.snapshot.clone()));
    found.map(Some).ok_or_else(|| Error::from_reason(format!("there is no snapshot {id}")))
}

/// The name that a snapshot's guest was given.
pub(crate) fn name(id: i64) -> String {
    let shared = SHARED.lock();
    shared.as_ref().and_then(|all| Some(all.get(&id)?.name.clone())).unwrap_or_default()
}

/// Closes a handle that is not counted for any thread any more.
pub(crate) fn release(id: i64) {
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

/// Takes the snapshot that the last step of a sandbox brought.
#[napi]
pub fn take_snapshot(env: &Env, handle: i64, name: String) -> Result<f64> {
    let snapshot = environment::entry(handle)?.snapshot.borrow_mut().take();
    let snapshot = snapshot.ok_or_else(|| Error::from_reason("there is no snapshot to take"))?;
    Ok(number(share(env, snapshot, name)?))
}

/// Opens another handle on this thread. `false`: all handles are closed, or there never was one.
#[napi]
pub fn open_snapshot(env: &Env, id: i64) -> Result<bool> {
    environment::leave_in_the_end(env)?;
    let mut shared = SHARED.lock();
    let Some(one) = shared.as_mut().and_then(|all| all.get_mut(&id)) else { return Ok(false) };
    one.handles += 1;
    environment::count_snapshot(id, true);
    Ok(true)
}

/// Closes a handle of this thread.
#[napi]
pub fn close_snapshot(id: i64) {
    if environment::count_snapshot(id, false) {
        release(id);
    }
}

/// What is known of a snapshot; absent when all its handles are closed.
#[napi]
#[must_use]
pub fn snapshot_info(id: i64) -> Option<NativeSnapshot> {
    let shared = SHARED.lock();
    let one = shared.as_ref()?.get(&id)?;
    Some(NativeSnapshot {
        name: one.name.clone(),
        interface_json: one.snapshot.interface().to_json(),
        memory_bytes: count(one.snapshot.memory_bytes()),
        message_bytes: count(one.snapshot.message_bytes()),
    })
}
