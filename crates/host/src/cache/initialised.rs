//! Guests that have been initialised, kept so that the next sandbox of the same guest starts there.
//!
//! The cache is the process's. It keeps the snapshots that were used last, bounded in number and bytes,
//! and knows of the others as long as somebody uses them. Nothing waits for anything here: two first
//! sandboxes of one guest initialise it twice, and the later one then shares the earlier one's memory.

use ampoule_sandbox::{Config, Snapshot, WeakSnapshot};
use parking_lot::Mutex;
use std::sync::Arc;

/// Snapshots kept although nobody uses them.
const KEPT_MAX: usize = 32;
/// Bytes of guest memory in these together, 256 MiB. A larger one is known while it is in use.
const KEPT_BYTES_MAX: u64 = 256 << 20;

/// A guest after its initialisation.
#[derive(Debug)]
struct Initialised {
    config: Arc<Config>,
    snapshot: WeakSnapshot,
    /// Set while the cache itself keeps it.
    kept: Option<Snapshot>,
}

/// The most recently used last.
static CACHE: Mutex<Vec<Initialised>> = Mutex::new(Vec::new());

/// The snapshot of the guest that `config` describes, if it is known.
pub(crate) fn find(config: &Config) -> Option<Snapshot> {
    let candidates: Vec<_> = {
        let mut cache = CACHE.lock();
        forget_dead(&mut cache);
        let alike = cache.iter().filter(|known| known.config.looks_like(config));
        alike
            .filter_map(|known| Some((Arc::clone(&known.config), known.snapshot.upgrade()?)))
            .collect()
    };
    // Not under the lock: large contents may have to be compared.
    let (_, snapshot) = candidates.into_iter().find(|(known, _)| known.starts_like(config))?;
    let mut cache = CACHE.lock();
    if let Some(at) = cache.iter().position(|known| known.snapshot.is(&snapshot)) {
        let mut used = cache.remove(at);
        used.kept = Some(snapshot.clone());
        cache.push(used);
        bound(&mut cache);
    }
    Some(snapshot)
}

/// Keeps the snapshot of the guest that `config` describes.
pub(crate) fn insert(config: Config, snapshot: &Snapshot) {
    let mut cache = CACHE.lock();
    forget_dead(&mut cache);
    cache.push(Initialised {
        config: Arc::new(config),
        snapshot: snapshot.downgrade(),
        kept: Some(snapshot.clone()),
    });
    bound(&mut cache);
}

/// Lets go of the least recently used snapshots above the bounds.
fn bound(cache: &mut [Initialised]) {
    let mut room = Room::default();
    for known in cache.iter_mut().rev() {
        known.kept.take_if(|snapshot| !room.admits(snapshot.memory_bytes()));
    }
}

/// What was admitted within the bounds, the most recently used first.
#[derive(Default)]
struct Room {
    count: usize,
    bytes: u64,
}

impl Room {
    /// Whether there is room for one more of `bytes`: it has it then. One that is too large leaves it to others.
    const fn admits(&mut self, bytes: u64) -> bool {
        let more = self.bytes.saturating_add(bytes);
        let fits = self.count < KEPT_MAX && more <= KEPT_BYTES_MAX;
        if fits {
            self.count += 1;
            self.bytes = more;
        }
        fits
    }
}

fn forget_dead(cache: &mut Vec<Initialised>) {
    cache.retain(|known| known.snapshot.is_alive());
}

#[cfg(test)]
mod tests {
    use super::{KEPT_BYTES_MAX, KEPT_MAX, Room};

    #[test]
    fn there_is_room_for_a_number_of_snapshots() {
        let mut room = Room::default();
        assert!((0..KEPT_MAX).all(|_| room.admits(1)));
        assert!(!room.admits(0));
    }

    #[test]
    fn there_is_room_for_a_number_of_bytes_and_a_large_one_leaves_it_to_smaller_ones() {
        let mut room = Room::default();
        assert!(room.admits(KEPT_BYTES_MAX - 2));
        assert!(!room.admits(3) && !room.admits(u64::MAX));
        assert!(room.admits(1) && room.admits(1));
        assert!(!room.admits(1));
        assert!(room.admits(0));
    }
}
