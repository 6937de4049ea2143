//! The handle of a sandbox: whoever owns it drives it on its own thread or has the executor drive it.

mod turn;

use crate::executor::Executor;
use crate::job::{Job, Plan, Report, Source, Start};
use crate::phase::{Held, Operation, Phase, PhaseMachine, Refusal, Thread, Todo};
use crate::providers::providers;
use crate::slot::{Slot, phase_after};
use ampoule_sandbox::{
    Budget, CALLER_SLICE, CallError, CallTrace, Config, Control, Failure, Limits, Resumption,
    Sandbox, Snapshot, Step, StopRequest, Waker,
};
use parking_lot::Mutex;
use std::fmt;
use std::sync::{Arc, Weak};

/// Whose thread a guest runs on.
pub trait Caller {
    /// Whether nobody will ever take the result: the thread is being ended from elsewhere.
    fn is_gone(&self) -> bool;
}

/// Calls of a thread that nobody ends.
impl Caller for () {
    fn is_gone(&self) -> bool {
        false
    }
}

/// A sandbox with whatever drives it.
///
/// Work is handed over by *phase*: only the holder of the [`Phase::Running`] phase touches the
/// sandbox, so the owner's thread never waits for a running guest. Stopping goes through
/// [`Control`], which works in every phase.
pub struct Driver {
    control: Control,
    phases: Mutex<PhaseMachine<Job, Report>>,
    slot: Mutex<Slot>,
    /// Told on a runner thread that [`Driver::take_step`] has something.
    on_step: Box<dyn Fn() + Send + Sync>,
    myself: Weak<Driver>,
}

impl Driver {
    /// A sandbox to be made, its guest initialised unless this process has done that before.
    /// `on_step` is called on a runner thread whenever a report is there; it must not block.
    #[must_use]
    pub fn new(config: Config, on_step: Box<dyn Fn() + Send + Sync>) -> Arc<Self> {
        Self::unmade(Source::Guest(config), on_step)
    }

    /// A sandbox to be made from a snapshot, with limits of its own.
    #[must_use]
    pub fn from_snapshot(
        snapshot: Snapshot,
        limits: Limits,
        on_step: Box<dyn Fn() + Send + Sync>,
    ) -> Arc<Self> {
        Self::unmade(Source::Snapshot(snapshot, limits), on_step)
    }

    fn unmade(source: Source, on_step: Box<dyn Fn() + Send + Sync>) -> Arc<Self> {
        let plan = Plan { source, restores_after_calls: false, start: Start::default() };
        let driver = Arc::new_cyclic(|myself| Self {
            control: providers().control(),
            phases: Mutex::new(PhaseMachine::new()),
            slot: Mutex::new(Slot::Unmade(Box::new(plan))),
            on_step,
            myself: Weak::clone(myself),
        });
        let waker: Weak<dyn Waker> = driver.myself.clone();
        driver.control.attach_waker(waker);
        driver
    }

    /// Restores the sandbox after every call; to be said before [`Self::start`].
    pub fn restore_after_calls(&self) {
        if let Slot::Unmade(plan) = &mut *self.slot.lock() {
            plan.restores_after_calls = true;
        }
    }

    /// Stops the sandbox from any thread.
    #[must_use]
    pub const fn control(&self) -> &Control {
        &self.control
    }

    /// The current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phases.lock().phase()
    }

    /// Makes and starts the sandbox on a runner: [`Step::Ready`], [`Step::Stopped`], or what the
    /// start needs.
    ///
    /// # Errors
    /// [`CallError::State`] when that was done before.
    pub fn start(&self, within: Budget) -> Result<(), CallError> {
        self.start_traced(within, None)
    }

    /// [`Self::start`], and what the guest tells while it initialises is followed, if it does: a sandbox that
    /// begins as an image or a snapshot does not.
    ///
    /// # Errors
    /// [`CallError::State`] when that was done before.
    pub fn start_traced(&self, budget: Budget, trace: Option<CallTrace>) -> Result<(), CallError> {
        let held = self.claim(Operation::Start, Thread::Runners)?;
        let begun = match &mut *self.slot.lock() {
            Slot::Unmade(plan) => {
                plan.start = Start { budget, trace };
                Ok(())
            }
            _ => Err(CallError::State { state: "started", operation: "start again" }),
        };
        self.submit(held, begun, Job::Run)
    }

    /// Begins a call and hands it to a runner. The arguments are copied before this returns.
    ///
    /// # Errors
    /// [`CallError`]; nothing has happened then.
    pub fn call(
        &self,
        function: u32,
        arguments: &[u8],
        budget: Budget,
        trace: Option<&CallTrace>,
    ) -> Result<(), CallError> {
        let held = self.claim(Operation::Call, Thread::Runners)?;
        self.control.set_on_callers_thread(false);
        let begun =
            self.sandbox(|sandbox| sandbox.begin_traced_call(function, arguments, budget, trace));
        self.submit(held, begun, Job::Run)
    }

    /// Resumes a parked sandbox on a runner. A sandbox that was stopped meanwhile takes no notice.
    ///
    /// # Errors
    /// [`CallError`]; the sandbox is still parked then.
    pub fn resume(&self, resumption: Resumption<'_>) -> Result<(), CallError> {
        let Ok(held) = self.claim(Operation::Resume, Thread::Runners) else { return Ok(()) };
        let resumed = self.sandbox(|sandbox| sandbox.resume(resumption));
        self.submit(held, resumed, Job::Run)
    }

    /// Takes the state of the ready sandbox, on a runner: [`Report::Snapshot`] or [`Report::Refused`].
    ///
    /// # Errors
    /// [`CallError::State`] while something else is going on.
    pub fn snapshot(&self) -> Result<(), CallError> {
        let held = self.claim(Operation::Snapshot, Thread::Runners)?;
        self.submit(held, Ok(()), Job::Snapshot)
    }

    /// Goes back to `to`, by default to what the sandbox was made from, on a runner:
    /// [`Report::Restored`] or [`Report::Refused`].
    ///
    /// # Errors
    /// [`CallError::State`] while something else is going on.
    pub fn restore(&self, to: Option<Snapshot>) -> Result<(), CallError> {
        let held = self.claim(Operation::Restore, Thread::Runners)?;
        self.submit(held, Ok(()), Job::Restore(to))
    }

    /// [`Self::restore`] on the calling thread.
    ///
    /// # Errors
    /// Why it was not possible. The sandbox may be broken then.
    pub fn restore_here(&self, to: Option<&Snapshot>) -> Result<(), Failure> {
        let held = self.claim(Operation::Restore, Thread::Owners);
        let held = held.map_err(|error| error.failure())?;
        let (report, phase) = self.slot.lock().restore(to);
        self.leave(held, phase);
        match report {
            Report::Refused(failure) => Err(failure),
            _ => Ok(()),
        }
    }

    /// Whether [`Self::restore_here`] would keep the calling thread for microseconds only.
    #[must_use]
    pub fn restores_cheaply(&self, to: Option<&Snapshot>) -> bool {
        self.inspect(|sandbox| sandbox.restores_cheaply(to)).unwrap_or(false)
    }

    /// Calls on the calling thread, up to the next step.
    ///
    /// # Errors
    /// [`CallError`]; nothing has happened then.
    pub fn call_here(
        &self,
        function: u32,
        arguments: &[u8],
        budget: Budget,
        trace: Option<&CallTrace>,
        caller: &dyn Caller,
    ) -> Result<Step, CallError> {
        let held = self.claim(Operation::Call, Thread::Owners)?;
        self.control.set_on_callers_thread(true);
        self.run_here(held, caller, |sandbox| {
            sandbox.begin_traced_call(function, arguments, budget, trace)
        })
    }

    /// Resumes on the calling thread, up to the next step.
    ///
    /// # Errors
    /// [`CallError`]; the sandbox is still parked then.
    pub fn resume_here(
        &self,
        resumption: Resumption<'_>,
        caller: &dyn Caller,
    ) -> Result<Step, CallError> {
        let held = self.claim(Operation::Resume, Thread::Owners)?;
        self.run_here(held, caller, |sandbox| sandbox.resume(resumption))
    }

    /// What `on_step` announced, once.
    #[must_use]
    pub fn take_step(&self) -> Option<Report> {
        self.phases.lock().take_report()
    }

    /// Looks at the sandbox, unless it is running, not made yet, or gone.
    pub fn inspect<T>(&self, look: impl FnOnce(&mut Sandbox) -> T) -> Option<T> {
        match &mut *self.slot.try_lock()? {
            Slot::Made(made) => Some(look(&mut made.sandbox)),
            Slot::Unmade(_) | Slot::Failed(_) | Slot::Gone => None,
        }
    }

    /// Why the sandbox, or its last call, stopped, or why it could not be made, if that is so.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match &*self.slot.try_lock()? {
            Slot::Failed(failure) => Some(failure.clone()),
            Slot::Made(made) => made.sandbox.failure(),
            Slot::Unmade(_) | Slot::Gone => None,
        }
    }

    /// Ends the sandbox and frees it on a runner, whatever it is doing. `on_step` is told when it is
    /// gone. Idempotent; never blocks.
    pub fn close(&self) {
        let is_news = self.phases.lock().close();
        if is_news {
            self.control.stop(StopRequest::Closed);
            self.wake();
        }
    }

    fn claim(&self, operation: Operation, thread: Thread) -> Result<Held, CallError> {
        let claimed = self.phases.lock().claim(operation, thread);
        claimed.map_err(|Refusal { state, operation }| CallError::State { state, operation })
    }

    fn sandbox<T>(
        &self,
        act: impl FnOnce(&mut Sandbox) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        match &mut *self.slot.lock() {
            Slot::Made(made) => act(&mut made.sandbox),
            Slot::Unmade(_) | Slot::Failed(_) | Slot::Gone => {
                Err(CallError::State { state: "not running", operation: "be called" })
            }
        }
    }

    /// Queues `job` if it was begun; otherwise nothing has happened.
    fn submit(&self, held: Held, begun: Result<(), CallError>, job: Job) -> Result<(), CallError> {
        if begun.is_ok() {
            let todo = self.phases.lock().accept(held, job);
            self.follow(todo);
        } else {
            let origin = held.origin();
            self.leave(held, origin);
        }
        begun
    }

    fn run_here(
        &self,
        held: Held,
        caller: &dyn Caller,
        begin: impl FnOnce(&mut Sandbox) -> Result<(), CallError>,
    ) -> Result<Step, CallError> {
        let ran = self.sandbox(|sandbox| {
            begin(sandbox)?;
            let step = loop {
                let step = sandbox.run();
                if step != Step::Preempted {
                    break step;
                }
                if caller.is_gone() {
                    self.control.stop(StopRequest::Killed);
                }
                self.control.arm_slice(Some(CALLER_SLICE));
            };
            Ok((step, phase_after(sandbox)))
        });
        let to = ran.as_ref().map_or(held.origin(), |&(_, phase)| phase);
        self.leave(held, to);
        ran.map(|(step, _)| step)
    }

    /// Leaves the running phase on the owner's thread. What was asked for meanwhile is done now.
    fn leave(&self, held: Held, to: Phase) {
        let todo = {
            let mut phases = self.phases.lock();
            phases.leave(held, to, self.control.stop_is_pending())
        };
        self.follow(todo);
    }

    fn follow(&self, todo: Todo) {
        if let Todo::Enqueue { affinity } = todo
            && let Some(myself) = self.myself.upgrade()
        {
            Executor::enqueue(myself, affinity);
        }
    }
}

impl Waker for Driver {
    /// Gives a sandbox that nobody runs a turn if it was asked to stop, so that it ends now.
    fn wake(&self) {
        let todo = {
            let mut phases = self.phases.lock();
            phases.wake(self.control.stop_is_pending())
        };
        self.follow(todo);
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Driver").field("phase", &self.phase()).finish_non_exhaustive()
    }
}
