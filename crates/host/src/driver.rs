//! Who drives a sandbox: the calling thread, or a few runner threads that share a queue.

mod slot;

use crate::cache::{initialised, recycled};
use crate::executor::Executor;
use crate::providers::providers;
use ampoule_sandbox::{
    Budget, CALLER_SLICE, CallError, CallTrace, Config, Control, Failure, Limits, Resumption,
    Sandbox, Snapshot, SnapshotError, Step, Stop, StopRequest, Waker,
};
use parking_lot::Mutex;
use slot::{Made, Slot, phase_after, restore};
pub(crate) use slot::{Source, Start};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long a guest computes on a runner while others wait. Long against the cost of a kick (tens of
/// microseconds), short against what a person notices.
const TIME_SLICE: Duration = Duration::from_millis(10);

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
    phase: Mutex<PhaseState>,
    slot: Mutex<Slot>,
    restores_after_calls: AtomicBool,
    /// Told on a runner thread that [`Driver::take_step`] has something.
    on_step: Box<dyn Fn() + Send + Sync>,
    myself: Weak<Driver>,
}

/// Who may touch a sandbox now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

struct PhaseState {
    phase: Phase,
    /// The owner drives it on its own thread and comes back by itself when it is parked.
    here: bool,
    /// The owner wants it gone.
    closing: bool,
    /// What the runner is to do in its turn.
    job: Job,
    /// The runner whose turn was the last.
    home: Option<usize>,
    /// The last word of a runner that the owner has not taken yet.
    report: Option<Report>,
}

impl PhaseState {
    const fn new() -> Self {
        Self {
            phase: Phase::Idle,
            here: false,
            closing: false,
            job: Job::Run,
            home: None,
            report: None,
        }
    }
}

/// What a runner has to do.
#[derive(Debug)]
enum Job {
    /// Make the sandbox, if it is not made, and run it up to the next step.
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
    /// A snapshot was not taken, or a restore failed. [`Driver::inspect`] tells the sandbox's state.
    Refused(Failure),
    /// The sandbox is gone.
    Closed,
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
        let driver = Arc::new_cyclic(|myself| Self {
            control: providers().control(),
            phase: Mutex::new(PhaseState::new()),
            slot: Mutex::new(Slot::Unmade(Box::new(source), Start::default())),
            restores_after_calls: AtomicBool::new(false),
            on_step,
            myself: Weak::clone(myself),
        });
        let waker: Weak<dyn Waker> = driver.myself.clone();
        driver.control.attach_waker(waker);
        driver
    }

    /// Restores the sandbox after every call; to be said before [`Self::start`].
    pub fn restore_after_calls(&self) {
        self.restores_after_calls.store(true, Ordering::Relaxed);
    }

    /// Stops the sandbox from any thread.
    #[must_use]
    pub const fn control(&self) -> &Control {
        &self.control
    }

    /// The current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.lock().phase
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
        self.claim(Phase::Idle, false, "start")?;
        let accepted = match &mut *self.slot.lock() {
            Slot::Unmade(_, start) => {
                *start = Start { budget, trace };
                Ok(())
            }
            _ => Err(CallError::State { state: "started", operation: "start again" }),
        };
        self.submit(accepted, Job::Run, Phase::Idle)
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
        self.claim(Phase::Idle, false, "be called")?;
        self.control.set_on_callers_thread(false);
        let begun =
            self.sandbox(|sandbox| sandbox.begin_traced_call(function, arguments, budget, trace));
        self.submit(begun, Job::Run, Phase::Idle)
    }

    /// Resumes a parked sandbox on a runner. A sandbox that was stopped meanwhile takes no notice.
    ///
    /// # Errors
    /// [`CallError`]; the sandbox is still parked then.
    pub fn resume(&self, resumption: Resumption<'_>) -> Result<(), CallError> {
        if self.claim(Phase::Parked, false, "be resumed").is_err() {
            return Ok(());
        }
        let resumed = self.sandbox(|sandbox| sandbox.resume(resumption));
        self.submit(resumed, Job::Run, Phase::Parked)
    }

    /// Takes the state of the ready sandbox, on a runner: [`Report::Snapshot`] or [`Report::Refused`].
    ///
    /// # Errors
    /// [`CallError::State`] while something else is going on.
    pub fn snapshot(&self) -> Result<(), CallError> {
        self.claim(Phase::Idle, false, "be snapshotted")?;
        self.submit(Ok(()), Job::Snapshot, Phase::Idle)
    }

    /// Goes back to `to`, by default to what the sandbox was made from, on a runner:
    /// [`Report::Restored`] or [`Report::Refused`].
    ///
    /// # Errors
    /// [`CallError::State`] while something else is going on.
    pub fn restore(&self, to: Option<Snapshot>) -> Result<(), CallError> {
        let from = self.claim_to_restore(false)?;
        self.submit(Ok(()), Job::Restore(to), from)
    }

    /// [`Self::restore`] on the calling thread.
    ///
    /// # Errors
    /// Why it was not possible. The sandbox may be broken then.
    pub fn restore_here(&self, to: Option<&Snapshot>) -> Result<(), Failure> {
        self.claim_to_restore(true).map_err(|error| error.failure())?;
        let (report, phase) = restore(&mut self.slot.lock(), to);
        self.release(phase);
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
        self.claim(Phase::Idle, true, "be called")?;
        self.control.set_on_callers_thread(true);
        self.run_here(Phase::Idle, caller, |sandbox| {
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
        self.claim(Phase::Parked, true, "be resumed")?;
        self.run_here(Phase::Parked, caller, |sandbox| sandbox.resume(resumption))
    }

    /// What `on_step` announced, once.
    #[must_use]
    pub fn take_step(&self) -> Option<Report> {
        self.phase.lock().report.take()
    }

    /// Looks at the sandbox, unless it is running, not made yet, or gone.
    pub fn inspect<T>(&self, look: impl FnOnce(&mut Sandbox) -> T) -> Option<T> {
        match &mut *self.slot.try_lock()? {
            Slot::Made(made) => Some(look(&mut made.sandbox)),
            Slot::Unmade(..) | Slot::Failed(_) | Slot::Gone => None,
        }
    }

    /// Why the sandbox, or its last call, stopped, or why it could not be made, if that is so.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match &*self.slot.try_lock()? {
            Slot::Failed(failure) => Some(failure.clone()),
            Slot::Made(made) => made.sandbox.failure(),
            Slot::Unmade(..) | Slot::Gone => None,
        }
    }

    /// Ends the sandbox and frees it on a runner, whatever it is doing. `on_step` is told when it is
    /// gone. Idempotent; never blocks.
    pub fn close(&self) {
        {
            let mut state = self.phase.lock();
            if state.closing {
                return;
            }
            state.closing = true;
        }
        self.control.stop(StopRequest::Closed);
        self.wake();
    }

    /// Takes the running phase, if the sandbox is in phase `from`.
    fn claim(&self, from: Phase, here: bool, operation: &'static str) -> Result<(), CallError> {
        let mut state = self.phase.lock();
        if state.phase != from || state.closing {
            let state = if state.closing { "closed" } else { state.phase.word() };
            return Err(CallError::State { state, operation });
        }
        state.phase = Phase::Running;
        state.here = here;
        Ok(())
    }

    /// Takes the running phase for a restore, which may cut a call short that waits for its owner.
    fn claim_to_restore(&self, here: bool) -> Result<Phase, CallError> {
        let operation = "be restored";
        let parked = self.claim(Phase::Parked, here, operation).map(|()| Phase::Parked);
        parked.or_else(|_| self.claim(Phase::Idle, here, operation).map(|()| Phase::Idle))
    }

    fn sandbox<T>(
        &self,
        act: impl FnOnce(&mut Sandbox) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        match &mut *self.slot.lock() {
            Slot::Made(made) => act(&mut made.sandbox),
            Slot::Unmade(..) | Slot::Failed(_) | Slot::Gone => {
                Err(CallError::State { state: "not running", operation: "be called" })
            }
        }
    }

    /// Queues work that was accepted; otherwise goes back to phase `from`.
    fn submit(
        &self,
        accepted: Result<(), CallError>,
        job: Job,
        from: Phase,
    ) -> Result<(), CallError> {
        match accepted {
            Ok(()) => {
                {
                    let mut state = self.phase.lock();
                    state.phase = Phase::Queued;
                    state.job = job;
                }
                self.enqueue();
                Ok(())
            }
            Err(error) => {
                self.release(from);
                Err(error)
            }
        }
    }

    fn run_here(
        &self,
        from: Phase,
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
        self.release(ran.as_ref().map_or(from, |&(_, phase)| phase));
        ran.map(|(step, _)| step)
    }

    /// Leaves the running phase. What was asked for meanwhile is done now.
    fn release(&self, to: Phase) {
        self.phase.lock().phase = to;
        self.wake();
    }

    fn enqueue(&self) {
        if let Some(myself) = self.myself.upgrade() {
            let home = self.phase.lock().home;
            Executor::enqueue(myself, home);
        }
    }

    /// One turn on this runner.
    pub(crate) fn turn(&self, runner: usize) {
        let (closing, job) = {
            let mut state = self.phase.lock();
            state.phase = Phase::Running;
            state.home = Some(runner);
            (state.closing, std::mem::replace(&mut state.job, Job::Run))
        };
        if closing {
            // Ended outside the lock: freeing a VM takes most of a millisecond.
            let gone = std::mem::replace(&mut *self.slot.lock(), Slot::Gone);
            if let Slot::Made(made) = gone
                && let Some(vm) = made.sandbox.retire()
            {
                recycled::keep(vm);
            }
            self.report(Report::Closed, Phase::Closed);
            return;
        }
        let ran = catch_unwind(AssertUnwindSafe(|| self.work(job)));
        let (report, phase) = ran.unwrap_or_else(|_| {
            // A defect of ours must cost one sandbox, not the runner and everybody's calls.
            let message = "an internal error of Ampoule; please report it".to_owned();
            let failure = Stop::Hypervisor { message }.failure();
            *self.slot.lock() = Slot::Failed(failure);
            (Report::Step(Step::Stopped), Phase::Idle)
        });
        if matches!(report, Report::Step(Step::Preempted)) {
            self.phase.lock().phase = Phase::Queued;
            self.enqueue();
        } else {
            self.report(report, phase);
        }
    }

    fn work(&self, job: Job) -> (Report, Phase) {
        let mut slot = self.slot.lock();
        match job {
            Job::Run => {
                let step = self.advance(&mut slot);
                (Report::Step(step), slot.phase())
            }
            Job::Snapshot => match &mut *slot {
                Slot::Made(made) => {
                    let taken = made.sandbox.snapshot();
                    let refused = |error: SnapshotError| Report::Refused(error.failure());
                    (taken.map_or_else(refused, Report::Snapshot), slot.phase())
                }
                _ => slot.refuse("be snapshotted"),
            },
            Job::Restore(to) => restore(&mut slot, to.as_ref()),
        }
    }

    fn advance(&self, slot: &mut Slot) -> Step {
        if let Slot::Unmade(source, start) = slot {
            match initialised::make(source, start, &self.control) {
                Ok((mut sandbox, initialising)) => {
                    let restores = self.restores_after_calls.load(Ordering::Relaxed);
                    sandbox.set_restores_after_calls(restores);
                    let is_new = initialising.is_some();
                    let step = if is_new { None } else { Some(sandbox.begin_ready()) };
                    *slot = Slot::Made(Box::new(Made { sandbox, initialising }));
                    if let Some(step) = step {
                        return step;
                    }
                }
                Err(failure) => *slot = Slot::Failed(failure),
            }
        }
        let Slot::Made(made) = slot else { return Step::Stopped };
        let step = loop {
            self.control.arm_slice(Some(TIME_SLICE));
            let step = made.sandbox.run();
            self.control.arm_slice(None);
            // Nobody waits for the runner: no need to give it up.
            if step != Step::Preempted || Executor::is_contended() {
                break step;
            }
        };
        if step == Step::Ready
            && let Some(config) = made.initialising.take()
            && let Err(error) = initialised::keep(config, &mut made.sandbox)
        {
            *slot = Slot::Failed(error.failure());
            return Step::Stopped;
        }
        step
    }

    fn report(&self, report: Report, phase: Phase) {
        Executor::finishes();
        {
            // Together, so that the owner can act on the report as soon as it hears of it.
            let mut state = self.phase.lock();
            state.report = Some(report);
            state.phase = phase;
        }
        (self.on_step)();
        self.wake();
    }
}

impl Waker for Driver {
    /// Gives a sandbox that nobody runs a turn if it was asked to stop, so that it ends now.
    fn wake(&self) {
        {
            let mut state = self.phase.lock();
            let due = match state.phase {
                Phase::Parked => state.closing || !state.here && self.control.stop_is_pending(),
                Phase::Idle => state.closing,
                Phase::Queued | Phase::Running | Phase::Closed => false,
            };
            if !due {
                return;
            }
            state.phase = Phase::Queued;
        }
        self.enqueue();
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

impl fmt::Debug for Driver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Driver").field("phase", &self.phase()).finish_non_exhaustive()
    }
}
