//! What is in a sandbox's place: what it is to be made from, the sandbox, or why there is none.

use super::{Phase, Report};
use ampoule_sandbox::{
    Budget, CallError, CallTrace, Config, Failure, Limits, Sandbox, Snapshot, State,
};

pub(super) enum Slot {
    /// To be made by a runner, then started.
    Unmade(Box<Source>, Start),
    Made(Box<Made>),
    /// It could not be made.
    Failed(Failure),
    Gone,
}

/// What a sandbox is made from.
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

pub(super) struct Made {
    pub(super) sandbox: Sandbox,
    /// Set while the guest initialises: what it was made from.
    pub(super) initialising: Option<Config>,
}

pub(super) const fn phase_after(sandbox: &Sandbox) -> Phase {
    match sandbox.state() {
        State::Waiting(_) => Phase::Parked,
        _ => Phase::Idle,
    }
}

/// Goes back to `to`, by default to where the sandbox came from.
pub(super) fn restore(slot: &mut Slot, to: Option<&Snapshot>) -> (Report, Phase) {
    match slot {
        Slot::Made(made) => match made.sandbox.restore(to) {
            Ok(()) => (Report::Restored, Phase::Idle),
            Err(error) => (Report::Refused(error.failure()), Phase::Idle),
        },
        _ => slot.refuse("be restored"),
    }
}

impl Slot {
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Made(made) => phase_after(&made.sandbox),
            _ => Phase::Idle,
        }
    }

    /// The report on something that only a sandbox can do.
    pub(super) fn refuse(&self, operation: &'static str) -> (Report, Phase) {
        let failure = match self {
            Self::Failed(failure) => failure.clone(),
            _ => CallError::State { state: "not running", operation }.failure(),
        };
        (Report::Refused(failure), Phase::Idle)
    }
}
