//! Guest tracing: what one call is asked to tell, and following what it tells.

use crate::channel::Channel;
use ampoule_abi::channel::{TRACE_BATCH_MAX, TRACE_DIRECTIVES_MAX};
use ampoule_hypervisor::{monotonic, time_stamp, time_stamp_is_invariant};
use ampoule_memory::AddressSpace;
use ampoule_spans::{
    Assembler, Calibration, ClockPair, Counts, Ending, Entry, Limits, Timeline, Transport, Unread,
};
use ampoule_wire::trace::Level;
use parking_lot::Mutex;
use std::sync::{Arc, LazyLock};

/// What the host wants to hear of, by level and target.
#[derive(Debug, PartialEq, Eq)]
pub struct Directives {
    text: Box<str>,
    level: Option<Level>,
}

/// Directives that no guest could be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectivesError {
    /// Too long.
    #[error("{length} bytes of trace directives, the limit is {TRACE_DIRECTIVES_MAX}")]
    TooLong {
        /// Their length in bytes.
        length: usize,
    },
    /// Not `level` or `target=level`.
    #[error(
        "`{directive}` is no trace directive: `level` or `target=level` is, with one of the levels off, error, warn, info, debug, trace"
    )]
    Malformed {
        /// The part that is not understood.
        directive: String,
    },
}

/// The W3C trace context of the span that a call belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceContext {
    /// Trace id.
    pub trace_id: [u8; 16],
    /// Span id.
    pub span_id: [u8; 8],
    /// Trace flags; bit 0 is *sampled*.
    pub flags: u8,
}

/// How one call is traced.
#[derive(Debug, Clone)]
pub struct CallTrace {
    /// What the host wants to hear of; `None`: nothing is followed, and the guest knows the context alone.
    pub directives: Option<Arc<Directives>>,
    /// The span that the call belongs to, for the guest to hand on.
    pub context: TraceContext,
    /// Unix time minus the monotonic clock, in nanoseconds: the caller's idea of what time it is.
    pub wall_offset: i128,
}

impl TraceContext {
    /// Reads a W3C `traceparent` of version 00: `00-<trace id>-<span id>-<flags>`, lower-case hexadecimal.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let is_known = parts.next()? == "00";
        let context = Self {
            trace_id: hexadecimal(parts.next()?)?,
            span_id: hexadecimal(parts.next()?)?,
            flags: hexadecimal::<1>(parts.next()?)?[0],
        };
        (is_known && parts.next().is_none()).then_some(context)
    }
}

fn hexadecimal<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_lower = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    if text.len() != 2 * N || !text.as_bytes().iter().all(is_lower) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

impl Directives {
    /// Directives as in `RUST_LOG`: `level` or `target=level`, separated by commas; the one with the longest
    /// matching target counts, and nothing is wanted where none matches.
    ///
    /// # Errors
    /// [`DirectivesError`].
    pub fn parse(text: &str) -> Result<Self, DirectivesError> {
        if text.len() as u64 > TRACE_DIRECTIVES_MAX {
            return Err(DirectivesError::TooLong { length: text.len() });
        }
        let mut most = None;
        for directive in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (_, level) = directive.rsplit_once('=').unwrap_or(("", directive));
            let level = match level.trim() {
                "off" => None,
                "error" => Some(Level::Error),
                "warn" => Some(Level::Warn),
                "info" => Some(Level::Info),
                "debug" => Some(Level::Debug),
                "trace" => Some(Level::Trace),
                _ => {
                    let directive = directive.chars().take(64).collect();
                    return Err(DirectivesError::Malformed { directive });
                }
            };
            most = most.max(level);
        }
        Ok(Self { text: text.into(), level: most })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The most verbose level of all, as in the control page.
    pub(crate) fn level(&self) -> u32 {
        self.level.map_or(0, |level| level as u32)
    }
}

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
    pub(crate) fn take(&mut self) -> Vec<Entry> {
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

#[cfg(test)]
mod tests {
    use super::{Directives, DirectivesError, TraceContext};

    #[test]
    fn a_traceparent_is_read_whole_or_not_at_all() {
        let context =
            TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        assert_eq!((context.trace_id[0], context.span_id[7], context.flags), (0x0a, 0x31, 1));
        for malformed in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(malformed), None, "{malformed:?}");
        }
    }

    #[test]
    fn the_most_verbose_directive_is_the_level() {
        let level = |text: &str| Directives::parse(text).map(|directives| directives.level());
        assert_eq!(level("info"), Ok(3));
        assert_eq!(level("warn, a::b=trace,c=off"), Ok(5));
        assert_eq!(level("off"), Ok(0));
        assert_eq!(level(""), Ok(0));
    }

    #[test]
    fn what_is_no_directive_is_named() {
        let malformed =
            |directive: &str| Err(DirectivesError::Malformed { directive: directive.to_owned() });
        assert_eq!(Directives::parse("info,a=loud"), malformed("a=loud"));
        assert_eq!(Directives::parse("INFO"), malformed("INFO"));
        let long = "a=info,".repeat(300);
        assert_eq!(Directives::parse(&long), Err(DirectivesError::TooLong { length: 2100 }));
    }
}
