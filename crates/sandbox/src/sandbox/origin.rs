//! Where a sandbox goes back to, and what that would cost.

use super::snapshot::Snapshot;
use crate::stop::Stop;
use std::time::Duration;

/// Exits since the last restore, and portions of the host's work, up to which going back costs
/// microseconds: a guest that asked for so little changed no mappings and touched little fresh memory.
const CHEAP_TURNS: u64 = 16;
/// The same for the time inside the guest, in which it can write to memory that it has.
const CHEAP_TIME: Duration = Duration::from_millis(5);

/// Where a sandbox goes back to by default, when, and what it has done since it was there.
#[derive(Debug, Default)]
pub(super) struct Origin {
    /// What the sandbox was made from.
    pub(super) snapshot: Option<Snapshot>,
    /// Every call is followed by a restore to it.
    pub(super) after_calls: bool,
    /// Why the last call was stopped, if it has been undone by now.
    pub(super) undone: Option<Stop>,
    /// What was done since the last restore.
    pub(super) since: Activity,
}

/// What a guest has been doing, as far as it tells how much memory it can have written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Activity {
    /// Exits, and portions of work that the host did for it.
    pub(super) turns: u64,
    /// Time inside the guest.
    pub(super) time: Duration,
}

impl Activity {
    /// Whether undoing it takes microseconds.
    pub(super) fn is_small(&self) -> bool {
        self.turns <= CHEAP_TURNS && self.time <= CHEAP_TIME
    }
}

#[cfg(test)]
mod tests {
    use super::{Activity, CHEAP_TIME, CHEAP_TURNS};
    use std::time::Duration;

    #[test]
    fn much_of_either_is_not_small() {
        assert!(Activity::default().is_small());
        assert!(Activity { turns: CHEAP_TURNS, time: CHEAP_TIME }.is_small());
        assert!(!Activity { turns: CHEAP_TURNS + 1, ..Activity::default() }.is_small());
        let time = CHEAP_TIME + Duration::from_nanos(1);
        assert!(!Activity { time, ..Activity::default() }.is_small());
    }
}
