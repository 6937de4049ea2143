//! Interval timers. They are told the time, and know no clock.

use serde::{Deserialize, Serialize};

/// How many there are: real, virtual, profiling.
pub(crate) const TIMERS: usize = 3;
pub(crate) const MICROSECOND: u64 = 1000;

/// A timer, in nanoseconds: of the monotonic clock for the real one, of what was computed for the virtual one,
/// and of all processor time for the profiling one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Timer {
    /// When it is due, if it runs.
    due: Option<u64>,
    /// From then on again and again, unless 0.
    interval: u64,
}

impl Timer {
    /// Whether it runs.
    pub(crate) const fn runs(&self) -> bool {
        self.due.is_some()
    }

    /// Nanoseconds until it is due; at least a microsecond, as long as it runs.
    pub(crate) fn rest(&self, now: u64) -> Option<u64> {
        self.due.map(|due| due.saturating_sub(now).max(MICROSECOND))
    }

    /// Interval and rest.
    pub(crate) fn value(&self, now: u64) -> (u64, u64) {
        (self.interval, self.rest(now).unwrap_or_default())
    }

    /// Starts it, or stops it with 0.
    pub(crate) fn set(&mut self, now: u64, value: u64, interval: u64) {
        let due = (value > 0).then(|| now.saturating_add(value));
        *self = Self { due, interval };
    }

    /// Whether it has become due; it runs on then, if it has an interval. Times that were missed count as
    /// one, like signals that are pending already.
    pub(crate) fn expire(&mut self, now: u64) -> bool {
        let Some(due) = self.due.filter(|&due| due <= now) else { return false };
        let missed = (now - due).checked_div(self.interval);
        self.due = missed.map(|missed| {
            due.saturating_add(self.interval.saturating_mul(missed.saturating_add(1)))
        });
        true
    }
}
