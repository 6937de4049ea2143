//! Who may touch a sandbox, and what is to be done when that changes. Knows no thread, no lock, no clock and no
//! sandbox.

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::mem;

/// Who may touch a sandbox now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The owner: nothing is going on.
    Idle,
    /// The executor, soon.
    Queued,
    /// A runner, or the owner in a synchronous call.
    Running,
    /// The owner: a step waits to be resumed.
    Parked,
    /// Nobody: the sandbox is gone.
    Closed,
}

/// What an owner wants to do with a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Start,
    Call,
    Resume,
    Snapshot,
    Restore,
}

/// Whose thread goes on with what an owner has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Thread {
    /// The owner's, which comes back by itself to what is parked.
    Owners,
    Runners,
}

/// What is to be done now, without a lock.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Todo {
    Nothing,
    /// Queue the sandbox, once, for the runner of the last turn if there was one.
    Enqueue {
        affinity: Option<usize>,
    },
}

/// What a runner does in its turn.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Duty<J> {
    Work(J),
    /// End the sandbox and report that it is gone.
    Close,
}

/// The running phase: there is one of it at most, and whoever holds it touches the sandbox.
#[must_use = "a sandbox whose running phase is lost never runs again"]
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    from: Phase,
}

/// An operation was not possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What the sandbox is doing, in a word.
    pub(crate) state: &'static str,
    /// What it cannot do therefore.
    pub(crate) operation: &'static str,
}

/// The phase of one sandbox, and what belongs to it; `J` is what a runner has to do, `R` what it has to say.
///
/// ```text
///   Idle, Parked -- claim --> Running -- leave --> Idle, Parked     on the owner's thread
///                                |
///                              accept
///                                v
///   Idle, Parked -- wake -----> Queued <-- preempt --+
///                                |                   |
///                                +-- begin_turn --> Running -- report --> Idle, Parked, Closed     on a runner
/// ```
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct PhaseMachine<J, R> {
    phase: Phase,
    /// Whose thread the last claim was for.
    thread: Thread,
    /// The owner wants it gone.
    closing: bool,
    /// What the runner is to do in its turn.
    job: J,
    /// The runner whose turn was the last.
    affinity: Option<usize>,
    /// The last word of a runner that the owner has not taken yet.
    report: Option<R>,
}

impl<J: Default, R> PhaseMachine<J, R> {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Idle,
            thread: Thread::Runners,
            closing: false,
            job: J::default(),
            affinity: None,
            report: None,
        }
    }

    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Takes the running phase for an owner, whose operation may yet be refused: see [`Self::leave`].
    pub(crate) const fn claim(
        &mut self,
        operation: Operation,
        thread: Thread,
    ) -> Result<Held, Refusal> {
        let from = self.phase;
        if self.closing || !operation.is_possible_from(from) {
            let state = if self.closing { "closed" } else { from.word() };
            return Err(Refusal { state, operation: operation.word() });
        }
        self.phase = Phase::Running;
        self.thread = thread;
        Ok(Held { from })
    }

    /// Hands the running phase over to a runner, which is to do `job`.
    pub(crate) fn accept(&mut self, _held: Held, job: J) -> Todo {
        self.job = job;
        self.enqueue()
    }

    /// Leaves the running phase on an owner's thread: to [`Held::origin`], if nothing has happened. What was asked
    /// for meanwhile is done now.
    ///
    /// `is_stopping` has to be read when nobody else can change the phase any more, as in [`Self::wake`].
    pub(crate) const fn leave(&mut self, _held: Held, to: Phase, is_stopping: bool) -> Todo {
        self.phase = to;
        self.wake(is_stopping)
    }

    /// The turn that a sandbox was queued for begins on `runner`.
    pub(crate) fn begin_turn(&mut self, runner: usize) -> (Held, Duty<J>) {
        let held = Held { from: self.phase };
        self.phase = Phase::Running;
        self.affinity = Some(runner);
        let job = mem::take(&mut self.job);
        (held, if self.closing { Duty::Close } else { Duty::Work(job) })
    }

    /// A turn ends because others wait; another one goes on with it.
    pub(crate) const fn preempt(&mut self, _held: Held) -> Todo {
        self.enqueue()
    }

    /// A turn ends with a report, which stays until the owner takes it or there is another one. The owner is to be
    /// told, and then [`Self::wake`] looks for what was asked for meanwhile.
    pub(crate) fn report(&mut self, _held: Held, report: R, to: Phase) {
        // Together, so that the owner can act on the report as soon as it hears of it.
        self.report = Some(report);
        self.phase = to;
    }

    /// The last report, once.
    pub(crate) const fn take_report(&mut self) -> Option<R> {
        self.report.take()
    }

    /// Looks whether a sandbox that nobody runs is to be ended.
    ///
    /// `is_stopping`, that a stop was asked for, has to be read when nobody else can change the phase: whoever asks
    /// wakes the sandbox afterwards, and finds the phase that was gone to.
    pub(crate) const fn wake(&mut self, is_stopping: bool) -> Todo {
        let is_due = match (self.phase, self.thread) {
            (Phase::Parked, Thread::Runners) => self.closing || is_stopping,
            (Phase::Parked, Thread::Owners) | (Phase::Idle, _) => self.closing,
            (Phase::Queued | Phase::Running | Phase::Closed, _) => false,
        };
        if is_due { self.enqueue() } else { Todo::Nothing }
    }

    /// The owner wants the sandbox gone. Whether that is news: then it is to be stopped, and woken.
    pub(crate) const fn close(&mut self) -> bool {
        !mem::replace(&mut self.closing, true)
    }

    const fn enqueue(&mut self) -> Todo {
        self.phase = Phase::Queued;
        Todo::Enqueue { affinity: self.affinity }
    }
}

impl Held {
    /// The phase that the sandbox was in before.
    pub(crate) const fn origin(&self) -> Phase {
        self.from
    }
}

impl Operation {
    const fn is_possible_from(self, phase: Phase) -> bool {
        match self {
            Self::Start | Self::Call | Self::Snapshot => matches!(phase, Phase::Idle),
            Self::Resume => matches!(phase, Phase::Parked),
            // It may cut a call short that waits for its owner.
            Self::Restore => matches!(phase, Phase::Idle | Phase::Parked),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Call => "be called",
            Self::Resume => "be resumed",
            Self::Snapshot => "be snapshotted",
            Self::Restore => "be restored",
        }
    }
}

impl Phase {
    const fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Queued | Self::Running => "running",
            Self::Parked => "waiting for a host function",
            Self::Closed => "closed",
        }
    }
}
