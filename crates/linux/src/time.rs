//! Clocks and sleeping. Time comes from the injected [`crate::Clock`]; a sleep never blocks a host
//! thread but is answered with [`Answer::Sleep`].

use crate::answer::{Answer, Outcome};
use crate::clock::NANOSECONDS_PER_SECOND;
use crate::errno::Errno;
use crate::guest::{Arguments, Record, read_pair};
use crate::personality::{Parked, Personality};
use ampoule_memory::AddressSpace;

/// Ticks a second of `times`; also what `AT_CLKTCK` says.
pub(crate) const CLOCK_TICKS: u64 = 100;
const CLOCK_REALTIME: i32 = 0;
const TIMER_ABSTIME: u32 = 1;

/// Nanoseconds of a `timespec`.
///
/// # Errors
/// `EINVAL` for negative seconds or nanoseconds that are not below a second.
pub(crate) fn read_timespec(space: &mut AddressSpace, address: u64) -> Result<u64, Errno> {
    let (seconds, nanoseconds) = read_pair(space, address)?;
    if seconds.cast_signed() < 0 || nanoseconds >= NANOSECONDS_PER_SECOND {
        return Err(Errno::EINVAL);
    }
    Ok(seconds.saturating_mul(NANOSECONDS_PER_SECOND).saturating_add(nanoseconds))
}

/// As [`read_timespec`]; a null pointer stands for "for ever".
pub(crate) fn read_optional_timespec(
    space: &mut AddressSpace,
    address: u64,
) -> Result<Option<u64>, Errno> {
    if address == 0 { Ok(None) } else { read_timespec(space, address).map(Some) }
}

/// Nanoseconds of a `timeval`; a null pointer stands for "for ever".
///
/// # Errors
/// `EINVAL` for negative values. Microseconds beyond a second count as such, as in Linux.
pub(crate) fn read_optional_timeval(
    space: &mut AddressSpace,
    address: u64,
) -> Result<Option<u64>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    let (seconds, microseconds) = read_pair(space, address)?;
    if seconds.cast_signed() < 0 || microseconds.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    let whole = seconds.saturating_mul(NANOSECONDS_PER_SECOND);
    Ok(Some(whole.saturating_add(microseconds.saturating_mul(1000))))
}

/// A `timespec`.
pub(crate) fn timespec(nanoseconds: u64) -> Record<16> {
    Record::new()
        .set_u64(0, nanoseconds / NANOSECONDS_PER_SECOND)
        .set_u64(8, nanoseconds % NANOSECONDS_PER_SECOND)
}

/// A `timeval`.
pub(crate) fn timeval(nanoseconds: u64) -> Record<16> {
    Record::new()
        .set_u64(0, nanoseconds / NANOSECONDS_PER_SECOND)
        .set_u64(8, nanoseconds % NANOSECONDS_PER_SECOND / 1000)
}

/// What a `clockid_t` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Real,
    Monotonic,
    /// A monotonic clock by which nobody can sleep: raw or coarse; or the coarse real one.
    Coarse {
        real: bool,
    },
    /// Processor time of the process.
    Process,
    /// Processor time of the thread, by `CLOCK_THREAD_CPUTIME_ID` or by a number of its own.
    Thread {
        by_number: bool,
    },
}

impl Named {
    /// # Errors
    /// `EINVAL` for no clock.
    fn of(id: i32) -> Result<Self, Errno> {
        Ok(match id {
            // REALTIME, REALTIME_ALARM; TAI without leap seconds, as Linux until somebody sets them.
            CLOCK_REALTIME | 8 | 11 => Self::Real,
            // MONOTONIC, BOOTTIME, BOOTTIME_ALARM.
            1 | 7 | 9 => Self::Monotonic,
            // MONOTONIC_RAW, MONOTONIC_COARSE.
            4 | 6 => Self::Coarse { real: false },
            // REALTIME_COARSE.
            5 => Self::Coarse { real: true },
            2 => Self::Process,
            3 => Self::Thread { by_number: false },
            0.. => return Err(Errno::EINVAL),
            _ => return Self::by_process(id),
        })
    }

    /// The clocks that `clock_getcpuclockid` and `pthread_getcpuclockid` make (kernel: `CPUCLOCK_PID`):
    /// the process's number, one bit for its thread, and two for what is counted, all of which is the
    /// same here. The fourth kind stands for a device's clock, of which there is none.
    fn by_process(id: i32) -> Result<Self, Errno> {
        const THREAD: i32 = 4;
        const KIND: i32 = 3;
        let process = u32::try_from(!(id >> 3));
        let is_own = matches!(process, Ok(0 | crate::process::PROCESS_ID));
        match id {
            _ if id & KIND == KIND || !is_own => Err(Errno::EINVAL),
            _ if id & THREAD != 0 => Ok(Self::Thread { by_number: true }),
            _ => Ok(Self::Process),
        }
    }
}

impl Personality {
    /// What a clock shows, in nanoseconds.
    fn read_clock(&self, clock: Named) -> u64 {
        match clock {
            Named::Real | Named::Coarse { real: true } => self.clock.realtime(),
            Named::Monotonic | Named::Coarse { real: false } => self.clock.monotonic(),
            Named::Process | Named::Thread { .. } => self.process.processor_time(),
        }
    }

    /// Parks the call until `nanoseconds` after it was first made, then ends it with `done`.
    pub(crate) fn sleep(&mut self, nanoseconds: u64, done: Outcome) -> Outcome {
        let now = self.clock.monotonic();
        let until = now.saturating_add(nanoseconds);
        let until = match self.take_parked() {
            Parked::Until(until) => until,
            _ => until,
        };
        self.thread_mut().parked = Parked::Until(until);
        match until.checked_sub(now) {
            None | Some(0) => done,
            Some(nanoseconds) => Ok(Answer::Sleep { nanoseconds }),
        }
    }

    /// What is left of `nanoseconds` since the call that is answered was first made.
    pub(crate) fn rest_of(&self, nanoseconds: u64) -> u64 {
        match self.thread().parked {
            Parked::Until(until) => until.saturating_sub(self.clock.monotonic()),
            _ => nanoseconds,
        }
    }
}

/// `clock_gettime(clockid_t clock, struct timespec *out)`
pub(crate) fn clock_gettime(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let now = personality.read_clock(Named::of(arguments.int(0))?);
    timespec(now).store(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

/// `clock_getres(clockid_t clock, struct timespec *out)`: a nanosecond.
pub(crate) fn clock_getres(
    _: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    Named::of(arguments.int(0))?;
    timespec(1).store_if(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

/// `gettimeofday(struct timeval *out, struct timezone *zone)`
pub(crate) fn gettimeofday(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    timeval(personality.clock.realtime()).store_if(space, arguments.get(0))?;
    Record::<8>::new().store_if(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

/// `time(time_t *out)`
pub(crate) fn time(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let seconds = personality.clock.realtime() / NANOSECONDS_PER_SECOND;
    Record::<8>::new().set_u64(0, seconds).store_if(space, arguments.get(0))?;
    Ok(Answer::value(seconds))
}

/// `nanosleep(const struct timespec *duration, struct timespec *rest)`
pub(crate) fn nanosleep(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let duration = read_timespec(space, arguments.get(0))?;
    personality.sleep(duration, Ok(Answer::ZERO))
}

/// `clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *rest)`
pub(crate) fn clock_nanosleep(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let clock = match Named::of(arguments.int(0)) {
        Ok(Named::Coarse { .. } | Named::Thread { by_number: false }) => {
            return Err(Errno::EOPNOTSUPP);
        }
        // The clock of a device that is none, which could not be slept by either.
        Err(_) if arguments.int(0) < 0 && arguments.int(0) & 7 == 3 => {
            return Err(Errno::EOPNOTSUPP);
        }
        clock => clock?,
    };
    let time = read_timespec(space, arguments.get(2))?;
    let duration = if arguments.uint(1) & TIMER_ABSTIME != 0 {
        time.saturating_sub(personality.read_clock(clock))
    } else {
        time
    };
    match clock {
        Named::Thread { .. } => Err(Errno::EINVAL),
        Named::Process if duration > 0 => {
            Ok(Answer::Deadlock { waiting_for: "processor time, while it does not compute" })
        }
        _ => personality.sleep(duration, Ok(Answer::ZERO)),
    }
}

/// `times(struct tms *out)`
pub(crate) fn times(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const TICK: u64 = NANOSECONDS_PER_SECOND / CLOCK_TICKS;
    let (user, system) = (personality.process.computed, personality.process.served);
    let record = Record::<32>::new().set_u64(0, user / TICK).set_u64(8, system / TICK);
    record.store_if(space, arguments.get(0))?;
    Ok(Answer::value(personality.clock.monotonic() / TICK))
}
