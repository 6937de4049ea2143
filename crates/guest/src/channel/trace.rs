//! The trace area, what the control page says about tracing, and the time-stamp counter.

use super::error::ChannelError;
use ampoule_abi::channel::{
    Area, ControlPage, TRACE_BATCH_MAX, TRACE_DIRECTIVES_MAX, TRACE_RECORD_ALIGNMENT, TraceHeader,
};
use ampoule_abi::{layout::PAGE_SIZE, port};
use std::mem::offset_of;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

const PAGE: usize = narrow(PAGE_SIZE);
const ALIGNMENT: usize = narrow(TRACE_RECORD_ALIGNMENT);
const BATCH_MAX: usize = narrow(TRACE_BATCH_MAX);

#[expect(clippy::cast_possible_truncation, reason = "an address has 64 bits on x86-64")]
const fn narrow(number: u64) -> usize {
    number as usize
}

/// Least room for a batch: one record of any kind, cut as far as it goes.
const BATCH_MIN: usize = 512;

/// Where batches are written, and the control page that says what the host wants of them.
///
/// Holds addresses only, as the channel does; everything that the host writes is read anew.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TraceArea {
    control: usize,
    header: usize,
    capacity: usize,
    /// Leaves the virtual machine for the host to read the batch; tests play the host in it.
    ring: fn(),
}

impl TraceArea {
    /// The area that the control page at `control` names; `None` if there is none, or one without
    /// room for a record.
    pub(crate) fn new(
        control: usize,
        area: Area,
        ring: fn(),
    ) -> Result<Option<Self>, ChannelError> {
        if area.size == 0 {
            return Ok(None);
        }
        let address = |offset| control.checked_add(usize::try_from(offset).ok()?);
        let header = address(area.offset).ok_or(ChannelError::Area)?;
        let size = usize::try_from(area.size).map_err(|_| ChannelError::Area)?;
        if !header.is_multiple_of(align_of::<TraceHeader>()) || header.checked_add(size).is_none() {
            return Err(ChannelError::Area);
        }
        let capacity = size.saturating_sub(size_of::<TraceHeader>()).min(BATCH_MAX);
        let capacity = capacity - capacity % ALIGNMENT;
        Ok((capacity >= BATCH_MIN).then_some(Self { control, header, capacity, ring }))
    }

    /// [`ControlPage::trace_level`], at most 5.
    pub(crate) fn level(&self) -> u8 {
        let level: u32 = read(self.control, offset_of!(ControlPage, trace_level));
        u8::try_from(level.min(5)).unwrap_or(5)
    }

    /// [`ControlPage::trace_generation`].
    pub(crate) fn generation(&self) -> u64 {
        read(self.control, offset_of!(ControlPage, trace_generation))
    }

    /// [`ControlPage::trace_acknowledged`].
    pub(crate) fn acknowledged(&self) -> u64 {
        read(self.control, offset_of!(ControlPage, trace_acknowledged))
    }

    /// The text of the directives; empty if the control page names a place outside itself.
    pub(crate) fn directives(&self) -> String {
        let area = offset_of!(ControlPage, trace_directives);
        let offset: u64 = read(self.control, area + offset_of!(Area, offset));
        let size: u64 = read(self.control, area + offset_of!(Area, size));
        let in_page = offset.checked_add(size).is_some_and(|end| end <= PAGE_SIZE);
        let is_there = in_page && size <= TRACE_DIRECTIVES_MAX;
        let range = usize::try_from(offset).ok().zip(usize::try_from(size).ok());
        let Some((offset, size)) = range.filter(|_| is_there) else {
            return String::new();
        };
        let bytes: Vec<u8> = (offset..offset + size).map(|at| read(self.control, at)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The header of the batch.
    pub(crate) fn header(&self) -> &'static TraceHeader {
        // SAFETY: the control page, whose magic was checked, gives the address of an area that stays
        // mapped for the program's life; it is aligned and `size_of::<TraceHeader>()` bytes of it lie
        // before the batch (both checked in `new`). What changes there is atomic.
        unsafe { &*with_exposed_provenance::<TraceHeader>(self.header) }
    }

    /// Bytes of a batch, a multiple of [`TRACE_RECORD_ALIGNMENT`].
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The address of the batch, behind the header.
    pub(crate) fn batch(&self) -> usize {
        self.header + size_of::<TraceHeader>()
    }

    /// Copies a record into the batch and fills it up with zeros; gives the bytes that it takes there,
    /// or `None` if it does not fit.
    pub(crate) fn write(&self, offset: usize, record: &[u8]) -> Option<usize> {
        let size = record.len().checked_next_multiple_of(ALIGNMENT)?;
        if offset.checked_add(size)? > self.capacity {
            return None;
        }
        let place = with_exposed_provenance_mut::<u8>(self.batch() + offset);
        // SAFETY: `offset + size` bytes of the batch, at least as many as the record has, lie in the
        // area (checked above), which is mapped and writable; no reference to that memory exists, so
        // the record does not overlap it.
        unsafe { place.copy_from_nonoverlapping(record.as_ptr(), record.len()) };
        let fill = place.wrapping_add(record.len());
        // SAFETY: the bytes from the record's end to `size` lie in the same checked range.
        unsafe { fill.write_bytes(0, size - record.len()) };
        Some(size)
    }

    /// Replaces an aligned integer of the batch; false for a place outside of it.
    pub(crate) fn overwrite(&self, offset: usize, value: u64) -> bool {
        let in_batch = offset.checked_add(size_of::<u64>()).is_some_and(|end| end <= self.capacity);
        if !in_batch || !offset.is_multiple_of(align_of::<u64>()) {
            return false;
        }
        let place = with_exposed_provenance_mut::<u64>(self.batch() + offset);
        // SAFETY: the eight bytes lie in the batch (checked above), which is mapped, writable and aligned
        // as its header is; no reference to that memory exists. Volatile, so that it is one store: the
        // host finds the old value or the new one.
        unsafe { place.write_volatile(value) };
        true
    }

    /// Says that the batch is full. The host reads it meanwhile, and acknowledges it if it wants more.
    pub(crate) fn ring(&self) {
        (self.ring)();
    }
}

/// [`ControlPage::tsc_frequency`] of the page at `control`.
pub(super) fn frequency(control: usize) -> u64 {
    read(control, offset_of!(ControlPage, tsc_frequency))
}

/// An integer, every bit pattern of which is one.
trait Integer: Copy + Default {}
impl Integer for u8 {}
impl Integer for u32 {}
impl Integer for u64 {}

/// An integer in the control page at `control`; 0 from a place outside the page or out of alignment.
fn read<T: Integer>(control: usize, offset: usize) -> T {
    let in_page = offset.checked_add(size_of::<T>()).is_some_and(|end| end <= PAGE);
    if !in_page || !offset.is_multiple_of(align_of::<T>()) {
        return T::default();
    }
    // SAFETY: the whole page is mapped for the program's life (its magic was checked) and aligned for
    // a `ControlPage`, whose alignment is that of `u64`; the integer lies in it and is aligned (checked
    // above). The host writes to the page only while the guest rings.
    unsafe { with_exposed_provenance::<T>(control + offset).read_volatile() }
}

/// Leaves the virtual machine by [`port::TRACE`].
pub(super) fn ring() {
    // SAFETY: in a sandbox, where alone an area exists, port access leaves the virtual CPU for the
    // host, which changes no register and, of this program's memory, only the control page. Without
    // `nomem` the compiler writes back and reloads everything.
    unsafe {
        std::arch::asm!(
            "out {port}, al",
            port = const port::TRACE,
            in("al") 0_u8,
            options(nostack, preserves_flags)
        );
    }
}

/// The processor's time-stamp counter.
pub(crate) fn timestamp() -> u64 {
    // SAFETY: every x86-64 processor has the instruction. Linux leaves it to user programs, and so does
    // a sandbox.
    unsafe { std::arch::x86_64::_rdtsc() }
}
