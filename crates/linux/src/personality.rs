//! One guest's Linux, and the way from a system call to its handler.

use crate::answer::{Answer, Reply, Termination};
use crate::calls::call::Call;
use crate::calls::table::counts::{Counts, SystemCallCount};
use crate::calls::table::entry::{Treatment, Work};
use crate::calls::table::lookup;
use crate::errno::Errno;
use crate::guest::low_half;
use crate::kernel::Kernel;
use crate::kernel::clock::Clock;
use crate::kernel::random::Random;
use crate::kernel::scheduler::{Next, Scheduler};
use crate::task::Task;
use crate::task::blocked::BlockedOn;
use crate::task::registers::SystemCall;
use crate::vfs::files::OutputStream;
use ampoule_memory::AddressSpace;
use std::sync::Arc;

/// One guest's Linux: plain data, a function of its start, the input it was given and its clock.
///
/// Nothing in here refers to a file, socket, process or memory of the host. A clone continues on
/// its own from the same state, its random generator too; [`Personality::fork`] gives it another.
#[derive(Debug, Clone)]
pub struct Personality {
    pub(crate) scheduler: Scheduler,
    pub(crate) kernel: Kernel,
    counts: Counts,
}

impl Personality {
    /// A program of one task.
    pub(crate) fn new(task: Task, kernel: Kernel) -> Self {
        Self { scheduler: Scheduler::new(task), kernel, counts: Counts::default() }
    }

    /// Answers a system call of the task that runs. See [`Answer`] for what the caller does then.
    ///
    /// Work is bounded: a call whose size the guest chooses does a portion ([`ampoule_memory::PORTION`]) and
    /// answers [`Answer::Again`]. A call of which several portions are made is counted once.
    pub fn system_call(&mut self, space: &mut AddressSpace, call: &SystemCall) -> Answer {
        self.scheduler.running_mut().finish();
        match self.look(space) {
            Some(ending) => Answer::End(ending),
            None => self.answer(space, call),
        }
    }

    /// Goes on with the call whose answer was parked; [`None`] when there is none, and the guest is to run.
    pub fn go_on(&mut self, space: &mut AddressSpace) -> Option<Answer> {
        let call = self.scheduler.running().call()?;
        if let Some(ending) = self.look(space) {
            return Some(Answer::End(ending));
        }
        if self.scheduler.running().blocked_on.is_some()
            && let Some(answer) = self.what_to_wait_for()
        {
            return Some(self.settle(&call, answer));
        }
        let call = self.scheduler.running().call()?;
        Some(self.answer(space, &call))
    }

    /// Whether a call is not answered yet, so that [`Self::go_on`] comes before the guest runs.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.scheduler.running().call().is_some()
    }

    /// What comes before each portion of a call: the ending when the guest is over.
    fn look(&mut self, space: &mut AddressSpace) -> Option<Termination> {
        space.begin_portion();
        let used = &mut self.kernel.accounting;
        used.peak_memory = used.peak_memory.max(space.committed_bytes());
        self.tick()
    }

    /// Does a portion of a call of the running task.
    fn answer(&mut self, space: &mut AddressSpace, call: &SystemCall) -> Answer {
        let outcome = match lookup(low_half(call.number)).map(|entry| entry.treatment) {
            Some(Treatment::Answered { handler, work }) => {
                let task = self.scheduler.running_mut();
                let made = &mut Call { task, kernel: &mut self.kernel, space };
                let outcome = handler(made, &call.arguments);
                debug_assert!(
                    work == Work::Sized || outcome != Ok(Reply::Again),
                    "a call of constant work goes on in another portion"
                );
                outcome
            }
            Some(Treatment::Refused(errno)) => Err(errno),
            Some(Treatment::Absent) | None => Err(Errno::ENOSYS),
        };
        let answer = match outcome {
            Ok(Reply::Return(value)) => Answer::Return(value),
            Ok(Reply::SetFsBase(address)) => Answer::SetFsBase(address),
            Ok(Reply::Again) => {
                self.scheduler.running_mut().park(call);
                Answer::Again
            }
            Ok(Reply::Wait(on)) => self.wait(call, on),
            Ok(Reply::End(ending)) => Answer::End(ending),
            Err(errno) => Answer::Return(errno.as_result()),
        };
        self.settle(call, answer)
    }

    /// The running task waits: what the driver has to do. The task may be another one then.
    fn wait(&mut self, call: &SystemCall, on: BlockedOn) -> Answer {
        self.scheduler.running_mut().park(call);
        self.scheduler.block(on);
        self.what_to_wait_for().unwrap_or(Answer::Again)
    }

    /// Ends a call of the running task whose answer is no longer parked.
    fn settle(&mut self, call: &SystemCall, answer: Answer) -> Answer {
        if !answer.is_parked() {
            self.scheduler.running_mut().finish();
            self.counts.add(low_half(call.number));
        }
        answer
    }

    /// What the driver has to wait for; [`None`] when a task can go on.
    fn what_to_wait_for(&mut self) -> Option<Answer> {
        let now = self.kernel.clock.monotonic();
        match self.scheduler.next(now, self.kernel.real_timer_rest()) {
            Next::Run => None,
            Next::Wait(wait) => Some(Answer::Wait(wait)),
            Next::Deadlock { waiting_for } => {
                Some(Answer::End(Termination::Deadlock { waiting_for }))
            }
        }
    }

    /// Nanoseconds after which a guest that computes is to be interrupted for [`Self::tick`]; [`None`] as
    /// long as no timer runs and processor time has no limit.
    #[must_use]
    pub fn timer_due(&self) -> Option<u64> {
        self.kernel.timer_due()
    }

    /// Raises the signals of timers that are due; the ending when one of them ends the program.
    pub fn tick(&mut self) -> Option<Termination> {
        self.kernel.tick(self.scheduler.running_mut())
    }

    /// Adds to the time that the guest computed, in nanoseconds: its processor clocks show that, and the
    /// time for which it was [served](Self::add_served).
    pub const fn add_computed(&mut self, nanoseconds: u64) {
        let used = &mut self.kernel.accounting;
        used.computed = used.computed.saturating_add(nanoseconds);
    }

    /// Adds to the time for which the host worked for the guest, in nanoseconds, as a kernel does.
    pub const fn add_served(&mut self, nanoseconds: u64) {
        let used = &mut self.kernel.accounting;
        used.served = used.served.saturating_add(nanoseconds);
    }

    /// Appends bytes to standard input.
    pub fn provide_input(&mut self, bytes: Vec<u8>) {
        self.kernel.files.input.extend(bytes);
        self.scheduler.wake(|on| matches!(on, BlockedOn::Input { .. }));
    }

    /// Ends standard input: after what was provided, reads return 0.
    pub fn end_input(&mut self) {
        self.kernel.files.input_ended = true;
        self.scheduler.wake(|on| matches!(on, BlockedOn::Input { .. }));
    }

    /// Takes what the guest wrote to a stream since the last time.
    pub fn take_output(&mut self, stream: OutputStream) -> Vec<u8> {
        self.scheduler.wake(|on| on == BlockedOn::OutputRoom);
        std::mem::take(self.kernel.files.output(stream))
    }

    /// Bytes that wait in both output streams; never above [`crate::Start::output_high_water`].
    #[must_use]
    pub fn pending_output(&self) -> usize {
        self.kernel.files.pending_output()
    }

    /// System calls made so far, by name, in order of their numbers.
    pub fn counts(&self) -> impl Iterator<Item = SystemCallCount> {
        self.counts.iter()
    }

    /// The end of the heap, as `brk` has it.
    #[must_use]
    pub const fn program_break(&self) -> u64 {
        self.kernel.memory.break_now
    }

    /// Requests for memory that were refused with `ENOMEM` because the guest's memory ran out.
    #[must_use]
    pub const fn refused_for_memory(&self) -> u64 {
        self.kernel.memory.out_of_memory
    }

    /// Goes back to the state of `from`, except for what the guest must not get back: its random
    /// generator goes on, so that no number is drawn twice. What the host keeps goes on too: the
    /// counts of system calls, and output that nobody has taken yet.
    ///
    /// Cost: a copy of a few small tables; no system call.
    pub fn restore(&mut self, from: &Self) {
        // Everything is named, so that a new field cannot be forgotten here.
        let Self { scheduler, kernel, counts: _ } = from;
        self.scheduler.restore(scheduler);
        self.kernel.restore(kernel);
    }

    /// The same state for another sandbox, with a random generator of its own. What the host keeps
    /// starts anew: nothing is counted, and no output waits.
    #[must_use]
    pub fn fork(&self, seed: [u8; 32]) -> Self {
        let mut forked = self.clone();
        forked.forget_history();
        forked.kernel.random = Random::new(seed);
        forked
    }

    /// Drops what was counted and written so far, for a guest that goes on from here as another one.
    pub fn forget_history(&mut self) {
        self.counts = Counts::default();
        self.kernel.files.forget_output();
    }

    /// Replaces the clock.
    pub fn set_clock(&mut self, clock: Arc<dyn Clock>) {
        self.kernel.clock = clock;
    }
}
