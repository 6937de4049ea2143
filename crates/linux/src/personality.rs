//! The state of one guest's Linux, and the way from a system call to its handler.

use crate::answer::Answer;
use crate::clock::Clock;
use crate::files::buffers::Buffers;
use crate::files::{Files, OutputStream};
use crate::guest::{Arguments, low_half};
use crate::memory::{Job, Layout};
use crate::process::Process;
use crate::signals::{Dispositions, SignalState};
use crate::table::{self, Counts, SystemCallCount, Treatment};
use ampoule_memory::AddressSpace;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::sync::Arc;

/// A system call as the registers have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemCall {
    /// `rax`. As in Linux its lower half counts.
    pub number: u64,
    /// `rdi`, `rsi`, `rdx`, `r10`, `r8`, `r9`.
    pub arguments: [u64; 6],
}

/// One guest's Linux: plain data, a function of its start, the input it was given and its clock.
///
/// Nothing in here refers to a file, socket, process or memory of the host. A clone continues on
/// its own from the same state, its random generator too; [`Personality::fork`] gives it another.
#[derive(Debug, Clone)]
pub struct Personality {
    /// Contexts of threads; there is one so far.
    threads: Vec<Thread>,
    /// The thread whose system call is answered: an index into `threads`.
    current: usize,
    pub(crate) process: Process,
    pub(crate) dispositions: Dispositions,
    pub(crate) layout: Layout,
    pub(crate) files: Files,
    pub(crate) random: Random,
    pub(crate) clock: Arc<dyn Clock>,
    counts: Counts,
}

/// What belongs to one thread of the guest.
#[derive(Debug, Clone)]
pub(crate) struct Thread {
    pub(crate) name: [u8; 16],
    pub(crate) fs_base: u64,
    pub(crate) signals: SignalState,
    pub(crate) parked: Parked,
    /// The call that is parked: what is known of it is nothing to another one.
    pub(crate) parked_call: Option<SystemCall>,
}

impl Thread {
    /// A thread none of whose calls is parked.
    pub(crate) const fn new(name: [u8; 16], fs_base: u64, signals: SignalState) -> Self {
        Self { name, fs_base, signals, parked: Parked::Nothing, parked_call: None }
    }
}

/// How far a call came that is made again.
#[derive(Debug, Clone, Default)]
pub(crate) enum Parked {
    /// None is parked, or it begins anew.
    #[default]
    Nothing,
    /// When a sleep ends, on the monotonic clock.
    Until(u64),
    /// Bytes that are done.
    Done(u64),
    /// A transfer, with what was moved.
    Transfer(Buffers),
    /// A search for free addresses, which goes on below.
    Search { below: u64 },
    /// A memory call, with what is left to do.
    Memory(Job),
}

/// The generator behind `getrandom`, `/dev/urandom` and `AT_RANDOM`.
#[derive(Debug, Clone)]
pub(crate) struct Random(ChaCha20Rng);

impl Random {
    fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }
}

impl Personality {
    pub(crate) fn new(
        name: [u8; 16],
        layout: Layout,
        files: Files,
        seed: [u8; 32],
        clock: Arc<dyn Clock>,
    ) -> Self {
        let stack_bytes = layout.stack.end - layout.stack.start;
        let signals = SignalState::new();
        let thread = Thread::new(name, 0, signals);
        Self {
            threads: vec![thread],
            current: 0,
            process: Process::new(stack_bytes),
            dispositions: Dispositions::new(),
            layout,
            files,
            random: Random::new(seed),
            clock,
            counts: Counts::default(),
        }
    }

    /// Answers a system call. See [`Answer`] for what the caller does then.
    ///
    /// Work is bounded: a call whose size the guest chooses does a portion ([`ampoule_memory::PORTION`]) and
    /// answers [`Answer::Again`]. A call that is repeated because its answer was to park is counted once.
    pub fn system_call(&mut self, space: &mut AddressSpace, call: &SystemCall) -> Answer {
        space.begin_portion();
        let thread = self.thread_mut();
        if thread.parked_call.as_ref() != Some(call) {
            thread.parked = Parked::Nothing;
        }
        let number = low_half(call.number);
        let arguments = Arguments(call.arguments);
        let memory = space.committed_bytes();
        self.process.peak_memory = self.process.peak_memory.max(memory);
        if let Some(answer) = self.tick() {
            return answer;
        }
        let entry = table::lookup(number);
        let outcome = match entry.map(|entry| entry.treatment) {
            Some(Treatment::Answered(handler)) => handler(self, space, &arguments),
            Some(Treatment::Refused(errno)) => Err(errno),
            Some(Treatment::Absent) | None => Err(crate::Errno::ENOSYS),
        };
        let answer = outcome.unwrap_or_else(|errno| Answer::Return(errno.as_result()));
        let answer = self.until_the_timer(answer);
        let thread = self.thread_mut();
        thread.parked_call = answer.is_parked().then_some(*call);
        if thread.parked_call.is_none() {
            self.counts.add(number);
        }
        answer
    }

    /// A call that waits is looked at again when the real timer is due, also one that nothing else can end.
    fn until_the_timer(&self, answer: Answer) -> Answer {
        match (answer, self.real_timer_rest()) {
            (Answer::Sleep { nanoseconds }, Some(rest)) => {
                Answer::Sleep { nanoseconds: nanoseconds.min(rest) }
            }
            (Answer::Deadlock { .. }, Some(nanoseconds)) => Answer::Sleep { nanoseconds },
            _ => answer,
        }
    }

    /// Adds to the time that the guest computed, in nanoseconds: its processor clocks show that, and the
    /// time for which it was [served](Self::add_served).
    pub const fn add_computed(&mut self, nanoseconds: u64) {
        self.process.computed = self.process.computed.saturating_add(nanoseconds);
    }

    /// Adds to the time for which the host worked for the guest, in nanoseconds, as a kernel does.
    pub const fn add_served(&mut self, nanoseconds: u64) {
        self.process.served = self.process.served.saturating_add(nanoseconds);
    }

    /// Appends bytes to standard input.
    pub fn provide_input(&mut self, bytes: Vec<u8>) {
        self.files.input.extend(bytes);
    }

    /// Ends standard input: after what was provided, reads return 0.
    pub fn end_input(&mut self) {
        self.files.input_ended = true;
    }

    /// Takes what the guest wrote to a stream since the last time.
    pub fn take_output(&mut self, stream: OutputStream) -> Vec<u8> {
        std::mem::take(self.files.output(stream))
    }

    /// Bytes that wait in both output streams; never above [`crate::Start::output_high_water`].
    #[must_use]
    pub fn pending_output(&self) -> usize {
        self.files.pending_output()
    }

    /// System calls made so far, by name, in order of their numbers.
    pub fn counts(&self) -> impl Iterator<Item = SystemCallCount> {
        self.counts.iter()
    }

    /// The end of the heap, as `brk` has it.
    #[must_use]
    pub const fn program_break(&self) -> u64 {
        self.layout.break_now
    }

    /// Requests for memory that were refused with `ENOMEM` because the guest's memory ran out.
    #[must_use]
    pub const fn refused_for_memory(&self) -> u64 {
        self.layout.out_of_memory
    }

    /// Goes back to the state of `from`, except for what the guest must not get back: its random
    /// generator goes on, so that no number is drawn twice. What the host keeps goes on too: the
    /// counts of system calls, and output that nobody has taken yet.
    ///
    /// Cost: a copy of a few small tables; no system call.
    pub fn restore(&mut self, from: &Self) {
        // Everything is named, so that a new field cannot be forgotten here.
        let Self {
            threads,
            current,
            process,
            dispositions,
            layout,
            files,
            random: _,
            clock,
            counts: _,
        } = from;
        self.threads.clone_from(threads);
        self.current = *current;
        self.process = process.clone();
        self.dispositions = dispositions.clone();
        self.layout = layout.clone();
        self.files.restore(files);
        self.clock = Arc::clone(clock);
    }

    /// The same state for another sandbox, with a random generator of its own. What the host keeps
    /// starts anew: nothing is counted, and no output waits.
    #[must_use]
    pub fn fork(&self, seed: [u8; 32]) -> Self {
        let mut forked = self.clone();
        forked.forget_history();
        forked.random = Random::new(seed);
        forked
    }

    /// Drops what was counted and written so far, for a guest that goes on from here as another one.
    pub fn forget_history(&mut self) {
        self.counts = Counts::default();
        self.files.stdout = Vec::new();
        self.files.stderr = Vec::new();
    }

    /// Replaces the clock.
    pub fn set_clock(&mut self, clock: Arc<dyn Clock>) {
        self.clock = clock;
    }

    /// Everything but the random generator and the counts, from [`crate::state`].
    pub(crate) fn resumed(
        thread: Thread,
        process: Process,
        dispositions: Dispositions,
        layout: Layout,
        files: Files,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            threads: vec![thread],
            current: 0,
            process,
            dispositions,
            layout,
            files,
            random: Random::new([0; 32]),
            clock,
            counts: Counts::default(),
        }
    }

    /// Parks the call that is being answered, to go on with `parked` in another portion.
    pub(crate) fn park(&mut self, parked: Parked) -> Answer {
        self.thread_mut().parked = parked;
        Answer::Again
    }

    /// Takes what is known of a call that was parked.
    pub(crate) fn take_parked(&mut self) -> Parked {
        std::mem::take(&mut self.thread_mut().parked)
    }

    /// Takes how many bytes are done.
    pub(crate) fn take_done(&mut self) -> u64 {
        match self.take_parked() {
            Parked::Done(done) => done,
            _ => 0,
        }
    }

    pub(crate) fn thread(&self) -> &Thread {
        &self.threads[self.current]
    }

    pub(crate) fn thread_mut(&mut self) -> &mut Thread {
        &mut self.threads[self.current]
    }
}
