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

impl Personality {
    /// The clock that a `clockid_t` names, in nanoseconds.
    ///
    /// # Errors
    /// `EINVAL` for an unknown one.
    fn read_clock(&self, id: i32) -> Result<u64, Errno> {
        match id {
            // REALTIME, REALTIME_COARSE, REALTIME_ALARM; TAI without leap seconds, as Linux until
            // somebody sets them.
            CLOCK_REALTIME | 5 | 8 | 11 => Ok(self.clock.realtime()),
            // MONOTONIC, MONOTONIC_RAW, MONOTONIC_COARSE, BOOTTIME, BOOTTIME_ALARM.
            1 | 4 | 6 | 7 | 9 => Ok(self.clock.monotonic()),
            // PROCESS_CPUTIME_ID, THREAD_CPUTIME_ID, and those that `clock_getcpuclockid` and
            // `pthread_getcpuclockid` make for the process itself (kernel: `CPUCLOCK_PID`).
            2 | 3 | -6 | -2 => Ok(self.clock.processor()),
            _ if id < 0 && u32::try_from(!(id >> 3)) == Ok(crate::process::PROCESS_ID) => {
                Ok(self.clock.processor())
            }
            _ => Err(Errno::EINVAL),
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
}

/// `clock_gettime(clockid_t clock, struct timespec *out)`
pub(crate) fn clock_gettime(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let now = personality.read_clock(arguments.int(0))?;
    timespec(now).store(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

/// `clock_getres(clockid_t clock, struct timespec *out)`: a nanosecond.
pub(crate) fn clock_getres(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    personality.read_clock(arguments.int(0))?;
    timespec(1).store_if(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

/// `gettimeofday(struct timeval *out, struct timezone *zone)`
pub(crate) fn gettimeofday(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let now = personality.clock.realtime();
    let value = Record::<16>::new()
        .set_u64(0, now / NANOSECONDS_PER_SECOND)
        .set_u64(8, now % NANOSECONDS_PER_SECOND / 1000);
    value.store_if(space, arguments.get(0))?;
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
    let now = personality.read_clock(arguments.int(0))?;
    let time = read_timespec(space, arguments.get(2))?;
    let duration =
        if arguments.uint(1) & TIMER_ABSTIME != 0 { time.saturating_sub(now) } else { time };
    personality.sleep(duration, Ok(Answer::ZERO))
}

/// `times(struct tms *out)`
pub(crate) fn times(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const TICK: u64 = NANOSECONDS_PER_SECOND / CLOCK_TICKS;
    let used = personality.clock.processor() / TICK;
    Record::<32>::new().set_u64(0, used).store_if(space, arguments.get(0))?;
    Ok(Answer::value(personality.clock.monotonic() / TICK))
}

/// `getitimer(int which, struct itimerval *out)`: no timer is ever running.
pub(crate) fn getitimer(
    _: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_timer(arguments)?;
    Record::<32>::new().store(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

/// `setitimer(int which, const struct itimerval *new, struct itimerval *old)`
pub(crate) fn setitimer(
    _: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_timer(arguments)?;
    if arguments.get(1) != 0 {
        space.read(arguments.get(1), &mut [0; 32])?;
    }
    Record::<32>::new().store_if(space, arguments.get(2))?;
    Ok(Answer::ZERO)
}

fn check_timer(arguments: &Arguments) -> Result<(), Errno> {
    if arguments.uint(0) > 2 { Err(Errno::EINVAL) } else { Ok(()) }
}

/// `alarm(unsigned seconds)`: the time left of an earlier one, which is none.
pub(crate) fn alarm(_: &mut Personality, _: &mut AddressSpace, _: &Arguments) -> Outcome {
    Ok(Answer::ZERO)
}
