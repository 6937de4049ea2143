//! How much memory is committed at a time.

use super::AddressSpace;
use crate::address::{Block, PageRange, VirtualAddress};
use crate::area::Area;
use crate::count::PageCount;
use crate::error::MapError;
use crate::protection::Protection;
use ampoule_abi::layout::PAGE_SIZE;

/// What is committed ahead of its touch is at most this share of the free memory, so that little is
/// wasted when that runs short.
const AHEAD_SHARE: u64 = 16;

impl AddressSpace {
    /// Commits a small mapping at once, which saves the guest a fault, because it will be used at once.
    /// Larger ones may be shown by larger units when they are touched. When memory runs short, that is found
    /// out then, too.
    pub(super) fn commit_small(&mut self, range: PageRange, protection: Protection) {
        let pages = range.pages();
        if pages < Block::PAGES && pages <= self.committable() && !protection.is_none() {
            let _ = self.view.commit(range.start(), range, protection, &mut self.meter);
        }
    }

    /// Commits the page at `address`, which lies in `area` from `start` on, and its neighbours in the same
    /// block of 2 MiB: all of them where memory is plentiful, else fewer.
    pub(super) fn commit_around(
        &mut self,
        address: VirtualAddress,
        (start, area): (VirtualAddress, Area),
    ) -> Result<(), MapError> {
        let range = around(address, self.committable()).clip(start, area.end);
        self.view.commit(address.page(), range, area.protection, &mut self.meter)
    }

    /// How many pages may be committed together.
    fn committable(&self) -> PageCount {
        committable(self.view.available())
    }
}

/// How many pages may be committed together when so many can be had.
fn committable(available: PageCount) -> PageCount {
    PageCount::new((available.get() / AHEAD_SHARE).clamp(1, Block::PAGES.get()))
}

/// The pages around `address`: the largest power of two of them that is not more than `count`, at a multiple
/// of their size.
fn around(address: VirtualAddress, count: PageCount) -> PageRange {
    let length = (1 << count.get().ilog2()) * PAGE_SIZE;
    let start = VirtualAddress::clamped(address.get() & !(length - 1));
    PageRange::new(start, start.plus(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_is_committed_ahead_when_little_is_left() {
        let committable = |available| committable(PageCount::new(available)).get();
        assert_eq!([0, 15, 16, 160].map(committable), [1, 1, 1, 10]);
        assert_eq!([16 * 512, 1 << 30].map(committable), [512, 512]);
    }

    #[test]
    fn what_is_committed_together_lies_at_a_multiple_of_its_size() {
        let bounds = |address, count| {
            let range = around(VirtualAddress::clamped(address), PageCount::new(count));
            (range.start().get(), range.end().get())
        };
        assert_eq!(bounds(0x40_5123, 1), (0x40_5000, 0x40_6000));
        assert_eq!(bounds(0x40_5123, 10), (0x40_0000, 0x40_8000));
        assert_eq!(bounds(0x40_5123, 512), (0x40_0000, 0x60_0000));
        let end = VirtualAddress::END.get();
        assert_eq!(bounds(end - 1, 512), (0x7fff_ffe0_0000, end));
    }
}
