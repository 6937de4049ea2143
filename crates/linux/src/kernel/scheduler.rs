//! Which task comes next, and what the driver has to wait for when none can go on. Reads no clock, and knows no
//! thread of the host's.
//!
//! ```text
//!               park             block
//!   running ------------> parked ------> blocked
//!      ^                   |  ^             |
//!      +-------------------+  +-------------+
//!             finish            wake (by the host), next (by time)
//! ```
//!
//! There is one task so far: nothing makes another. Only here is it known how many there are, and which one runs.

use crate::answer::WaitFor;
use crate::task::Task;
use crate::task::blocked::BlockedOn;
use std::collections::VecDeque;

#[cfg(test)]
mod tests;

/// The tasks of a guest.
#[derive(Debug, Clone)]
pub(crate) struct Scheduler {
    /// The task that runs, or whose call is answered.
    running: Task,
    /// The others, the one that has its turn next at the front.
    others: VecDeque<Task>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The running task goes on; it may be another one than before.
    Run,
    /// None can go on before this.
    Wait(WaitFor),
    /// None can ever go on.
    Deadlock {
        /// What the running task waits for.
        waiting_for: &'static str,
    },
}

impl Scheduler {
    /// For a program that has one task, which runs.
    pub(crate) const fn new(first: Task) -> Self {
        Self { running: first, others: VecDeque::new() }
    }

    /// Goes back to the state of `from`.
    pub(crate) fn restore(&mut self, from: &Self) {
        // Everything is named, so that a new field cannot be forgotten here.
        let Self { running, others } = from;
        self.running = running.clone();
        self.others.clone_from(others);
    }

    /// The task that runs, or whose call is answered.
    pub(crate) const fn running(&self) -> &Task {
        &self.running
    }

    /// As [`Self::running`], to change it.
    pub(crate) const fn running_mut(&mut self) -> &mut Task {
        &mut self.running
    }

    /// The running task waits.
    pub(crate) const fn block(&mut self, on: BlockedOn) {
        self.running.blocked_on = Some(on);
    }

    /// The host brought what tasks wait for of which `is_brought` holds.
    pub(crate) fn wake(&mut self, is_brought: impl Fn(BlockedOn) -> bool) {
        for task in std::iter::once(&mut self.running).chain(&mut self.others) {
            task.blocked_on = task.blocked_on.filter(|&on| !is_brought(on));
        }
    }

    /// What comes next at the moment `now`, in nanoseconds of the monotonic clock, with so many more before
    /// the real timer raises its signal.
    ///
    /// A task that can go on comes first, the one that runs before those behind it; then what the host can bring
    /// at once; then the next moment at which a task, or the timer, is to be looked at.
    pub(crate) fn next(&mut self, now: u64, timer_rest: Option<u64>) -> Next {
        self.wake(|on| on.until().is_some_and(|until| until <= now));
        let Some(on) = self.running.blocked_on else { return Next::Run };
        if let Some(ready) = self.others.iter().position(|task| task.blocked_on.is_none()) {
            self.switch_to(ready);
            return Next::Run;
        }
        let others = || self.others.iter().filter_map(|task| task.blocked_on);
        let waits = || std::iter::once(on).chain(others());
        if let Some(wait) = waits().find_map(by_host) {
            return Next::Wait(wait);
        }
        let rest = waits().filter_map(BlockedOn::until).map(|until| until - now);
        if let Some(nanoseconds) = rest.chain(timer_rest).min() {
            return Next::Wait(WaitFor::Time { nanoseconds });
        }
        // What is brought neither by the host nor by time is an event.
        let event = |on| match on {
            BlockedOn::Event { event, .. } => Some(event.in_vain()),
            _ => None,
        };
        Next::Deadlock { waiting_for: waits().find_map(event).unwrap_or_default() }
    }

    /// Lets one of the others run. All keep their order, round and round.
    fn switch_to(&mut self, index: usize) {
        self.others.rotate_left(index);
        if let Some(next) = self.others.pop_front() {
            let before = std::mem::replace(&mut self.running, next);
            self.others.insert(self.others.len() - index, before);
        }
    }
}

/// What the host has to bring, if it can.
const fn by_host(on: BlockedOn) -> Option<WaitFor> {
    match on {
        BlockedOn::Input { wanted } => Some(WaitFor::Input { wanted }),
        BlockedOn::OutputRoom => Some(WaitFor::OutputRoom),
        BlockedOn::Time { .. } | BlockedOn::Event { .. } => None,
    }
}
