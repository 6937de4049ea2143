//! `alarm`, interval timers and the limit of processor time. They run by themselves: a timer that is due raises its signal when the next
//! system call is made, when a parked one is looked at again, or when the driver of a computing guest asks
//! ([`Personality::tick`]), as it does in time for [`Personality::timer_due`].

use crate::answer::{Answer, Outcome};
use crate::clock::NANOSECONDS_PER_SECOND;
use crate::errno::Errno;
use crate::guest::{Arguments, Record, read_array};
use crate::personality::Personality;
use crate::signals::{SIGALRM, SIGKILL, SIGPROF, SIGVTALRM, SIGXCPU, Signal};
use ampoule_memory::AddressSpace;
use serde::{Deserialize, Serialize};

const REAL: usize = 0;
const VIRTUAL: usize = 1;
/// How many there are: real, virtual, profiling.
pub(crate) const TIMERS: usize = 3;
const SIGNALS: [u32; TIMERS] = [SIGALRM, SIGVTALRM, SIGPROF];
const MICROSECOND: u64 = 1000;

/// A timer, in nanoseconds: of the monotonic clock for the real one, of what was computed for the virtual one,
/// and of all processor time for the profiling one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Timer {
    /// When it is due, if it runs.
    due: Option<u64>,
    /// From then on again and again, unless 0.
    interval: u64,
}

impl Personality {
    fn timer_clock(&self, which: usize) -> u64 {
        match which {
            REAL => self.clock.monotonic(),
            VIRTUAL => self.process.computed,
            _ => self.process.processor_time(),
        }
    }

    /// Nanoseconds until a timer is due; at least a microsecond, as long as it runs.
    fn timer_rest(&self, which: usize) -> Option<u64> {
        let due = self.process.timers[which].due?;
        Some(due.saturating_sub(self.timer_clock(which)).max(MICROSECOND))
    }

    /// Nanoseconds until the real timer is due, which a waiting guest waits for.
    pub(crate) fn real_timer_rest(&self) -> Option<u64> {
        self.timer_rest(REAL)
    }

    /// Nanoseconds after which a guest that computes is to be interrupted for [`Self::tick`]; [`None`] as
    /// long as no timer runs and processor time has no limit.
    #[must_use]
    pub fn timer_due(&self) -> Option<u64> {
        let limit = self.process.limits.processor_time().map(|(soft, hard)| {
            let rest = soft.min(hard).saturating_sub(self.process.processor_time());
            rest.max(MICROSECOND)
        });
        (0..TIMERS).filter_map(|which| self.timer_rest(which)).chain(limit).min()
    }

    /// Raises the signals of timers that are due; the answer when one of them ends the program.
    pub fn tick(&mut self) -> Option<Answer> {
        for (which, signal) in SIGNALS.into_iter().enumerate() {
            let Timer { due: Some(due), interval } = self.process.timers[which] else { continue };
            let now = self.timer_clock(which);
            if due > now {
                continue;
            }
            // Times that were missed count as one, like signals that are pending already.
            let missed = now.saturating_sub(due).checked_div(interval);
            let next = missed.map(|missed| {
                due.saturating_add(interval.saturating_mul(missed.saturating_add(1)))
            });
            self.process.timers[which].due = next;
            if let Ok(Some(answer)) = self.raise(Signal::by_kernel(signal)) {
                return Some(answer);
            }
        }
        self.check_processor_time()
    }

    /// Raises `SIGXCPU` for every second beyond the soft limit of processor time, and ends the program at
    /// the hard one.
    fn check_processor_time(&mut self) -> Option<Answer> {
        let (soft, hard) = self.process.limits.processor_time()?;
        let used = self.process.processor_time();
        if used >= hard {
            return self.raise(Signal::by_kernel(SIGKILL)).ok().flatten();
        }
        if used < soft {
            return None;
        }
        self.process.limits.extend_processor_time();
        self.raise(Signal::by_kernel(SIGXCPU)).ok().flatten()
    }

    /// Starts a timer, or stops it with 0, and tells what it was: interval and rest.
    fn set_timer(&mut self, which: usize, value: u64, interval: u64) -> (u64, u64) {
        let old = self.timer(which);
        let due = (value > 0).then(|| self.timer_clock(which).saturating_add(value));
        self.process.timers[which] = Timer { due, interval };
        old
    }

    fn timer(&self, which: usize) -> (u64, u64) {
        let interval = self.process.timers[which].interval;
        (interval, self.timer_rest(which).unwrap_or_default())
    }
}

/// Nanoseconds of a `timeval`.
fn nanoseconds(seconds: u64, microseconds: u64) -> Result<u64, Errno> {
    if seconds.cast_signed() < 0 || microseconds >= 1_000_000 {
        return Err(Errno::EINVAL);
    }
    Ok(seconds.saturating_mul(NANOSECONDS_PER_SECOND).saturating_add(microseconds * MICROSECOND))
}

/// `struct itimerval`: interval, then rest.
fn record((interval, rest): (u64, u64)) -> Record<32> {
    let seconds = |time: u64| time / NANOSECONDS_PER_SECOND;
    let microseconds = |time: u64| time % NANOSECONDS_PER_SECOND / MICROSECOND;
    Record::new()
        .set_u64(0, seconds(interval))
        .set_u64(8, microseconds(interval))
        .set_u64(16, seconds(rest))
        .set_u64(24, microseconds(rest))
}

fn timer_number(arguments: &Arguments) -> Result<usize, Errno> {
    let which = arguments.uint(0) as usize;
    if which < TIMERS { Ok(which) } else { Err(Errno::EINVAL) }
}

/// `getitimer(int which, struct itimerval *out)`
pub(crate) fn getitimer(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let which = timer_number(arguments)?;
    record(personality.timer(which)).store(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

/// `setitimer(int which, const struct itimerval *new, struct itimerval *old)`
pub(crate) fn setitimer(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let (mut interval, mut value) = (0, 0);
    // Without a value it stops the timer, which Linux keeps for the sake of old programs.
    if arguments.get(1) != 0 {
        let new = Record::<32>::from(read_array(space, arguments.get(1))?);
        value = nanoseconds(new.u64(16), new.u64(24))?;
        interval = nanoseconds(new.u64(0), new.u64(8))?;
    }
    let which = timer_number(arguments)?;
    let old = personality.set_timer(which, value, interval);
    record(old).store_if(space, arguments.get(2))?;
    Ok(Answer::ZERO)
}

/// `alarm(unsigned seconds)`: the seconds left of an earlier one.
pub(crate) fn alarm(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let value = u64::from(arguments.uint(0)) * NANOSECONDS_PER_SECOND;
    let (_, rest) = personality.set_timer(REAL, value, 0);
    // Rounded, and never 0 for one that runs.
    let rounded = rest.saturating_add(NANOSECONDS_PER_SECOND / 2) / NANOSECONDS_PER_SECOND;
    Ok(Answer::value(if rest > 0 { rounded.max(1) } else { 0 }))
}
