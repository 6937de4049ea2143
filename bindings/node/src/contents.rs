//! Executables and files of guests, each in memory once, so that creating a sandbox copies none.
//!
//! The table keeps nothing: contents live as long as a sandbox, a snapshot or the cache of ready
//! guests uses them, and from `intern` to the `create` behind it.

use crate::convert::number;
use napi::bindgen_prelude::Uint8Array;
use napi::{Error, Result};
use napi_derive::napi;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

struct Contents {
    id: i64,
    bytes: Weak<[u8]>,
    /// Until the first use.
    fresh: Option<Arc<[u8]>>,
}

struct Table {
    next: i64,
    known: Vec<Contents>,
}

static TABLE: Mutex<Table> = Mutex::new(Table { next: 1, known: Vec::new() });

/// Keeps a copy of `bytes`, until the next `create` at least, and returns its number. The same
/// contents have the same number.
#[napi]
#[must_use]
pub fn intern(bytes: Uint8Array) -> f64 {
    let candidates: Vec<_> = {
        let mut table = TABLE.lock();
        table.known.retain(|contents| contents.bytes.strong_count() > 0);
        let known = table.known.iter();
        known.filter_map(|contents| Some((contents.id, contents.bytes.upgrade()?))).collect()
    };
    // Not under the lock. `memcmp` costs a tenth of a copy into fresh memory.
    let same = candidates.into_iter().find(|(_, known)| **known == *bytes);
    let mut table = TABLE.lock();
    if let Some((id, bytes)) = same
        && let Some(known) = table.known.iter_mut().find(|contents| contents.id == id)
    {
        known.fresh = Some(bytes);
        return number(id);
    }
    let bytes: Arc<[u8]> = Arc::from(&*bytes);
    let id = table.next;
    table.next += 1;
    table.known.push(Contents { id, bytes: Arc::downgrade(&bytes), fresh: Some(bytes) });
    number(id)
}

/// Whether the contents with that number are in memory still.
#[napi]
#[must_use]
pub fn is_interned(id: i64) -> bool {
    let table = TABLE.lock();
    table.known.iter().any(|contents| contents.id == id && contents.bytes.strong_count() > 0)
}

/// The contents with that number; from now on they live as long as their users.
pub(crate) fn take(id: i64) -> Result<Arc<[u8]>> {
    let mut table = TABLE.lock();
    let known = table.known.iter_mut().find(|contents| contents.id == id);
    let bytes =
        known.and_then(|contents| contents.fresh.take().or_else(|| contents.bytes.upgrade()));
    bytes.ok_or_else(|| Error::from_reason(format!("there are no contents {id}")))
}
