//! The host's half of the channel: where it lies, and what a guest finds in it.

mod generation;
pub(crate) mod messages;
mod trace;

use crate::tracing::request::Directives;
use ampoule_abi::channel::{
    Area, ControlPage, HEADER_SIZE, MAGIC, TRACE_AREA_SIZE, TRACE_DIRECTIVES_OFFSET,
};
use ampoule_abi::layout::{CHANNEL_BASE, CHANNEL_PHYSICAL_BASE, PAGE_SIZE};
use ampoule_abi::version;
use ampoule_memory::{
    AddressSpace, MapError, Mapping, OutOfBounds, PhysicalAddress, PinnedRange, Privilege,
    Protection, round_up_to_page,
};
use generation::generation;
use std::io;
use std::mem::offset_of;
use std::sync::Arc;

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

    /// Largest payload in either direction, in bytes.
    pub(crate) const fn capacity(&self) -> u64 {
        self.to_guest.size - HEADER_SIZE
    }
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

/// A number of `N` bytes in a header.
fn take<const N: usize>(header: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}
