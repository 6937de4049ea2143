//! What is known of the call that is being answered.

use crate::entry::Counts;
use crate::error::TraceError;
use crate::time::{ClockPair, Timeline};

/// The call that is being answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) timeline: Timeline,
    /// The guest has said that it began.
    pub(super) has_started: bool,
    /// Times may be off.
    pub(super) is_approximate: bool,
    pub(super) in_host_call: bool,
    /// The monotonic clock when the answer to that was there.
    pub(super) answered_at: Option<u64>,
    /// Spans that were left out and that the guest will close: one that is lost counts once, not again
    /// for everything in it.
    pub(super) left_out: u64,
    /// The time of the record before, in nanoseconds: none goes back.
    pub(super) latest: u64,
    pub(super) bytes: u64,
    pub(super) counts: Counts,
}

impl Call {
    pub(super) fn new(timeline: Timeline, is_approximate: bool) -> Self {
        Self {
            timeline,
            has_started: false,
            is_approximate,
            in_host_call: false,
            answered_at: None,
            left_out: 0,
            latest: 0,
            bytes: 0,
            counts: Counts::default(),
        }
    }

    /// The time of something that the host has seen at `now`.
    pub(super) fn moment(&mut self, now: ClockPair) -> Option<u64> {
        let wall = self.timeline.wall_of(now.monotonic).ok()?;
        self.latest = self.latest.max(wall);
        Some(self.latest)
    }

    /// The time of a record: within the call, and not before the record before.
    pub(super) fn time(&mut self, tsc: u64) -> Result<u64, TraceError> {
        let (wall, outside) = self.timeline.wall(tsc)?;
        // Two processors' counters may differ by some ticks.
        let slack = 2 * self.timeline.error_bound().max(1000);
        self.counts.moved += u64::from(outside > slack || wall < self.latest);
        self.latest = self.latest.max(wall);
        Ok(self.latest)
    }
}
