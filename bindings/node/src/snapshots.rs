//! Snapshots, shared by all JavaScript threads of the process.
//!
//! A handle belongs to the thread that opened it; those of a thread that ends are closed.

use crate::convert::{count, number};
use crate::environment::{leave_in_the_end, sandbox, with_owner};
use ampoule_host::registry;
use ampoule_sandbox::Snapshot;
use napi::{Env, Error, Result};
use napi_derive::napi;

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
    leave_in_the_end(env)?;
    Ok(with_owner(|owner| owner.share(snapshot, name)))
}

/// The snapshot with that number; 0 is none.
pub(crate) fn find(id: i64) -> Result<Option<Snapshot>> {
    if id == 0 {
        return Ok(None);
    }
    let found = registry::snapshot(id);
    found.map(Some).ok_or_else(|| Error::from_reason(format!("there is no snapshot {id}")))
}

/// Takes the snapshot that the last step of a sandbox brought.
#[napi]
pub fn take_snapshot(env: &Env, handle: i64, name: String) -> Result<f64> {
    let snapshot = sandbox(handle)?.notes.snapshot.borrow_mut().take();
    let snapshot = snapshot.ok_or_else(|| Error::from_reason("there is no snapshot to take"))?;
    Ok(number(share(env, snapshot, name)?))
}

/// Opens another handle on this thread. `false`: all handles are closed, or there never was one.
#[napi]
pub fn open_snapshot(env: &Env, id: i64) -> Result<bool> {
    leave_in_the_end(env)?;
    Ok(with_owner(|owner| owner.open_snapshot(id)))
}

/// Closes a handle of this thread.
#[napi]
pub fn close_snapshot(id: i64) {
    with_owner(|owner| owner.close_snapshot(id));
}

/// What is known of a snapshot; absent when all its handles are closed.
#[napi]
#[must_use]
pub fn snapshot_info(id: i64) -> Option<NativeSnapshot> {
    registry::with_snapshot(id, |snapshot, name| NativeSnapshot {
        name: name.to_owned(),
        interface_json: snapshot.interface().to_json(),
        memory_bytes: count(snapshot.memory_bytes()),
        message_bytes: count(snapshot.message_bytes()),
    })
}
