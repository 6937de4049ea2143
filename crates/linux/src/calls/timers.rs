//! `alarm` and interval timers. They run by themselves: a timer that is due raises its signal when the next
//! system call is made, when a parked one is looked at again, or when the driver of a computing guest asks
//! ([`crate::Personality::tick`]), as it does in time for [`crate::Personality::timer_due`].

use super::call::Call;
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Record, read_array};
use crate::kernel::REAL;
use crate::kernel::clock::NANOSECONDS_PER_SECOND;
use crate::kernel::timers::{MICROSECOND, TIMERS};

/// Starts a timer, or stops it with 0, and tells what it was: interval and rest.
fn set_timer(call: &mut Call<'_>, which: usize, value: u64, interval: u64) -> (u64, u64) {
    let now = call.kernel.timer_clock(which);
    let timer = &mut call.kernel.timers[which];
    let old = timer.value(now);
    timer.set(now, value, interval);
    old
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

fn timer_number(which: u32) -> Result<usize, Errno> {
    let which = which as usize;
    if which < TIMERS { Ok(which) } else { Err(Errno::EINVAL) }
}

/// `getitimer(int which, struct itimerval *out)`
pub(crate) fn getitimer(call: &mut Call<'_>, which: u32, out: u64) -> Outcome {
    let which = timer_number(which)?;
    let value = call.kernel.timers[which].value(call.kernel.timer_clock(which));
    record(value).store(call.space, out)?;
    Ok(Answer::ZERO)
}

/// `setitimer(int which, const struct itimerval *new, struct itimerval *old)`
pub(crate) fn setitimer(call: &mut Call<'_>, which: u32, new: u64, old: u64) -> Outcome {
    let (mut interval, mut value) = (0, 0);
    // Without a value it stops the timer, which Linux keeps for the sake of old programs.
    if new != 0 {
        let new = Record::<32>::from(read_array(call.space, new)?);
        value = nanoseconds(new.u64(16), new.u64(24))?;
        interval = nanoseconds(new.u64(0), new.u64(8))?;
    }
    let which = timer_number(which)?;
    let before = set_timer(call, which, value, interval);
    record(before).store_if(call.space, old)?;
    Ok(Answer::ZERO)
}

/// `alarm(unsigned seconds)`: the seconds left of an earlier one.
pub(crate) fn alarm(call: &mut Call<'_>, seconds: u32) -> Outcome {
    let value = u64::from(seconds) * NANOSECONDS_PER_SECOND;
    let (_, rest) = set_timer(call, REAL, value, 0);
    // Rounded, and never 0 for one that runs.
    let rounded = rest.saturating_add(NANOSECONDS_PER_SECOND / 2) / NANOSECONDS_PER_SECOND;
    Ok(Answer::value(if rest > 0 { rounded.max(1) } else { 0 }))
}
