//! Addresses and what lies between two of them, each with a type of its own.
//!
//! A plain `u64` is what a guest, a file or a caller *said*. A [`VirtualAddress`] is what was checked: it
//! lies where a guest's memory can lie. The two meet in [`VirtualAddress::checked`] and [`PageRange::between`],
//! at the public edge of the crate and nowhere below.
//!
//! None of the types has arithmetic traits: what may be added to what has a method, and where no method is,
//! the sum has no meaning.

use crate::count::PageCount;
use ampoule_abi::layout::{PAGE_SIZE, USER_END};

/// A guest-physical address.
///
/// Adding happens with [`PhysicalAddress::plus`], so that a wild offset from a guest cannot wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhysicalAddress(u64);

impl PhysicalAddress {
    /// The address `value`.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The address as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The address `offset` bytes further on; a sum that would wrap lies in no memory.
    #[must_use]
    pub const fn plus(self, offset: u64) -> Self {
        Self(self.0.saturating_add(offset))
    }

    /// The address `offset` bytes further on in the same table or run of frames.
    pub(crate) const fn step(self, offset: u64) -> Self {
        Self(self.0.wrapping_add(offset))
    }
}

/// A guest-virtual address at which a guest can have memory, or the end of them all ([`USER_END`]): what a
/// guest said, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualAddress(u64);

impl VirtualAddress {
    /// Behind the last address that a guest can use.
    pub(crate) const END: Self = Self(USER_END);

    /// The address `value`, if it is not behind the end.
    #[must_use]
    pub const fn checked(value: u64) -> Option<Self> {
        if value <= USER_END { Some(Self(value)) } else { None }
    }

    /// The address `value`, or the end for all behind it.
    pub(crate) const fn clamped(value: u64) -> Self {
        if value <= USER_END { Self(value) } else { Self::END }
    }

    /// The address as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The start of its page.
    pub(crate) const fn page(self) -> Self {
        Self(self.0 & !(PAGE_SIZE - 1))
    }

    /// Bytes from the start of its page.
    pub(crate) const fn in_page(self) -> u64 {
        self.0 & (PAGE_SIZE - 1)
    }

    /// Bytes up to the end of its page; at least one.
    pub(crate) const fn left_in_page(self) -> u64 {
        PAGE_SIZE - self.in_page()
    }

    pub(crate) const fn block(self) -> Block {
        Block(self.0 / Block::BYTES)
    }

    /// The address `bytes` further on, or the end.
    pub(crate) const fn plus(self, bytes: u64) -> Self {
        Self::clamped(self.0.saturating_add(bytes))
    }

    /// The address `bytes` further on, which lies in the same range as this one or at its end: for loops over
    /// pages, where asking again costs a tenth of the loop.
    pub(crate) const fn step(self, bytes: u64) -> Self {
        debug_assert!(self.0 + bytes <= USER_END, "a step stays in its range");
        Self(self.0 + bytes)
    }

    /// Bytes from `start`, which is not behind it.
    pub(crate) const fn since(self, start: Self) -> u64 {
        self.0 - start.0
    }
}

/// Whole pages from one guest-virtual address up to another one, checked; there may be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageRange {
    start: VirtualAddress,
    end: VirtualAddress,
}

impl PageRange {
    /// The pages of `[start, end)`, unless these are not whole pages in order below the end of what a guest
    /// can have.
    #[must_use]
    pub const fn between(start: u64, end: u64) -> Option<Self> {
        match (VirtualAddress::checked(start), VirtualAddress::checked(end)) {
            (Some(from), Some(to))
                if start <= end && is_page_aligned(start) && is_page_aligned(end) =>
            {
                Some(Self { start: from, end: to })
            }
            _ => None,
        }
    }

    /// The pages of `[start, end)`, both of which are starts of pages; none when `end` lies before `start`.
    pub(crate) const fn new(start: VirtualAddress, end: VirtualAddress) -> Self {
        Self { start, end: if end.0 < start.0 { start } else { end } }
    }

    /// Its first address.
    #[must_use]
    pub const fn start(self) -> VirtualAddress {
        self.start
    }

    /// One past its last address.
    #[must_use]
    pub const fn end(self) -> VirtualAddress {
        self.end
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.end.0 - self.start.0
    }

    /// Its length in pages.
    #[must_use]
    pub const fn pages(self) -> PageCount {
        PageCount::new(self.bytes() / PAGE_SIZE)
    }

    /// Whether there is no page in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start.0 == self.end.0
    }

    /// What is left of it from `at` on, which lies in it or at its end.
    pub(crate) const fn rest(self, at: VirtualAddress) -> Self {
        Self::new(at, self.end)
    }

    /// What of it lies in `[start, end)`.
    pub(crate) fn clip(self, start: VirtualAddress, end: VirtualAddress) -> Self {
        Self::new(self.start.max(start), self.end.min(end))
    }

    /// The block that it is, if it is one.
    pub(crate) fn as_block(self) -> Option<Block> {
        let block = self.start.block();
        (self.start.0 == block.0 * Block::BYTES && self.bytes() == Block::BYTES).then_some(block)
    }

    /// The blocks that it has a page of.
    pub(crate) fn blocks(self) -> impl Iterator<Item = Block> {
        let end = if self.is_empty() { 0 } else { self.end.0.div_ceil(Block::BYTES) };
        (self.start.0 / Block::BYTES..end).map(Block)
    }
}

/// Bytes of a block. One that is mapped as a whole may be shown by a single large leaf.
pub const BLOCK_BYTES: u64 = Block::PAGES.bytes();

/// The guest-virtual memory that one page table, or one large leaf, maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Block(u64);

impl Block {
    pub(crate) const PAGES: PageCount = PageCount::new(512);
    pub(crate) const BYTES: u64 = BLOCK_BYTES;

    pub(crate) const fn start(self) -> VirtualAddress {
        VirtualAddress::clamped(self.0 * Self::BYTES)
    }

    /// Where the next one starts. The last one of all is a page short.
    pub(crate) const fn end(self) -> VirtualAddress {
        VirtualAddress::clamped((self.0 + 1) * Self::BYTES)
    }

    pub(crate) const fn range(self) -> PageRange {
        PageRange { start: self.start(), end: self.end() }
    }
}

/// `bytes` rounded up to whole pages, unless that overflows.
#[must_use]
pub const fn round_up_to_page(bytes: u64) -> Option<u64> {
    match bytes.checked_add(PAGE_SIZE - 1) {
        Some(sum) => Some(sum & !(PAGE_SIZE - 1)),
        None => None,
    }
}

/// Whether `value` is a multiple of the page size.
pub(crate) const fn is_page_aligned(value: u64) -> bool {
    value.is_multiple_of(PAGE_SIZE)
}

/// Lossless on the 64-bit hosts this crate supports.
#[expect(clippy::cast_possible_truncation, reason = "usize has 64 bits, asserted below")]
pub(crate) const fn to_usize(value: u64) -> usize {
    value as usize
}

const _: () = assert!(usize::BITS == 64, "Ampoule runs on 64-bit hosts");
const _: () = assert!(is_page_aligned(USER_END), "a range may end at the end of all");

#[cfg(test)]
mod tests;
