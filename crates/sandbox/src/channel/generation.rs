//! Numbers by which a guest sees that what it knows of tracing is out of date.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that no guest has seen: not one in a snapshot either, of whatever process.
pub(super) fn generation() -> u64 {
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| {
        let mut random = [0_u8; 8];
        // Early in the life of a system there may be none; then the clock has to do.
        let got = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::NONBLOCK);
        let clock = || rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_nsec;
        AtomicU64::new(if got == Ok(random.len()) {
            u64::from_le_bytes(random)
        } else {
            clock().cast_unsigned() << 32
        })
    });
    // 0 is what a guest begins with.
    NEXT.fetch_add(1, Ordering::Relaxed).max(1)
}
