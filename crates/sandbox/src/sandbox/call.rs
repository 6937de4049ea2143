//! What belongs to one call, and goes with it.

use crate::channel::messages::Received;
use crate::config::{Budget, Limits};
use crate::stop::Stop;
use std::time::{Duration, Instant};

/// One call (or the start): what it may use, what it has used, and where the host is in serving it.
#[derive(Debug, Default)]
pub(super) struct Call {
    /// What it may take of time.
    pub(super) budget: Budget,
    /// What it has taken of CPU time, in the guest and in the host's work for it.
    pub(super) cpu: Meter,
    host_calls: u64,
    output: u64,
    /// Out-of-memory answers before the call, to see whether one was among its own.
    pub(super) out_of_memory_before: u64,
    /// A message of which a part was copied so far.
    pub(super) receiving: Option<Received>,
    /// When the guest was left last, to be served by the host.
    pub(super) left: Option<Instant>,
}

/// A clock of the CPU time that one call takes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Meter {
    pub(super) used: Duration,
    /// The thread's CPU time up to which `used` is accounted, while the guest is driven and that is measured.
    from: Option<Duration>,
    /// When the guest will be kicked, because its CPU time may be used up then.
    pub(super) check: Option<Instant>,
}

impl Call {
    /// One that begins, in a guest that was refused memory `out_of_memory_before` times.
    pub(super) fn new(budget: Budget, out_of_memory_before: u64) -> Self {
        Self { budget, out_of_memory_before, ..Self::default() }
    }

    /// Counts a call of a host function.
    ///
    /// # Errors
    /// [`Stop::HostCallLimit`] for one too many.
    pub(super) fn count_host_call(&mut self, limits: &Limits) -> Result<(), Stop> {
        self.host_calls += 1;
        let limit = limits.host_calls;
        if self.host_calls > limit { Err(Stop::HostCallLimit { limit }) } else { Ok(()) }
    }

    /// Counts bytes that the guest wrote.
    ///
    /// # Errors
    /// [`Stop::OutputLimit`] for one too many.
    pub(super) fn count_output(&mut self, bytes: u64, limits: &Limits) -> Result<(), Stop> {
        self.output += bytes;
        let limit = limits.output_bytes;
        if self.output > limit { Err(Stop::OutputLimit { limit }) } else { Ok(()) }
    }
}

impl Meter {
    /// Begins to measure the calling thread.
    pub(super) fn start(&mut self) {
        self.from = Some(thread_cpu_time());
    }

    /// Ends that, after a last [`Self::account`].
    pub(super) const fn stop(&mut self) {
        self.from = None;
    }

    /// Accounts what was used since the last time, and tells how much; `None` unless it is measured. Cost: a
    /// system call when it is.
    pub(super) fn account(&mut self) -> Option<Duration> {
        let before = self.from?;
        let now = thread_cpu_time();
        let used = now.saturating_sub(before);
        self.used += used;
        self.from = Some(now);
        Some(used)
    }
}

/// CPU time of the calling thread.
fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::{Call, Meter};
    use crate::config::{Budget, Limits};
    use crate::stop::Stop;

    const LIMITS: Limits = Limits { host_calls: 2, output_bytes: 10, ..Limits::UNLIMITED };

    #[test]
    fn a_limit_is_what_may_still_be_used() {
        let mut call = Call::new(Budget::default(), 0);
        assert_eq!(call.count_host_call(&LIMITS), Ok(()));
        assert_eq!(call.count_host_call(&LIMITS), Ok(()));
        assert_eq!(call.count_host_call(&LIMITS), Err(Stop::HostCallLimit { limit: 2 }));
        assert_eq!(call.count_output(10, &LIMITS), Ok(()));
        assert_eq!(call.count_output(0, &LIMITS), Ok(()));
        assert_eq!(call.count_output(1, &LIMITS), Err(Stop::OutputLimit { limit: 10 }));
    }

    #[test]
    fn cpu_time_is_accounted_while_it_is_measured() {
        let mut meter = Meter::default();
        assert_eq!(meter.account(), None);
        meter.start();
        let (first, second) = (meter.account().unwrap(), meter.account().unwrap());
        assert_eq!(meter.used, first + second);
        meter.stop();
        assert_eq!(meter.account(), None);
    }
}
