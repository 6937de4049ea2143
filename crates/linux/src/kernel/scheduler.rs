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
//! There is one task so far. This is the only place that knows, and that says which one runs.

use crate::answer::WaitFor;
use crate::task::Task;
use crate::task::blocked::BlockedOn;

#[cfg(test)]
mod tests;

/// The tasks of a guest.
#[derive(Debug, Clone)]
pub(crate) struct Scheduler {
    /// At least one.
    tasks: Vec<Task>,
    /// Which of them runs: an index.
    running: usize,
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
    pub(crate) fn new(first: Task) -> Self {
        Self { tasks: vec![first], running: 0 }
    }

    /// Goes back to the state of `from`.
    pub(crate) fn restore(&mut self, from: &Self) {
        // Everything is named, so that a new field cannot be forgotten here.
        let Self { tasks, running } = from;
        self.tasks.clone_from(tasks);
        self.running = *running;
    }

    /// The task that runs, or whose call is answered.
    pub(crate) fn running(&self) -> &Task {
        &self.tasks[self.running]
    }

    /// As [`Self::running`], to change it.
    pub(crate) fn running_mut(&mut self) -> &mut Task {
        &mut self.tasks[self.running]
    }

    /// The running task waits.
    pub(crate) fn block(&mut self, on: BlockedOn) {
        self.running_mut().blocked_on = Some(on);
    }

    /// The host brought what tasks wait for of which `is_brought` holds.
    pub(crate) fn wake(&mut self, is_brought: impl Fn(BlockedOn) -> bool) {
        for task in &mut self.tasks {
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
        let count = self.tasks.len();
        let mut order = (0..count).map(|step| (self.running + step) % count);
        if let Some(ready) = order.find(|&index| self.tasks[index].blocked_on.is_none()) {
            self.running = ready;
            return Next::Run;
        }
        let waits = || self.tasks.iter().filter_map(|task| task.blocked_on);
        let by_host = |on| match on {
            BlockedOn::Input { wanted } => Some(WaitFor::Input { wanted }),
            BlockedOn::OutputRoom => Some(WaitFor::OutputRoom),
            BlockedOn::Time { .. } | BlockedOn::Event { .. } => None,
        };
        if let Some(wait) = waits().find_map(by_host) {
            return Next::Wait(wait);
        }
        let rest = waits().filter_map(BlockedOn::until).map(|until| until - now);
        if let Some(nanoseconds) = rest.chain(timer_rest).min() {
            return Next::Wait(WaitFor::Time { nanoseconds });
        }
        let event = |on| match on {
            BlockedOn::Event { event, .. } => Some(event.in_vain()),
            _ => None,
        };
        let waiting_for = self.running().blocked_on.and_then(event).unwrap_or_default();
        Next::Deadlock { waiting_for }
    }
}
