//! Guest tracing: following what a guest tells of its calls.

pub(crate) mod request;

pub use request::{CallTrace, Directives, DirectivesError, TraceContext};

use crate::channel::Channel;
use ampoule_abi::channel::TRACE_BATCH_MAX;
use ampoule_machine::{monotonic, time_stamp, time_stamp_is_invariant};
use ampoule_memory::AddressSpace;
use ampoule_spans::{
    Assembler, Calibration, ClockPair, Counts, Ending, Limits, Timeline, TraceEntry, Transport,
    Unread,
};
use parking_lot::Mutex;
use std::sync::LazyLock;

/// Whether times of guests are as exact as the readings of the clock: the processor's counter is invariant.
#[must_use]
pub fn clock_is_invariant() -> bool {
    *IS_INVARIANT
}

/// Unix time minus the monotonic clock, in nanoseconds.
#[must_use]
pub fn wall_offset() -> i128 {
    // The wall clock in the middle of two readings of the other, the tightest of three.
    (0..3)
        .map(|_| {
            let before = monotonic();
            let wall = realtime();
            let after = monotonic();
            (after.saturating_sub(before), i128::from(wall) - i128::from(before.midpoint(after)))
        })
        .min_by_key(|&(window, _)| window)
        .map_or(0, |(_, offset)| offset)
}

/// Follows what the guest of one sandbox tells.
#[derive(Debug, Default)]
pub(crate) struct Tracing {
    assembler: Assembler,
    transport: Transport,
    /// What a batch is copied to before it is looked at.
    batch: Vec<u8>,
    /// The guest's own count of what it could not write.
    dropped: u64,
    /// When the guest was found to have stopped, if it has not run since.
    stopped_at: Option<ClockPair>,
    /// A call that nobody traced may have published something.
    pub(crate) may_be_behind: bool,
    pub(crate) counters: Counters,
}

/// What has come of all calls so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    /// Bytes that were published, read or not.
    pub(crate) bytes: u64,
    /// Records that were read.
    pub(crate) records: u64,
    /// Records that were left out or never written, and times that were moved.
    pub(crate) left_out: u64,
}

/// The counter's frequency by measurement, for hypervisors that do not tell it.
static CALIBRATION: LazyLock<Mutex<Calibration>> = LazyLock::new(Mutex::default);

/// Whether times are as exact as the readings of the clock.
static IS_INVARIANT: LazyLock<bool> = LazyLock::new(time_stamp_is_invariant);

impl Tracing {
    pub(crate) const fn set_limits(&mut self, limits: Limits) {
        self.assembler.set_limits(limits);
    }

    /// Begins to follow a call whose host knows the counter's `frequency`, or does not.
    pub(crate) fn begin_call(&mut self, frequency: Option<u64>, wall_offset: i128) {
        let now = now();
        let frequency = frequency.or_else(|| {
            let mut calibration = CALIBRATION.lock();
            calibration.add(now);
            calibration.frequency()
        });
        let timeline = Timeline::new(Some(now), frequency, Some(wall_offset));
        self.assembler.begin_call(timeline, !*IS_INVARIANT);
    }

    /// Whether the call in progress is followed.
    pub(crate) const fn is_on(&self) -> bool {
        self.assembler.is_in_call()
    }

    /// Reads what the guest has published since the last time and tells it so. `is_full` says that the guest
    /// rang for that alone.
    pub(crate) fn collect(&mut self, channel: &mut Channel, space: &AddressSpace, is_full: bool) {
        self.stopped_at = None;
        let (published, dropped) = channel.published();
        let unread = self.transport.advance(published, is_full, TRACE_BATCH_MAX);
        let malformed = match unread {
            Ok(None) => 0,
            Ok(Some(unread)) => {
                self.counters.bytes += unread.addresses.end - unread.addresses.start;
                u64::from(self.is_on() && !self.read(space, &unread))
            }
            Err(_) => 1,
        };
        let more = dropped.saturating_sub(self.dropped);
        self.dropped = dropped;
        self.assembler.count_lost(more, malformed);
        channel.acknowledge(self.transport.acknowledged());
    }

    /// Bytes that were published and not looked at since the last time.
    pub(crate) fn unread(&self, channel: &Channel) -> u64 {
        let mut transport = self.transport;
        match transport.advance(channel.published().0, false, TRACE_BATCH_MAX) {
            Ok(Some(unread)) => unread.addresses.end - unread.addresses.start,
            Ok(None) | Err(_) => 0,
        }
    }

    fn read(&mut self, space: &AddressSpace, unread: &Unread) -> bool {
        let length = unread.addresses.end - unread.addresses.start;
        // At most `TRACE_BATCH_MAX`, as the transport has made sure.
        self.batch.resize(usize::try_from(length).unwrap_or(0), 0);
        // Once: the bytes may be others at the next look.
        if space.peek(unread.addresses.start, &mut self.batch).is_err() {
            return false;
        }
        let now = now();
        self.counters.records += self.assembler.absorb(&self.batch, now);
        self.stopped_at = Some(now);
        true
    }

    /// The guest begins to initialise.
    pub(crate) fn mark_start(&mut self) {
        self.assembler.mark_start(now());
    }

    /// The guest calls host function number `function` in the span that it calls `current`.
    pub(crate) fn host_call(&mut self, current: u64, function: u32) {
        if self.is_on() {
            // Taken: what ends the call while the host function runs comes later than this.
            let now = self.stopped_at.take().unwrap_or_else(now);
            self.assembler.host_call(current, function, now);
        }
    }

    /// The host function has returned. The guest may have to wait for a processor.
    pub(crate) fn host_answered(&mut self) {
        if self.is_on() {
            self.assembler.host_answered(monotonic());
        }
    }

    /// The guest is entered: if a host function has returned, it goes on now. Cost: a branch.
    pub(crate) fn guest_entered(&mut self) {
        if self.assembler.is_in_host_call() {
            self.assembler.host_return(now(), false);
        }
    }

    /// The call is over. Everything has been read.
    pub(crate) fn end_call(&mut self, ending: Ending) {
        if self.is_on() {
            let now = self.stopped_at.unwrap_or_else(now);
            let counts: Counts = self.assembler.end_call(now, ending);
            self.counters.left_out += counts.total();
        }
    }

    /// What has happened since the last time, in order.
    pub(crate) fn take(&mut self) -> Vec<TraceEntry> {
        self.assembler.take()
    }

    pub(crate) fn take_json(&mut self, count: usize, bytes: usize) -> String {
        self.assembler.take_json(count, bytes)
    }

    pub(crate) fn drop_entries(&mut self) {
        self.assembler.drop_entries();
    }

    /// The guest is another one from here on, or the same one at an earlier time: it will tell of its
    /// callsites again and count its batches from somewhere else.
    pub(crate) fn begin_generation(&mut self) {
        self.end_call(Ending::Stopped);
        self.assembler.begin_generation();
        self.transport = Transport::default();
        self.dropped = 0;
    }
}

/// The time-stamp counter and the monotonic clock now.
fn now() -> ClockPair {
    ClockPair::read(time_stamp, monotonic)
}

/// Unix time in nanoseconds; 0 for times before 1970.
fn realtime() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}
