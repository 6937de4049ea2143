//! Clocks and sleeping. Time comes from the injected [`crate::Clock`]; a sleep never blocks a host thread, for the
//! task waits and the driver lets the time pass.

use super::call::Call;
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Record, read_pair};
use crate::kernel::Kernel;
use crate::kernel::clock::{CLOCK_TICKS, NANOSECONDS_PER_SECOND};
use crate::task::blocked::{BlockedOn, Event};
use crate::task::id::PROCESS_ID;
use ampoule_memory::AddressSpace;

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
        let is_own = matches!(process, Ok(0 | PROCESS_ID));
        match id {
            _ if id & KIND == KIND || !is_own => Err(Errno::EINVAL),
            _ if id & THREAD != 0 => Ok(Self::Thread { by_number: true }),
            _ => Ok(Self::Process),
        }
    }
}

/// What a clock shows, in nanoseconds.
fn read_clock(kernel: &Kernel, clock: Named) -> u64 {
    match clock {
        Named::Real | Named::Coarse { real: true } => kernel.clock.realtime(),
        Named::Monotonic | Named::Coarse { real: false } => kernel.clock.monotonic(),
        Named::Process | Named::Thread { .. } => kernel.accounting.processor_time(),
    }
}

/// `clock_gettime(clockid_t clock, struct timespec *out)`
pub(crate) fn clock_gettime(call: &mut Call<'_>, clock: i32, out: u64) -> Outcome {
    let now = read_clock(call.kernel, Named::of(clock)?);
    timespec(now).store(call.space, out)?;
    Ok(Answer::ZERO)
}

/// `clock_getres(clockid_t clock, struct timespec *out)`: a nanosecond.
pub(crate) fn clock_getres(call: &mut Call<'_>, clock: i32, out: u64) -> Outcome {
    Named::of(clock)?;
    timespec(1).store_if(call.space, out)?;
    Ok(Answer::ZERO)
}

/// `gettimeofday(struct timeval *out, struct timezone *zone)`
pub(crate) fn gettimeofday(call: &mut Call<'_>, out: u64, zone: u64) -> Outcome {
    timeval(call.kernel.clock.realtime()).store_if(call.space, out)?;
    Record::<8>::new().store_if(call.space, zone)?;
    Ok(Answer::ZERO)
}

/// `time(time_t *out)`
pub(crate) fn time(call: &mut Call<'_>, out: u64) -> Outcome {
    let seconds = call.kernel.clock.realtime() / NANOSECONDS_PER_SECOND;
    Record::<8>::new().set_u64(0, seconds).store_if(call.space, out)?;
    Ok(Answer::value(seconds))
}

/// `nanosleep(const struct timespec *duration, struct timespec *rest)`
pub(crate) fn nanosleep(call: &mut Call<'_>, duration: u64) -> Outcome {
    let duration = read_timespec(call.space, duration)?;
    call.sleep(duration, Ok(Answer::ZERO))
}

/// `clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *rest)`
pub(crate) fn clock_nanosleep(call: &mut Call<'_>, clock: i32, flags: u32, time: u64) -> Outcome {
    let clock = match Named::of(clock) {
        Ok(Named::Coarse { .. } | Named::Thread { by_number: false }) => {
            return Err(Errno::EOPNOTSUPP);
        }
        // The clock of a device that is none, which could not be slept by either.
        Err(_) if clock < 0 && clock & 7 == 3 => {
            return Err(Errno::EOPNOTSUPP);
        }
        clock => clock?,
    };
    let time = read_timespec(call.space, time)?;
    let duration = if flags & TIMER_ABSTIME != 0 {
        time.saturating_sub(read_clock(call.kernel, clock))
    } else {
        time
    };
    match clock {
        Named::Thread { .. } => Err(Errno::EINVAL),
        Named::Process if duration > 0 => Ok(Answer::Wait(BlockedOn::event(Event::ProcessorTime))),
        _ => call.sleep(duration, Ok(Answer::ZERO)),
    }
}

/// `times(struct tms *out)`
pub(crate) fn times(call: &mut Call<'_>, out: u64) -> Outcome {
    const TICK: u64 = NANOSECONDS_PER_SECOND / CLOCK_TICKS;
    let used = &call.kernel.accounting;
    let (user, system) = (used.computed / TICK, used.served / TICK);
    let record = Record::<32>::new().set_u64(0, user).set_u64(8, system);
    record.store_if(call.space, out)?;
    Ok(Answer::value(call.kernel.clock.monotonic() / TICK))
}
