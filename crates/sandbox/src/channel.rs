//! The host's half of the channel.

use crate::tracing::request::{Directives, TraceContext};
use ampoule_abi::channel::{
    Area, CALL_IS_TRACED, ControlPage, GuestMessage, HEADER_SIZE, HostMessage, MAGIC,
    MessageHeader, TRACE_AREA_SIZE, TRACE_DIRECTIVES_OFFSET, TraceHeader,
};
use ampoule_abi::layout::{CHANNEL_BASE, CHANNEL_PHYSICAL_BASE, PAGE_SIZE};
use ampoule_abi::version;
use ampoule_memory::{
    AddressSpace, MapError, Mapping, OutOfBounds, PhysicalAddress, PinnedRange, Privilege,
    Protection, round_up_to_page,
};
use ampoule_spans::Published;
use std::io;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

/// Bytes of each area that are made present at once; a larger message takes its faults.
const PREFAULTED: u64 = 4 * PAGE_SIZE;

/// Shared memory with a guest, and the number of the last message in either direction.
#[derive(Debug)]
pub(crate) struct Channel {
    mapping: Arc<Mapping>,
    to_guest: Area,
    to_host: Area,
    trace: Area,
    sequence: u32,
    /// Bytes of the largest payload sent since the last reset.
    sent: u64,
    told: Told,
}

/// What the control page says about tracing.
#[derive(Debug, Default)]
struct Told {
    level: u32,
    acknowledged: u64,
    directives: Option<Arc<Directives>>,
}

/// Bytes of a message that are copied between two looks at whether the guest is to stop.
const PART: usize = 1 << 20;

/// A message of the guest's, its header checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) kind: GuestMessage,
    pub(crate) function: u32,
    pub(crate) length: u64,
    /// The guest's number of the span that a host call is in; 0 for none.
    pub(crate) span: u64,
}

/// A doorbell without a valid message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("message number {found} where {expected} was due")]
    Sequence { expected: u32, found: u32 },
    #[error("unknown message kind {found}")]
    Kind { found: u32 },
    #[error("message of {length} bytes in an area of {capacity}")]
    Length { length: u64, capacity: u64 },
}

/// What the guest needs to read the time by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ClockParameters {
    pub(crate) tsc_frequency: u64,
    pub(crate) epoch_tsc: u64,
    pub(crate) epoch_wall: u64,
}

impl Channel {
    /// Shared memory for messages of up to `message_bytes`.
    pub(crate) fn new(message_bytes: u64) -> io::Result<Self> {
        let [to_guest, to_host, trace] = areas(message_bytes)?;
        let size = to_host.size;
        let mapping = Mapping::anonymous(trace.offset + trace.size)?;
        mapping.populate(0, PAGE_SIZE + PREFAULTED.min(size))?;
        mapping.populate(to_host.offset, PREFAULTED.min(size))?;
        // A call with a few spans fills no more.
        mapping.populate(trace.offset, PAGE_SIZE)?;
        let told = Told::default();
        Ok(Self {
            mapping: Arc::new(mapping),
            to_guest,
            to_host,
            trace,
            sequence: 0,
            sent: 0,
            told,
        })
    }

    /// Where a channel for messages of up to `message_bytes` is shown to a guest.
    pub(crate) fn ranges(message_bytes: u64) -> io::Result<[PinnedRange; 2]> {
        areas(message_bytes).map(|[_, to_host, trace]| Self::shown(to_host, trace))
    }

    fn shown(to_host: Area, trace: Area) -> [PinnedRange; 2] {
        let shown = |from: u64, to: u64, protection| PinnedRange {
            start: CHANNEL_BASE + from,
            end: CHANNEL_BASE + to,
            protection,
            privilege: Privilege::User,
            attached: Some(physical(from)),
        };
        let end = trace.offset + trace.size;
        let host = shown(0, to_host.offset, Protection::READ);
        [host, shown(to_host.offset, end, Protection::READ_WRITE)]
    }

    /// Puts the channel's memory behind the mappings that a space from a snapshot has already.
    pub(crate) fn attach_to(&self, space: &mut AddressSpace) {
        space.attach(physical(0), Arc::clone(&self.mapping));
    }

    /// Shows the channel to the guest: the control page and the host's area read-only.
    pub(crate) fn map_into(&self, space: &mut AddressSpace) -> Result<(), MapError> {
        self.attach_to(space);
        Self::shown(self.to_host, self.trace).iter().try_for_each(|range| {
            let base = range.attached.unwrap_or(physical(0));
            space.map_attached(range.start, range.end - range.start, base, range.protection)
        })
    }

    /// Fills the control page.
    pub(crate) fn describe(&self, clock: ClockParameters) -> Result<(), OutOfBounds> {
        let words = [
            (offset_of!(ControlPage, magic), MAGIC),
            (offset_of!(ControlPage, abi_version), u64::from(version::CURRENT)),
            (offset_of!(ControlPage, features), 0),
            (offset_of!(ControlPage, to_guest), self.to_guest.offset),
            (offset_of!(ControlPage, to_guest) + 8, self.to_guest.size),
            (offset_of!(ControlPage, to_host), self.to_host.offset),
            (offset_of!(ControlPage, to_host) + 8, self.to_host.size),
            (offset_of!(ControlPage, trace), self.trace.offset),
            (offset_of!(ControlPage, trace) + 8, self.trace.size),
            (offset_of!(ControlPage, trace_generation), generation()),
            (offset_of!(ControlPage, trace_directives), TRACE_DIRECTIVES_OFFSET),
            (offset_of!(ControlPage, tsc_frequency), clock.tsc_frequency),
            (offset_of!(ControlPage, epoch_tsc), clock.epoch_tsc),
            (offset_of!(ControlPage, epoch_wall), clock.epoch_wall),
        ];
        words.iter().try_for_each(|&(at, value)| self.mapping.write_u64(at as u64, value))
    }

    /// The number of the last message in either direction.
    pub(crate) const fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Forgets all messages but their numbers, so that the next one is behind the guest's `sequence`.
    /// What the guest wrote is forgotten here only when the space was restored wholesale; else the
    /// space did that.
    pub(crate) fn reset(&mut self, sequence: u32, wholesale: bool) -> io::Result<()> {
        let used = HEADER_SIZE + self.sent;
        self.mapping.zero(self.to_guest.offset, used).map_err(io::Error::other)?;
        if wholesale {
            self.discard_guests_areas()?;
        }
        self.forget_trace().map_err(io::Error::other)?;
        let number = |area: Area, number: u32| {
            self.mapping.write(area.offset, &number.to_le_bytes()).map_err(io::Error::other)
        };
        number(self.to_guest, sequence.wrapping_sub(1))?;
        number(self.to_host, sequence)?;
        self.sent = 0;
        self.sequence = sequence;
        Ok(())
    }

    /// Empties both areas. A [`Self::reset`] has to follow before they are used.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.sent = 0;
        self.mapping.discard(self.to_guest.offset, self.to_guest.size)?;
        self.discard_guests_areas()
    }

    /// Empties what the guest can write.
    fn discard_guests_areas(&self) -> io::Result<()> {
        self.mapping.discard(self.to_host.offset, self.to_host.size)?;
        self.mapping.discard(self.trace.offset, self.trace.size)
    }

    /// Takes back what earlier calls were told about tracing: a guest that goes back must not see it.
    fn forget_trace(&mut self) -> Result<(), OutOfBounds> {
        let told = std::mem::take(&mut self.told);
        if told.level > 0 {
            self.write_level(0)?;
        }
        if told.acknowledged > 0 {
            self.write_control(offset_of!(ControlPage, trace_acknowledged), 0)?;
        }
        if let Some(directives) = told.directives {
            self.mapping.zero(TRACE_DIRECTIVES_OFFSET, directives.text().len() as u64)?;
            self.write_control(offset_of!(ControlPage, trace_directives) + 8, 0)?;
        }
        self.write_control(offset_of!(ControlPage, trace_generation), generation())
    }

    fn write_control(&self, at: usize, value: u64) -> Result<(), OutOfBounds> {
        self.mapping.write_u64(at as u64, value)
    }

    fn write_level(&self, level: u32) -> Result<(), OutOfBounds> {
        self.mapping.write(offset_of!(ControlPage, trace_level) as u64, &level.to_le_bytes())
    }

    /// Tells the guest what to trace during the next call; `None` for nothing. Cost: nothing, unless it is
    /// something else than before.
    pub(crate) fn tell(&mut self, directives: Option<&Arc<Directives>>) -> Result<(), OutOfBounds> {
        let level = directives.map_or(0, |directives| directives.level());
        if level != self.told.level {
            self.write_level(level)?;
            self.told.level = level;
        }
        let Some(directives) = directives else { return Ok(()) };
        if self.told.directives.as_ref().is_none_or(|told| told != directives) {
            let text = directives.text().as_bytes();
            self.mapping.write(TRACE_DIRECTIVES_OFFSET, text)?;
            let length = offset_of!(ControlPage, trace_directives) + 8;
            self.write_control(length, text.len() as u64)?;
            self.write_control(offset_of!(ControlPage, trace_generation), generation())?;
            self.told.directives = Some(Arc::clone(directives));
        }
        Ok(())
    }

    /// What the guest has published of trace events, and how many it could not write. Cost: one copy of 32
    /// bytes.
    pub(crate) fn published(&self) -> (Published, u64) {
        let mut header = [0_u8; 32];
        // The area lies inside the mapping by construction, so this cannot fail.
        let read = self.mapping.read(self.trace.offset, &mut header);
        debug_assert!(read.is_ok(), "the area lies inside the mapping");
        let word = |at: usize| u64::from_le_bytes(take(&header, at));
        let published = Published {
            sequence: word(offset_of!(TraceHeader, sequence)),
            address: word(offset_of!(TraceHeader, address)),
            length: word(offset_of!(TraceHeader, length)),
        };
        (published, word(offset_of!(TraceHeader, dropped)))
    }

    /// Tells the guest that everything of batch `sequence` has been read.
    pub(crate) fn acknowledge(&mut self, sequence: u64) {
        if sequence != self.told.acknowledged {
            let at = offset_of!(ControlPage, trace_acknowledged);
            let written = self.write_control(at, sequence);
            debug_assert!(written.is_ok(), "the control page lies inside the mapping");
            self.told.acknowledged = sequence;
        }
    }

    /// Largest payload in either direction, in bytes.
    pub(crate) const fn capacity(&self) -> u64 {
        self.to_guest.size - HEADER_SIZE
    }

    /// Leaves a message for the guest, in the trace context that it belongs to, if it is a traced call.
    /// Cost: one copy.
    ///
    /// # Errors
    /// [`OutOfBounds`] when `payload` is larger than [`Self::capacity`]; nothing is sent then.
    pub(crate) fn send(
        &mut self,
        kind: HostMessage,
        function: u32,
        payload: &[u8],
        context: Option<&TraceContext>,
    ) -> Result<(), OutOfBounds> {
        let length = payload.len() as u64;
        if length > self.capacity() {
            let available = self.capacity();
            return Err(OutOfBounds { offset: 0, length, available });
        }
        let next = self.sequence.wrapping_add(1);
        let mut header = [0_u8; size_of::<MessageHeader>()];
        put(&mut header, offset_of!(MessageHeader, sequence), &next.to_le_bytes());
        put(&mut header, offset_of!(MessageHeader, kind), &(kind as u32).to_le_bytes());
        put(&mut header, offset_of!(MessageHeader, function), &function.to_le_bytes());
        put(&mut header, offset_of!(MessageHeader, length), &length.to_le_bytes());
        if let Some(context) = context {
            put(&mut header, offset_of!(MessageHeader, flags), &CALL_IS_TRACED.to_le_bytes());
            put(&mut header, offset_of!(MessageHeader, trace_id), &context.trace_id);
            put(&mut header, offset_of!(MessageHeader, span_id), &context.span_id);
            put(&mut header, offset_of!(MessageHeader, trace_flags), &[context.flags]);
        }
        // The guest is stopped and sees both together.
        self.mapping.write(self.to_guest.offset + HEADER_SIZE, payload)?;
        self.mapping.write(self.to_guest.offset, &header)?;
        self.sequence = next;
        self.sent = self.sent.max(length);
        Ok(())
    }

    /// Reads and checks the header of the guest's message, once.
    pub(crate) fn receive(&mut self) -> Result<Received, HeaderError> {
        let mut header = [0_u8; size_of::<MessageHeader>()];
        // The area lies inside the mapping by construction, so this cannot fail.
        let read = self.mapping.read(self.to_host.offset, &mut header);
        debug_assert!(read.is_ok(), "the area lies inside the mapping");
        let word = |at: usize| u32::from_le_bytes(take(&header, at));
        let expected = self.sequence.wrapping_add(1);
        let found = word(offset_of!(MessageHeader, sequence));
        if found != expected {
            return Err(HeaderError::Sequence { expected, found });
        }
        let found = word(offset_of!(MessageHeader, kind));
        let kind = GuestMessage::from_wire(found).ok_or(HeaderError::Kind { found })?;
        let length = u64::from_le_bytes(take(&header, offset_of!(MessageHeader, length)));
        if length > self.capacity() {
            return Err(HeaderError::Length { length, capacity: self.capacity() });
        }
        self.sequence = expected;
        let span = u64::from_le_bytes(take(&header, offset_of!(MessageHeader, span_id)));
        Ok(Received { kind, function: word(offset_of!(MessageHeader, function)), length, span })
    }

    /// Appends a part of the payload of a message that [`Self::receive`] announced to `out`, which holds
    /// what comes before it; tells whether that was the last one.
    pub(crate) fn payload_some(
        &self,
        received: &Received,
        out: &mut Vec<u8>,
    ) -> Result<bool, OutOfBounds> {
        let available = self.capacity();
        let too_long = OutOfBounds { offset: 0, length: received.length, available };
        let whole = usize::try_from(received.length).map_err(|_| too_long)?;
        let done = out.len();
        out.reserve_exact(whole.saturating_sub(done));
        out.resize(whole.min(done + PART), 0);
        self.mapping.read(self.to_host.offset + HEADER_SIZE + done as u64, &mut out[done..])?;
        Ok(out.len() == whole)
    }
}

/// A number that no guest has seen: not one in a snapshot either, of whatever process.
fn generation() -> u64 {
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| {
        let mut random = [0_u8; 8];
        // Early in the life of a system there may be none; then the clock has to do.
        let got = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::NONBLOCK);
        let clock = || rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_nsec;
        AtomicU64::new(if got == Ok(random.len()) {
            u64::from_le_bytes(random)
        } else {
            clock().cast_unsigned() << 32
        })
    });
    // 0 is what a guest begins with.
    NEXT.fetch_add(1, Ordering::Relaxed).max(1)
}

/// Where the areas lie behind the control page: to the guest, to the host, trace.
fn areas(message_bytes: u64) -> io::Result<[Area; 3]> {
    let size = message_bytes
        .checked_add(HEADER_SIZE)
        .and_then(round_up_to_page)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let to_host = PAGE_SIZE + size;
    let trace = Area { offset: to_host + size, size: TRACE_AREA_SIZE };
    Ok([Area { offset: PAGE_SIZE, size }, Area { offset: to_host, size }, trace])
}

/// Where the channel's memory lies for the guest's processor.
const fn physical(offset: u64) -> PhysicalAddress {
    PhysicalAddress::new(CHANNEL_PHYSICAL_BASE + offset)
}

fn put(header: &mut [u8], at: usize, bytes: &[u8]) {
    header[at..at + bytes.len()].copy_from_slice(bytes);
}

fn take<const N: usize>(header: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}
