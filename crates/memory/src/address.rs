//! The numbers of this crate, each with a type of its own: addresses, frames, counts of pages, blocks.
//!
//! A plain `u64` is what a guest, a file or a caller *said*. A [`VirtualAddress`] is what was checked: it
//! lies where a guest's memory can lie. The two meet in [`VirtualAddress::checked`] and [`PageRange::between`],
//! at the public edge of the crate and nowhere below.
//!
//! None of the types has arithmetic traits, but for counts, which are only a number: what may be added to
//! what has a method, and where no method is, the sum has no meaning.

use ampoule_abi::layout::{PAGE_SIZE, USER_END};

/// A guest-physical address.
///
/// Adding happens with [`PhysicalAddress::checked_add`], so that a wild offset from a guest cannot wrap.
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

    /// The address `offset` bytes further on, unless that wraps.
    #[must_use]
    pub const fn checked_add(self, offset: u64) -> Option<Self> {
        match self.0.checked_add(offset) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The address `offset` bytes further on; one that wraps lies in no memory.
    #[must_use]
    pub const fn plus(self, offset: u64) -> Self {
        Self(self.0.saturating_add(offset))
    }

    /// The address `offset` bytes further on in the same table or run of frames.
    pub(crate) const fn step(self, offset: u64) -> Self {
        Self(self.0.wrapping_add(offset))
    }

    /// The page that holds it.
    pub(crate) const fn frame(self) -> Frame {
        Frame(self.0 / PAGE_SIZE)
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
        PageCount(self.bytes() / PAGE_SIZE)
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

/// The 2 MiB of guest-virtual memory that one page table, or one large leaf, maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Block(u64);

impl Block {
    pub(crate) const PAGES: PageCount = PageCount(512);
    pub(crate) const BYTES: u64 = Self::PAGES.bytes();

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

/// A page of guest-physical memory, by its number from guest-physical zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Frame(u64);

impl Frame {
    /// The first one of all.
    pub(crate) const ZERO: Self = Self(0);

    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    pub(crate) const fn address(self) -> PhysicalAddress {
        PhysicalAddress(self.0 * PAGE_SIZE)
    }

    pub(crate) const fn plus(self, count: PageCount) -> Self {
        Self(self.0 + count.0)
    }

    pub(crate) const fn checked_sub(self, count: PageCount) -> Option<Self> {
        match self.0.checked_sub(count.0) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Frames from `first`, which is not behind it.
    pub(crate) const fn since(self, first: Self) -> PageCount {
        PageCount(self.0 - first.0)
    }

    /// Frames from `first`; none when that is behind it.
    pub(crate) const fn saturating_since(self, first: Self) -> PageCount {
        PageCount(self.0.saturating_sub(first.0))
    }

    /// The first multiple of a block's number of frames that is not before it.
    pub(crate) const fn next_block(self) -> Self {
        Self(self.0.next_multiple_of(Block::PAGES.0))
    }

    /// The last multiple of a block's number of frames that is not behind it.
    pub(crate) const fn this_block(self) -> Self {
        Self(self.0 & !(Block::PAGES.0 - 1))
    }
}

/// A number of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PageCount(u64);

impl PageCount {
    /// None.
    pub const ZERO: Self = Self(0);
    pub(crate) const ONE: Self = Self(1);

    /// `count` pages.
    #[must_use]
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The bytes of so many pages.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0 * PAGE_SIZE
    }

    /// The difference; none when `other` is more.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::ops::Add for PageCount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl std::ops::AddAssign for PageCount {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl std::ops::Sub for PageCount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl std::ops::SubAssign for PageCount {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl std::iter::Sum for PageCount {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        Self(counts.map(Self::get).sum())
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
mod tests {
    use super::*;

    #[test]
    fn an_allegation_becomes_an_address_only_where_a_guest_can_have_memory() {
        for said in [0, 1, 0x40_0000, USER_END - 1, USER_END] {
            assert_eq!(VirtualAddress::checked(said).map(VirtualAddress::get), Some(said));
        }
        for said in [USER_END + 1, 1 << 47, 0xffff_8000_0000_0000, u64::MAX] {
            assert_eq!(VirtualAddress::checked(said), None);
            assert_eq!(VirtualAddress::clamped(said), VirtualAddress::END);
        }
        assert_eq!(VirtualAddress::END.plus(u64::MAX), VirtualAddress::END);
    }

    #[test]
    fn a_range_is_made_of_whole_pages_in_order() {
        let range = PageRange::between(0x1000, 0x3000).unwrap();
        assert_eq!((range.pages().get(), range.bytes(), range.is_empty()), (2, 0x2000, false));
        assert!(PageRange::between(0x1000, 0x1000).unwrap().is_empty());
        for (start, end) in
            [(0x1001, 0x3000), (0x1000, 0x3001), (0x3000, 0x1000), (0, USER_END + PAGE_SIZE)]
        {
            assert_eq!(PageRange::between(start, end), None, "{start:#x}..{end:#x}");
        }
    }

    #[test]
    fn parts_of_a_range_stay_inside_of_it() {
        let at = VirtualAddress::clamped;
        let range = PageRange::between(0x1000, 0x5000).unwrap();
        assert_eq!(range.rest(at(0x3000)), PageRange::between(0x3000, 0x5000).unwrap());
        assert!(range.rest(range.end()).is_empty());
        assert_eq!(range.clip(at(0), at(0x2000)), PageRange::between(0x1000, 0x2000).unwrap());
        assert!(range.clip(at(0x6000), at(0x7000)).is_empty());
        let address = at(0x1fff);
        assert_eq!(
            (address.page(), address.in_page(), address.left_in_page()),
            (at(0x1000), 0xfff, 1)
        );
    }

    #[test]
    fn blocks_cover_a_range_and_the_last_one_is_a_page_short() {
        let blocks = |start, end| -> Vec<_> {
            PageRange::between(start, end).unwrap().blocks().map(|block| block.start().0).collect()
        };
        assert_eq!(blocks(0x1f_f000, 0x40_1000), [0, 0x20_0000, 0x40_0000]);
        assert_eq!(blocks(0x20_0000, 0x40_0000), [0x20_0000]);
        assert!(blocks(0x20_1000, 0x20_1000).is_empty());
        let last = VirtualAddress::clamped(USER_END - 1).block();
        assert_eq!(last.end(), VirtualAddress::END);
        assert_eq!(last.range().pages() + PageCount::ONE, Block::PAGES);
        assert_eq!(last.range().as_block(), None);
        let block = PageRange::between(0x20_0000, 0x40_0000).unwrap().as_block();
        assert_eq!(block.map(Block::range), PageRange::between(0x20_0000, 0x40_0000));
        assert_eq!(PageRange::between(0x20_1000, 0x40_1000).unwrap().as_block(), None);
    }
}
