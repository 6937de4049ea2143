//! Who drives a sandbox: the calling thread, or a few runner threads that share a queue.

use crate::config::{Budget, Config};
use crate::control::{Control, StopRequest, Waker};
use crate::error::{CallError, Failure};
use crate::sandbox::{Resumption, Sandbox, State, Step};
use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// How long a guest computes on a runner while others wait. Long against the cost of a kick (tens of
/// microseconds), short against what a person notices.
const TIME_SLICE: Duration = Duration::from_millis(10);

/// A sandbox with whatever drives it.
///
/// Work is handed over by *phase*: only the holder of the [`Phase::Running`] phase touches the
/// sandbox, so the owner's thread never waits for a running guest. Stopping goes through
/// [`Control`], which works in every phase.
pub struct Driven {
    control: Control,
    phase: Mutex<PhaseState>,
    slot: Mutex<Slot>,
    /// Told on a runner thread that [`Driven::take_step`] has something.
    on_step: Box<dyn Fn() + Send + Sync>,
    myself: Weak<Driven>,
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
    /// The last step of a runner that the owner has not taken yet.
    step: Option<Report>,
}

impl PhaseState {
    const fn new() -> Self {
        Self { phase: Phase::Idle, here: false, closing: false, step: None }
    }
}

/// What a runner has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    Step(Step),
    Closed,
}

enum Slot {
    /// To be made by a runner, then started within the budget.
    Unmade(Box<Config>, Budget),
    Made(Box<Sandbox>),
    /// It could not be made.
    Failed(Failure),
    Gone,
}

impl Driven {
    /// A sandbox to be made. `on_step` is called on a runner thread whenever a step is there; it
    /// must not block.
    #[must_use]
    pub fn new(config: Config, on_step: Box<dyn Fn() + Send + Sync>) -> Arc<Self> {
        let driven = Arc::new_cyclic(|myself| Self {
            control: Control::new(),
            phase: Mutex::new(PhaseState::new()),
            slot: Mutex::new(Slot::Unmade(Box::new(config), Budget::default())),
            on_step,
            myself: Weak::clone(myself),
        });
        let waker: Weak<dyn Waker> = driven.myself.clone();
        driven.control.attach_waker(waker);
        driven
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
        self.claim(Phase::Idle, false, "start")?;
        let accepted = match &mut *self.slot.lock() {
            Slot::Unmade(_, budget) => {
                *budget = within;
                Ok(())
            }
            _ => Err(CallError::State { state: "started", operation: "start again" }),
        };
        self.submit(accepted, Phase::Idle)
    }

    /// Begins a call and hands it to a runner. The arguments are copied before this returns.
    ///
    /// # Errors
    /// [`CallError`]; nothing has happened then.
    pub fn call(&self, function: u32, arguments: &[u8], budget: Budget) -> Result<(), CallError> {
        self.claim(Phase::Idle, false, "be called")?;
        let begun = self.sandbox(|sandbox| sandbox.begin_call(function, arguments, budget));
        self.submit(begun, Phase::Idle)
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
        self.submit(resumed, Phase::Parked)
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
    ) -> Result<Step, CallError> {
        self.claim(Phase::Idle, true, "be called")?;
        self.run_here(Phase::Idle, |sandbox| sandbox.begin_call(function, arguments, budget))
    }

    /// Resumes on the calling thread, up to the next step.
    ///
    /// # Errors
    /// [`CallError`]; the sandbox is still parked then.
    pub fn resume_here(&self, resumption: Resumption<'_>) -> Result<Step, CallError> {
        self.claim(Phase::Parked, true, "be resumed")?;
        self.run_here(Phase::Parked, |sandbox| sandbox.resume(resumption))
    }

    /// The step that `on_step` announced, once. [`None`] when there is none; the inner [`None`]
    /// says that the sandbox is closed.
    #[must_use]
    pub fn take_step(&self) -> Option<Option<Step>> {
        self.phase.lock().step.take().map(|report| match report {
            Report::Step(step) => Some(step),
            Report::Closed => None,
        })
    }

    /// Looks at the sandbox, unless it is running, not made yet, or gone.
    pub fn inspect<T>(&self, look: impl FnOnce(&mut Sandbox) -> T) -> Option<T> {
        match &mut *self.slot.try_lock()? {
            Slot::Made(sandbox) => Some(look(sandbox)),
            Slot::Unmade(..) | Slot::Failed(_) | Slot::Gone => None,
        }
    }

    /// Why the sandbox stopped or could not be made, if that is so.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match &*self.slot.try_lock()? {
            Slot::Failed(failure) => Some(failure.clone()),
            Slot::Made(sandbox) => match sandbox.state() {
                State::Poisoned(stop) => Some(stop.failure()),
                _ => None,
            },
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

    fn sandbox<T>(
        &self,
        act: impl FnOnce(&mut Sandbox) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        match &mut *self.slot.lock() {
            Slot::Made(sandbox) => act(sandbox),
            Slot::Unmade(..) | Slot::Failed(_) | Slot::Gone => {
                Err(CallError::State { state: "not running", operation: "be called" })
            }
        }
    }

    /// Queues work that was accepted; otherwise goes back to phase `from`.
    fn submit(&self, accepted: Result<(), CallError>, from: Phase) -> Result<(), CallError> {
        match accepted {
            Ok(()) => {
                self.phase.lock().phase = Phase::Queued;
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
        begin: impl FnOnce(&mut Sandbox) -> Result<(), CallError>,
    ) -> Result<Step, CallError> {
        let ran = self.sandbox(|sandbox| {
            begin(sandbox)?;
            Ok((sandbox.run(), Self::phase_after(sandbox)))
        });
        self.release(ran.as_ref().map_or(from, |&(_, phase)| phase));
        ran.map(|(step, _)| step)
    }

    /// Leaves the running phase. What was asked for meanwhile is done now.
    fn release(&self, to: Phase) {
        self.phase.lock().phase = to;
        self.wake();
    }

    const fn phase_after(sandbox: &Sandbox) -> Phase {
        match sandbox.state() {
            State::Waiting(_) => Phase::Parked,
            _ => Phase::Idle,
        }
    }

    fn enqueue(&self) {
        if let Some(myself) = self.myself.upgrade() {
            // The receiving ends live as long as the process.
            let _ = Executor::get().queue.send(myself);
        }
    }

    /// One turn on a runner.
    fn turn(&self) {
        let closing = {
            let mut state = self.phase.lock();
            state.phase = Phase::Running;
            state.closing
        };
        if closing {
            // Dropped outside the lock: freeing a VM takes most of a millisecond.
            let gone = std::mem::replace(&mut *self.slot.lock(), Slot::Gone);
            drop(gone);
            self.report(Report::Closed, Phase::Closed);
            return;
        }
        let ran = catch_unwind(AssertUnwindSafe(|| self.advance()));
        let (step, phase) = ran.unwrap_or_else(|_| {
            // A defect of ours must cost one sandbox, not the runner and everybody's calls.
            let message = "an internal error of Ampoule; please report it".to_owned();
            let failure = crate::stop::Stop::Hypervisor { message }.failure();
            *self.slot.lock() = Slot::Failed(failure);
            (Step::Stopped, Phase::Idle)
        });
        if step == Step::Preempted {
            self.phase.lock().phase = Phase::Queued;
            self.enqueue();
        } else {
            self.report(Report::Step(step), phase);
        }
    }

    fn advance(&self) -> (Step, Phase) {
        let mut slot = self.slot.lock();
        if let Slot::Unmade(config, budget) = &*slot {
            let budget = *budget;
            *slot = match Sandbox::create(config, self.control.clone()) {
                Ok(mut sandbox) => {
                    // A new sandbox always accepts its start.
                    let _ = sandbox.begin_start(budget);
                    Slot::Made(Box::new(sandbox))
                }
                Err(error) => Slot::Failed(error.failure()),
            };
        }
        match &mut *slot {
            Slot::Made(sandbox) => loop {
                self.control.arm_slice(Some(TIME_SLICE));
                let step = sandbox.run();
                self.control.arm_slice(None);
                // Nobody waits for the runner: no need to give it up.
                if step != Step::Preempted || !Executor::get().queue.is_empty() {
                    break (step, Self::phase_after(sandbox));
                }
            },
            Slot::Unmade(..) | Slot::Failed(_) | Slot::Gone => (Step::Stopped, Phase::Idle),
        }
    }

    fn report(&self, report: Report, phase: Phase) {
        {
            // Together, so that the owner can act on the step as soon as it hears of it.
            let mut state = self.phase.lock();
            state.step = Some(report);
            state.phase = phase;
        }
        (self.on_step)();
        self.wake();
    }
}

impl Waker for Driven {
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

impl fmt::Debug for Driven {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Driven").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

/// The process's runner threads.
struct Executor {
    queue: Sender<Arc<Driven>>,
}

impl Executor {
    /// The executor, its threads started at the first use: one for each CPU.
    fn get() -> &'static Self {
        static EXECUTOR: OnceLock<Executor> = OnceLock::new();
        EXECUTOR.get_or_init(|| {
            let (queue, work) = crossbeam_channel::unbounded();
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            for _ in 0..threads {
                let work: Receiver<Arc<Driven>> = work.clone();
                // Without any thread nothing would run; with some, the rest does with fewer.
                let _ =
                    std::thread::Builder::new().name("ampoule-runner".into()).spawn(move || {
                        for driven in work {
                            driven.turn();
                        }
                    });
            }
            Self { queue }
        })
    }
}
