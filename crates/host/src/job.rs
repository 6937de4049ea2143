//! What a sandbox is made from, and what a runner has to do with it and to say of it.

use ampoule_sandbox::{Budget, CallTrace, Config, Failure, Limits, Snapshot, Step};

/// How a sandbox is to be made.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) source: Source,
    pub(crate) restores_after_calls: bool,
    pub(crate) start: Start,
}

/// What a sandbox is made from.
#[derive(Debug)]
pub(crate) enum Source {
    Guest(Config),
    Snapshot(Snapshot, Limits),
}

/// How a sandbox is started.
#[derive(Debug, Default)]
pub(crate) struct Start {
    pub(crate) budget: Budget,
    /// What the guest is to tell while it initialises, if it does.
    pub(crate) trace: Option<CallTrace>,
}

/// What a runner has to do.
#[derive(Debug, Default)]
pub(crate) enum Job {
    /// Make the sandbox, if it is not made, and run it up to the next step.
    #[default]
    Run,
    /// Take its state.
    Snapshot,
    /// Go back, by default to where it came from.
    Restore(Option<Snapshot>),
}

/// What a runner has to say.
#[derive(Debug, Clone)]
pub enum Report {
    /// The guest came to a step.
    Step(Step),
    /// The snapshot that was asked for.
    Snapshot(Snapshot),
    /// The sandbox went back, and is ready.
    Restored,
    /// A snapshot was not taken, or a restore failed. [`crate::Driver::inspect`] tells the sandbox's state.
    Refused(Failure),
    /// The sandbox is gone.
    Closed,
}
