//! Going back at the owner's wish, and after each call.

use super::{Activity, Sandbox, Snapshot, SnapshotError, State, Step};
use crate::channel::Channel;
use crate::config::Limits;
use crate::error::CallError;
use crate::events::Event;
use crate::stop::Stop;
use std::time::Duration;

/// Exits since the last restore, and portions of the host's work, up to which going back costs
/// microseconds: a guest that asked for so little changed no mappings and touched little fresh memory.
const CHEAP_TURNS: u64 = 16;
/// The same for separate mappings, which are compared with the snapshot's one by one.
const CHEAP_MAPPINGS: usize = 1024;
/// The same for the time inside the guest, in which it can write to memory that it has.
const CHEAP_TIME: Duration = Duration::from_millis(5);

impl Sandbox {
    /// Goes back to `snapshot` from wherever the guest is, also when it is poisoned or broken; nothing
    /// of what it did since can be observed by it. Its random generator goes on; output that was not taken
    /// yet stays, and so do counters. Stops that were asked for before are void, but not closing.
    ///
    /// Cost: a look at the tables that the guest used, and a copy of each page that calls write; more
    /// when the snapshot is not the last one that this sandbox came from, and that of a new VM when
    /// its memory has another shape.
    ///
    /// # Errors
    /// [`SnapshotError`]. The sandbox is broken then: only another restore that succeeds makes it
    /// usable.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        // First, so that a stop that is asked for from now on holds for the restored sandbox.
        self.control.disarm();
        self.control.forgive();
        let restored = self.go_back(snapshot)?;
        self.events.tell(Event::Restored(restored));
        self.last_stop = None;
        Ok(())
    }

    /// [`Self::restore`] to the given snapshot, or else to what the sandbox was made from.
    ///
    /// # Errors
    /// [`SnapshotError`]; a state error for a sandbox that has no origin.
    pub fn rewind(&mut self, snapshot: Option<&Snapshot>) -> Result<(), SnapshotError> {
        let origin = self.origin.clone();
        let Some(snapshot) = snapshot.or(origin.as_ref()) else {
            let operation = "be restored: it was made from no snapshot";
            return Err(CallError::State { state: self.state.word(), operation }.into());
        };
        self.restore(snapshot)
    }

    /// Whether [`Self::rewind`] would take microseconds only.
    #[must_use]
    pub fn rewinds_cheaply(&self, snapshot: Option<&Snapshot>) -> bool {
        let Activity { turns, time } = self.since_restore;
        let target = snapshot.or(self.origin.as_ref());
        turns <= CHEAP_TURNS
            && time <= CHEAP_TIME
            && self.space.mappings() <= CHEAP_MAPPINGS
            && target.is_some_and(|target| self.is_view_of(target))
    }

    /// What [`Self::rewind`] goes back to by default.
    #[must_use]
    pub const fn origin(&self) -> Option<&Snapshot> {
        self.origin.as_ref()
    }

    /// Sets what [`Self::rewind`] goes back to by default.
    pub fn set_origin(&mut self, origin: Snapshot) {
        self.origin = Some(origin);
    }

    /// Whether every call is followed by a [`Self::rewind`] before [`Self::run`] reports how it ended,
    /// also when it was stopped. Only killing and closing leave the guest as it is then.
    pub const fn set_restores_after_calls(&mut self, restores: bool) {
        self.restores_after_calls = restores;
    }

    /// Bytes of the largest message; 0 for a plain program.
    #[must_use]
    pub fn message_bytes(&self) -> u64 {
        self.channel.as_ref().map_or(0, Channel::capacity)
    }

    /// Replaces the limits that are checked while a guest runs.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether the guest has read standard input.
    #[must_use]
    pub const fn has_read_input(&self) -> bool {
        self.has_read_input
    }

    /// Makes the memory a view of `snapshot`, which another sandbox of the same guest has taken in
    /// the same place. Not counted: nothing is undone.
    ///
    /// # Errors
    /// [`SnapshotError`]. The sandbox is broken then.
    pub fn adopt(&mut self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        self.go_back(snapshot).map(|_| ())
    }

    /// The first step of a sandbox that begins ready, unless it was stopped before.
    pub fn begin_ready(&mut self) -> Step {
        match self.control.take_stop() {
            Some(stop) => {
                self.poison(stop);
                Step::Stopped
            }
            None => Step::Ready,
        }
    }

    /// Goes back after a call, if that is wanted. A failure shows as a broken sandbox.
    pub(super) fn restore_after_call(&mut self) {
        let Some(origin) = self.origin.clone().filter(|_| self.restores_after_calls) else {
            return;
        };
        match &self.state {
            State::Poisoned(stop) if stop.is_of_a_call() => self.last_stop = Some(stop.clone()),
            State::Ready => {}
            _ => return,
        }
        self.control.disarm();
        self.control.forgive_call();
        if let Ok(restored) = self.go_back(&origin) {
            self.events.tell(Event::Restored(restored));
        }
    }

    /// Whether `stop` was meant for a call that is over and undone.
    pub(super) const fn is_past(&self, stop: &Stop) -> bool {
        self.restores_after_calls && stop.is_of_a_call()
    }

    fn is_view_of(&self, snapshot: &Snapshot) -> bool {
        self.space.base().is_some_and(|base| snapshot.is_of(base))
    }
}
