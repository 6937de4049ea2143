//! The clocks that a guest may see.

use std::fmt::Debug;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Source of time for one guest, in nanoseconds. The only thing in this crate that is not a function
/// of its inputs, so that tests and replays can put their own in its place.
pub trait Clock: Debug + Send + Sync {
    /// Since 1970-01-01T00:00:00Z.
    fn realtime(&self) -> u64;
    /// Since some fixed moment; never goes backwards.
    fn monotonic(&self) -> u64;
}

/// The host's clocks. The monotonic one starts with the value, so that a guest learns nothing about
/// the host's uptime.
#[derive(Debug, Clone)]
pub struct HostClock {
    started: Instant,
    /// Nanoseconds that had passed then already.
    before: u64,
}

/// Where [`HostClock`]'s monotonic clock starts, in nanoseconds: one day, because programs subtract
/// minutes and hours from "now" and a machine is seldom that young.
pub const MONOTONIC_ORIGIN: u64 = 86_400 * NANOSECONDS_PER_SECOND;

/// Ticks a second of `times`; also what `AT_CLKTCK` says.
pub(crate) const CLOCK_TICKS: u64 = 100;

/// Nanoseconds in a second.
pub(crate) const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

impl HostClock {
    /// A clock whose monotonic time starts now at [`MONOTONIC_ORIGIN`].
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now(), before: 0 }
    }

    /// A clock whose monotonic time goes on at `monotonic`: for a guest that must not see its time go
    /// backwards.
    #[must_use]
    pub fn resumed(monotonic: u64) -> Self {
        Self { started: Instant::now(), before: monotonic.saturating_sub(MONOTONIC_ORIGIN) }
    }

    fn elapsed(&self) -> u64 {
        let since = u64::try_from(self.started.elapsed().as_nanos());
        self.before.saturating_add(since.unwrap_or(u64::MAX)).min(u64::MAX - MONOTONIC_ORIGIN)
    }
}

impl Default for HostClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for HostClock {
    fn realtime(&self) -> u64 {
        // A host clock before 1970 reads as 1970.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> u64 {
        MONOTONIC_ORIGIN.saturating_add(self.elapsed())
    }
}
