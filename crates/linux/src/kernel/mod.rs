//! What the tasks of a guest share: a state for each family of calls.

pub(crate) mod accounting;
pub(crate) mod clock;
pub(crate) mod dispositions;
pub(crate) mod identity;
pub(crate) mod layout;
pub(crate) mod limits;
pub(crate) mod random;
pub(crate) mod scheduler;
pub(crate) mod timers;

use crate::answer::Termination;
use crate::task::Task;
use crate::task::signals::{SIGALRM, SIGKILL, SIGPROF, SIGVTALRM, SIGXCPU, Signal};
use crate::vfs::files::Files;
use accounting::Accounting;
use clock::Clock;
use dispositions::Dispositions;
use identity::Identity;
use layout::Layout;
use limits::Limits;
use random::Random;
use std::sync::Arc;
use timers::{TIMERS, Timer};

/// Number of the timer that runs by the monotonic clock.
pub(crate) const REAL: usize = 0;
const VIRTUAL: usize = 1;
/// What each timer sends.
const TIMER_SIGNALS: [u32; TIMERS] = [SIGALRM, SIGVTALRM, SIGPROF];

/// What the tasks of a guest share. Each part is the state of one family of calls, and keeps its own rules.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    pub(crate) files: Files,
    pub(crate) memory: Layout,
    pub(crate) signals: Dispositions,
    pub(crate) timers: [Timer; TIMERS],
    pub(crate) limits: Limits,
    pub(crate) accounting: Accounting,
    pub(crate) identity: Identity,
    pub(crate) random: Random,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Kernel {
    /// That of a program which has not run yet.
    pub(crate) fn new(memory: Layout, files: Files, random: Random, clock: Arc<dyn Clock>) -> Self {
        let limits = Limits::new(memory.stack.end - memory.stack.start);
        Self {
            files,
            memory,
            signals: Dispositions::new(),
            timers: [Timer::default(); TIMERS],
            limits,
            accounting: Accounting::default(),
            identity: Identity::new(),
            random,
            clock,
        }
    }

    /// Goes back to the state of `from`, but for the random generator and output that nobody has taken yet.
    pub(crate) fn restore(&mut self, from: &Self) {
        // Everything is named, so that a new field cannot be forgotten here.
        let Self { files, memory, signals, timers, limits, accounting, identity, random: _, clock } =
            from;
        self.files.restore(files);
        self.memory = memory.clone();
        self.signals = signals.clone();
        self.timers = *timers;
        self.limits = limits.clone();
        self.accounting = *accounting;
        self.identity = identity.clone();
        self.clock = Arc::clone(clock);
    }

    /// What the clock shows by which a timer runs.
    pub(crate) fn timer_clock(&self, which: usize) -> u64 {
        match which {
            REAL => self.clock.monotonic(),
            VIRTUAL => self.accounting.computed,
            _ => self.accounting.processor_time(),
        }
    }

    /// Nanoseconds until a timer is due. Looks at the clock of one that runs only.
    fn timer_rest(&self, which: usize) -> Option<u64> {
        let timer = &self.timers[which];
        if timer.runs() { timer.rest(self.timer_clock(which)) } else { None }
    }

    /// Nanoseconds until the real timer is due, which a waiting guest waits for.
    pub(crate) fn real_timer_rest(&self) -> Option<u64> {
        self.timer_rest(REAL)
    }

    /// Nanoseconds until the first timer is due, or the limit of processor time.
    pub(crate) fn timer_due(&self) -> Option<u64> {
        let limit = self.limits.processor_time().map(|(soft, hard)| {
            let rest = soft.min(hard).saturating_sub(self.accounting.processor_time());
            rest.max(timers::MICROSECOND)
        });
        (0..TIMERS).filter_map(|which| self.timer_rest(which)).chain(limit).min()
    }

    /// Raises the signals of timers that are due, for `task`; the ending when one of them ends the program.
    pub(crate) fn tick(&mut self, task: &mut Task) -> Option<Termination> {
        for (which, signal) in TIMER_SIGNALS.into_iter().enumerate() {
            if !self.timers[which].runs() {
                continue;
            }
            let now = self.timer_clock(which);
            if self.timers[which].expire(now)
                && let Some(ending) = self.raise(task, signal)
            {
                return Some(ending);
            }
        }
        self.check_processor_time(task)
    }

    /// Raises `SIGXCPU` for every second beyond the soft limit of processor time, and ends the program at
    /// the hard one.
    fn check_processor_time(&mut self, task: &mut Task) -> Option<Termination> {
        let (soft, hard) = self.limits.processor_time()?;
        let used = self.accounting.processor_time();
        if used >= hard {
            return self.raise(task, SIGKILL);
        }
        if used < soft {
            return None;
        }
        self.limits.extend_processor_time();
        self.raise(task, SIGXCPU)
    }

    /// Raises a signal of the kernel's; one that too many of wait is lost, as in Linux. Whatever the task waits
    /// for, it looks again, for that may be this signal.
    fn raise(&self, task: &mut Task, signal: u32) -> Option<Termination> {
        task.blocked_on = None;
        self.signals.raise(&mut task.signals, Signal::by_kernel(signal)).ok().flatten()
    }
}
