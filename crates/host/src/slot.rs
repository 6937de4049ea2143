//! What is in a sandbox's place: what it is to be made from, the sandbox, or why there is none; and what a runner
//! does there.

use crate::cache::initialised;
use crate::executor::Executor;
use crate::job::{Job, Plan, Report, Source};
use crate::phase::Phase;
use crate::providers::providers;
use ampoule_sandbox::{
    CallError, Config, Control, Failure, Sandbox, Snapshot, SnapshotError, State, Step,
};
use std::time::Duration;

/// How long a guest computes on a runner while others wait. Long against the cost of a kick (tens of
/// microseconds), short against what a person notices.
const TIME_SLICE: Duration = Duration::from_millis(10);

pub(crate) enum Slot {
    /// To be made by a runner, then started.
    Unmade(Box<Plan>),
    Made(Box<Made>),
    /// It could not be made.
    Failed(Failure),
    Gone,
}

pub(crate) struct Made {
    pub(crate) sandbox: Sandbox,
    /// Set while the guest initialises: what it was made from.
    initialising: Option<Config>,
}

impl Slot {
    /// Does `job` on the calling thread. The report, and the phase that the sandbox is in then.
    pub(crate) fn work(&mut self, job: Job, control: &Control) -> (Report, Phase) {
        match job {
            Job::Run => {
                let step = self.advance(control);
                (Report::Step(step), self.phase())
            }
            Job::Snapshot => match self {
                Self::Made(made) => {
                    let taken = made.sandbox.snapshot();
                    let refused = |error: SnapshotError| Report::Refused(error.failure());
                    (taken.map_or_else(refused, Report::Snapshot), self.phase())
                }
                _ => self.refuse("be snapshotted"),
            },
            Job::Restore(to) => self.restore(to.as_ref()),
        }
    }

    /// Goes back to `to`, by default to where the sandbox came from.
    pub(crate) fn restore(&mut self, to: Option<&Snapshot>) -> (Report, Phase) {
        match self {
            Self::Made(made) => match made.sandbox.restore(to) {
                Ok(()) => (Report::Restored, Phase::Idle),
                Err(error) => (Report::Refused(error.failure()), Phase::Idle),
            },
            _ => self.refuse("be restored"),
        }
    }

    /// Makes the sandbox, if that was not done, and runs it up to the next step, or until others wait.
    fn advance(&mut self, control: &Control) -> Step {
        if let Self::Unmade(plan) = self {
            match make(plan, control) {
                Ok((made, step)) => {
                    *self = Self::Made(Box::new(made));
                    if let Some(step) = step {
                        return step;
                    }
                }
                Err(failure) => *self = Self::Failed(failure),
            }
        }
        let Self::Made(made) = self else { return Step::Stopped };
        let step = loop {
            control.arm_slice(Some(TIME_SLICE));
            let step = made.sandbox.run();
            control.arm_slice(None);
            // Nobody waits for the runner: no need to give it up.
            if step != Step::Preempted || Executor::is_contended() {
                break step;
            }
        };
        if step == Step::Ready
            && let Some(config) = made.initialising.take()
            && let Err(error) = keep(config, &mut made.sandbox)
        {
            *self = Self::Failed(error.failure());
            return Step::Stopped;
        }
        step
    }

    fn phase(&self) -> Phase {
        match self {
            Self::Made(made) => phase_after(&made.sandbox),
            _ => Phase::Idle,
        }
    }

    /// The report on something that only a sandbox can do.
    fn refuse(&self, operation: &'static str) -> (Report, Phase) {
        let failure = match self {
            Self::Failed(failure) => failure.clone(),
            _ => CallError::State { state: "not running", operation }.failure(),
        };
        (Report::Refused(failure), Phase::Idle)
    }
}

/// The phase that a sandbox is in when nobody runs it.
pub(crate) const fn phase_after(sandbox: &Sandbox) -> Phase {
    match sandbox.state() {
        State::Waiting(_) => Phase::Parked,
        _ => Phase::Idle,
    }
}

/// Makes a sandbox: a ready one with its first step, or one that has begun to initialise.
fn make(plan: &Plan, control: &Control) -> Result<(Made, Option<Step>), Failure> {
    let (snapshot, limits) = match &plan.source {
        Source::Snapshot(snapshot, limits) => (snapshot.clone(), *limits),
        Source::Guest(config) => match initialised::find(config) {
            Some(snapshot) => (snapshot, config.limits),
            None => {
                let sandbox = Sandbox::create(config, control.clone(), providers());
                let mut sandbox = sandbox.map_err(|error| error.failure())?;
                let begun =
                    sandbox.begin_traced_start(plan.start.budget, plan.start.trace.as_ref());
                begun.map_err(|error| error.failure())?;
                sandbox.set_restores_after_calls(plan.restores_after_calls);
                return Ok((Made { sandbox, initialising: Some(config.clone()) }, None));
            }
        },
    };
    let sandbox = Sandbox::from_snapshot(&snapshot, control.clone(), providers());
    let mut sandbox = sandbox.map_err(|error| error.failure())?;
    sandbox.set_limits(limits);
    sandbox.set_restores_after_calls(plan.restores_after_calls);
    let step = sandbox.begin_ready();
    Ok((Made { sandbox, initialising: None }, Some(step)))
}

/// Takes the state of a guest that has become ready: it is what its sandbox goes back to, and where
/// the next one begins. A guest that has read standard input is not like any other and not kept.
fn keep(config: Config, sandbox: &mut Sandbox) -> Result<(), SnapshotError> {
    let known = if sandbox.has_read_input() { None } else { initialised::find(&config) };
    let snapshot = match known {
        Some(snapshot) => {
            sandbox.enter(&snapshot)?;
            snapshot
        }
        None => {
            let snapshot = sandbox.snapshot()?;
            if !sandbox.has_read_input() {
                initialised::insert(config, &snapshot);
            }
            snapshot
        }
    };
    sandbox.set_origin(snapshot);
    Ok(())
}
