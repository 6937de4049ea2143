//! Reading a FlatBuffer whose writer is not trusted.
//!
//! Every offset is checked when it is followed, so that what is not looked at costs nothing: a record takes
//! a third of the time that the library's verifier and accessors take together, and no unsafe code sees a
//! guest's bytes. The format is that of the FlatBuffers project's documentation (`internals.md`): a table begins
//! with the signed distance back to its vtable, which has its own size, the table's size, and for each field
//! the distance from the table's start, 0 for one that is absent and has its default.

use std::cell::Cell;
use std::ops::Range;

/// A FlatBuffer, with what may yet be read of it.
#[derive(Debug)]
pub(crate) struct Buffer<'a> {
    bytes: &'a [u8],
    /// Shared parts, by which a small buffer can describe a huge one, count each time they are used.
    budget: Cell<usize>,
}

/// What is wrong with a buffer.
pub(crate) type Malformed = &'static str;

/// A table in a buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table<'b, 'a> {
    buffer: &'b Buffer<'a>,
    at: usize,
    /// The distances of the fields.
    fields: &'a [u8],
}

impl<'a> Buffer<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, budget: Cell::new(2 * bytes.len()) }
    }

    /// The table that the offset at `at` leads to.
    pub(crate) fn table(&self, at: usize) -> Result<Table<'_, 'a>, Malformed> {
        let at = self.follow(at)?;
        let back = i32::from_le_bytes(self.array(at)?);
        let start = isize::try_from(back).ok().and_then(|back| at.checked_add_signed(-back));
        let start = start.ok_or("a vtable outside of the record")?;
        let size = usize::from(u16::from_le_bytes(self.array(start)?));
        let vtable = self.slice(start..start.saturating_add(size))?;
        let fields = vtable.get(4..).ok_or("a vtable without a head")?;
        // A table is at least its distance to the vtable, and takes a place in a vector.
        self.spend(8)?;
        Ok(Table { buffer: self, at, fields })
    }

    fn text(&self, at: usize) -> Result<&'a str, Malformed> {
        let bytes = self.slice(self.elements(self.follow(at)?, 1)?)?;
        self.spend(bytes.len())?;
        std::str::from_utf8(bytes).map_err(|_| "a text that is not UTF-8")
    }

    /// Where the elements of the vector at `at` lie, each of `size` bytes.
    fn elements(&self, at: usize, size: usize) -> Result<Range<usize>, Malformed> {
        let count = u32::from_le_bytes(self.array(at)?);
        let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(size));
        let start = at + 4;
        let end = length.and_then(|length| start.checked_add(length));
        let end = end.filter(|&end| end <= self.bytes.len());
        Ok(start..end.ok_or("a vector that leads out of the record")?)
    }

    fn follow(&self, at: usize) -> Result<usize, Malformed> {
        let distance = u32::from_le_bytes(self.array(at)?);
        let target = usize::try_from(distance).ok().and_then(|distance| at.checked_add(distance));
        target.ok_or("an offset beyond all memory")
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], Malformed> {
        let found = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
        found.copied().ok_or("an offset that leads out of the record")
    }

    fn slice(&self, range: Range<usize>) -> Result<&'a [u8], Malformed> {
        self.bytes.get(range).ok_or("a range that leads out of the record")
    }

    fn spend(&self, bytes: usize) -> Result<(), Malformed> {
        let left = self.budget.get().checked_sub(bytes);
        self.budget.set(left.ok_or("more parts than the record has bytes for")?);
        Ok(())
    }
}

impl<'b, 'a> Table<'b, 'a> {
    /// Where field number `slot` stands; `None` if it is absent.
    fn place(&self, slot: usize) -> Option<usize> {
        let distance = self.fields.get(2 * slot..)?.first_chunk::<2>()?;
        let distance = usize::from(u16::from_le_bytes(*distance));
        (distance > 0).then_some(self.at + distance)
    }

    fn number<const N: usize>(&self, slot: usize) -> Result<[u8; N], Malformed> {
        self.place(slot).map_or(Ok([0; N]), |at| self.buffer.array(at))
    }

    pub(crate) fn u8(&self, slot: usize) -> Result<u8, Malformed> {
        self.number::<1>(slot).map(|[byte]| byte)
    }

    pub(crate) fn u16(&self, slot: usize) -> Result<u16, Malformed> {
        self.number(slot).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&self, slot: usize) -> Result<u32, Malformed> {
        self.number(slot).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&self, slot: usize) -> Result<u64, Malformed> {
        self.number(slot).map(u64::from_le_bytes)
    }

    pub(crate) fn bool(&self, slot: usize) -> Result<bool, Malformed> {
        self.u8(slot).map(|byte| byte != 0)
    }

    pub(crate) fn text(&self, slot: usize) -> Result<Option<&'a str>, Malformed> {
        self.place(slot).map(|at| self.buffer.text(at)).transpose()
    }

    pub(crate) fn table(&self, slot: usize) -> Result<Option<Table<'b, 'a>>, Malformed> {
        self.place(slot).map(|at| self.buffer.table(at)).transpose()
    }

    pub(crate) fn tables<T>(
        &self,
        slot: usize,
        mut read: impl FnMut(Table<'b, 'a>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        self.vector(slot, |at| self.buffer.table(at).and_then(&mut read))
    }

    pub(crate) fn texts(&self, slot: usize) -> Result<Vec<&'a str>, Malformed> {
        self.vector(slot, |at| {
            self.buffer.spend(4)?;
            self.buffer.text(at)
        })
    }

    /// The elements of a vector of offsets, each made by `read` of its place. Empty if it is absent.
    fn vector<T>(
        &self,
        slot: usize,
        read: impl FnMut(usize) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        const OFFSET: usize = 4;
        let Some(at) = self.place(slot) else { return Ok(Vec::new()) };
        let places = self.buffer.elements(self.buffer.follow(at)?, OFFSET)?;
        places.step_by(OFFSET).map(read).collect()
    }
}
