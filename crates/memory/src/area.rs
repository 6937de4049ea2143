//! The list of mapped ranges.

use crate::address::{PageRange, VirtualAddress};
use crate::protection::Protection;
use std::collections::BTreeMap;

/// Most separate ranges, as Linux's `vm.max_map_count`; bounds what a guest can make the host keep.
pub(crate) const AREAS_MAX: usize = 65_530;

/// What stands behind an area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backing {
    /// Zero-filled memory, committed at first touch.
    Zeroed,
    /// Pages of the host's choosing; the guest can neither unmap nor protect them.
    Pinned,
}

/// One mapped range; its start is the key in [`Areas`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) end: VirtualAddress,
    pub(crate) protection: Protection,
    pub(crate) backing: Backing,
}

impl Area {
    pub(crate) const fn zeroed(end: VirtualAddress, protection: Protection) -> Self {
        Self { end, protection, backing: Backing::Zeroed }
    }

    pub(crate) const fn pinned(end: VirtualAddress, protection: Protection) -> Self {
        Self { end, protection, backing: Backing::Pinned }
    }
}

/// Mapped ranges by start address.
///
/// Invariant: ranges are not empty and do not overlap.
///
/// Cost: what is asked about a range, however many it spans, takes the logarithm of their number;
/// [`Areas::find_free`] is the exception and works in portions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Areas {
    areas: BTreeMap<VirtualAddress, Area>,
    /// What is mapped, whatever its rights: the end of each range by its start. No two touch.
    extents: BTreeMap<VirtualAddress, VirtualAddress>,
    /// The host's ranges, a handful: the end of each by its start.
    pinned: BTreeMap<VirtualAddress, VirtualAddress>,
}

/// What a portion of a search for free addresses came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Start of the highest range that is free.
    Found(VirtualAddress),
    /// There is none.
    Nothing,
    /// None that ends above this: the search goes on below.
    Below(VirtualAddress),
}

impl Areas {
    pub(crate) const fn new() -> Self {
        Self { areas: BTreeMap::new(), extents: BTreeMap::new(), pinned: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.areas.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (VirtualAddress, &Area)> {
        self.areas.iter().map(|(&start, area)| (start, area))
    }

    /// Adds a range that overlaps none, merging it with equal neighbours.
    pub(crate) fn insert(&mut self, start: VirtualAddress, area: Area) {
        self.extend(start, area.end);
        if area.backing == Backing::Pinned {
            self.pinned.insert(start, area.end);
        }
        self.join(start, area);
    }

    /// Adds a range that is mapped already to those with rights.
    fn join(&mut self, start: VirtualAddress, area: Area) {
        let Area { mut end, protection, backing } = area;
        let mut start = start;
        if backing == Backing::Zeroed {
            if let Some((&before, &left)) = self.areas.range(..start).next_back()
                && left == Area::zeroed(start, protection)
            {
                self.areas.remove(&before);
                start = before;
            }
            if let Some(&right) = self.areas.get(&end)
                && right == Area::zeroed(right.end, protection)
            {
                self.areas.remove(&end);
                end = right.end;
            }
        }
        self.areas.insert(start, Area { end, protection, backing });
    }

    /// Adds `[start, end)`, which is not mapped, to the extents.
    fn extend(&mut self, start: VirtualAddress, end: VirtualAddress) {
        let (mut from, mut to) = (start, end);
        if let Some((&before, &until)) = self.extents.range(..start).next_back()
            && until == start
        {
            from = before;
        }
        if let Some(until) = self.extents.remove(&end) {
            to = until;
        }
        self.extents.insert(from, to);
    }

    /// Start and area of the range that holds `address`.
    pub(crate) fn containing(&self, address: VirtualAddress) -> Option<(VirtualAddress, Area)> {
        let (&start, &area) = self.areas.range(..=address).next_back()?;
        (address < area.end).then_some((start, area))
    }

    pub(crate) fn at(&self, address: VirtualAddress) -> Option<Area> {
        self.containing(address).map(|(_, area)| area)
    }

    /// Ranges that share an address with `range`.
    pub(crate) fn within(&self, range: PageRange) -> impl Iterator<Item = (VirtualAddress, &Area)> {
        let first = self.containing(range.start()).map_or(range.start(), |(first, _)| first);
        self.areas.range(first..range.end().max(first)).map(|(&start, area)| (start, area))
    }

    pub(crate) fn overlaps(&self, range: PageRange) -> bool {
        self.within(range).next().is_some()
    }

    /// Whether something of `range` is the host's.
    pub(crate) fn has_pinned(&self, range: PageRange) -> bool {
        let last = self.pinned.range(..range.end()).next_back();
        last.is_some_and(|(_, &until)| until > range.start())
    }

    /// Up to where everything from `start` on is mapped; `start` itself when it is not.
    pub(crate) fn mapped_up_to(&self, start: VirtualAddress) -> VirtualAddress {
        let extent = self.extents.range(..=start).next_back();
        extent.map_or(start, |(_, &end)| end.max(start))
    }

    /// Whether every address of `[start, end)` is mapped.
    pub(crate) fn covers(&self, start: VirtualAddress, end: VirtualAddress) -> bool {
        self.mapped_up_to(start) >= end
    }

    /// How many more ranges there would be if none crossed an end of `range`.
    pub(crate) fn splits(&self, range: PageRange) -> usize {
        let crosses = |at| self.containing(at).is_some_and(|(first, _)| first < at);
        usize::from(crosses(range.start())) + usize::from(crosses(range.end()))
    }

    /// Takes `part`, which lies in one range, out of it, and returns what it was.
    pub(crate) fn cut(&mut self, part: PageRange) -> Option<Area> {
        let (start, end) = (part.start(), part.end());
        let area = self.carve(part)?;
        let (&from, &until) = self.extents.range(..=start).next_back()?;
        self.extents.remove(&from);
        if from < start {
            self.extents.insert(from, start);
        }
        if end < until {
            self.extents.insert(end, until);
        }
        Some(area)
    }

    /// Gives `part`, which lies in one range, other rights.
    pub(crate) fn protect(&mut self, part: PageRange, protection: Protection) {
        if let Some(area) = self.carve(part) {
            self.join(part.start(), Area { end: part.end(), protection, ..area });
        }
    }

    fn carve(&mut self, part: PageRange) -> Option<Area> {
        let (start, end) = (part.start(), part.end());
        let (first, area) = self.containing(start)?;
        self.areas.remove(&first);
        if first < start {
            self.areas.insert(first, Area { end: start, ..area });
        }
        if end < area.end {
            self.areas.insert(end, area);
        }
        Some(area)
    }

    /// Searches for the highest gap of `length` bytes in `[from, below)`, past at most `steps` ranges.
    /// Returns how many there were, too.
    pub(crate) fn find_free(
        &self,
        length: u64,
        from: VirtualAddress,
        below: VirtualAddress,
        steps: u64,
    ) -> (Search, u64) {
        let is_large = |start: VirtualAddress, end: VirtualAddress| end.since(start) >= length;
        let mut gap_end = below;
        let mut taken = 0;
        for (&start, &end) in self.extents.range(..below).rev() {
            if end <= gap_end && is_large(end, gap_end) || end <= from {
                break;
            }
            gap_end = gap_end.min(start);
            taken += 1;
            if taken >= steps {
                return (Search::Below(gap_end), taken);
            }
        }
        let start = gap_end.get().checked_sub(length).and_then(VirtualAddress::checked);
        let start = start.filter(|&start| start >= from);
        (start.map_or(Search::Nothing, Search::Found), taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    const fn at(page: u64) -> VirtualAddress {
        VirtualAddress::clamped(page * PAGE)
    }

    const fn range(first: u64, end: u64) -> PageRange {
        PageRange::new(at(first), at(end))
    }

    #[test]
    fn what_is_mapped_is_known_however_many_ranges_it_has() {
        let mut areas = Areas::new();
        for page in 0..100 {
            let rights = if page % 2 == 0 { Protection::READ } else { Protection::NONE };
            areas.insert(at(page), Area::zeroed(at(page + 1), rights));
        }
        assert_eq!((areas.len(), areas.extents.len()), (100, 1));
        assert!(areas.covers(at(0), at(100)) && !areas.covers(at(0), at(101)));
        assert!(areas.cut(range(50, 51)).is_some());
        assert_eq!(areas.mapped_up_to(VirtualAddress::clamped(3)), at(50));
        assert_eq!(areas.mapped_up_to(at(50)), at(50));
        assert!(areas.covers(at(51), at(100)) && !areas.covers(at(49), at(52)));
        areas.insert(at(50), Area::zeroed(at(51), Protection::READ));
        assert_eq!((areas.len(), areas.extents.len()), (100, 1));
        areas.protect(range(1, 2), Protection::READ);
        assert_eq!((areas.len(), areas.extents.len()), (98, 1));
        assert_eq!(areas.splits(range(1, 2)), 2);
    }

    #[test]
    fn a_search_past_many_ranges_goes_on_where_it_stopped() {
        let mut areas = Areas::new();
        for page in (100..200).step_by(2) {
            areas.insert(at(page), Area::zeroed(at(page + 1), Protection::READ));
        }
        let (mut below, mut portions) = (at(200), 0);
        let found = loop {
            match areas.find_free(2 * PAGE, at(1), below, 8) {
                (Search::Below(lower), 8) if lower < below => below = lower,
                (other, _) => break other,
            }
            portions += 1;
        };
        assert_eq!((found, portions), (Search::Found(at(98)), 6));
        assert_eq!(areas.find_free(PAGE, at(1), at(200), 8).0, Search::Found(at(199)));
        assert_eq!(areas.find_free(99 * PAGE, at(2), at(200), 900).0, Search::Nothing);
        assert_eq!(areas.find_free(2 * PAGE, at(150), at(200), 900).0, Search::Nothing);
    }

    #[test]
    fn a_pinned_range_is_known_and_never_joined() {
        let mut areas = Areas::new();
        areas.insert(at(4), Area::pinned(at(6), Protection::READ));
        areas.insert(at(6), Area::pinned(at(7), Protection::READ));
        areas.insert(at(3), Area::zeroed(at(4), Protection::READ));
        assert_eq!(areas.len(), 3);
        assert!(areas.has_pinned(range(5, 6)) && areas.has_pinned(range(0, 5)));
        assert!(!areas.has_pinned(range(3, 4)) && !areas.has_pinned(range(7, 9)));
        assert!(areas.overlaps(range(0, 4)) && !areas.overlaps(range(0, 3)));
    }
}
