//! The list of mapped ranges.

use crate::protection::Protection;
use std::collections::BTreeMap;

/// What stands behind an area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backing {
    /// Zero-filled guest memory, committed at first touch.
    Zeroed,
    /// Pages of the host's choosing; the guest can neither unmap nor protect them.
    Pinned,
}

/// One mapped range; its start is the key in [`Areas`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) end: u64,
    pub(crate) protection: Protection,
    pub(crate) backing: Backing,
}

impl Area {
    pub(crate) const fn zeroed(end: u64, protection: Protection) -> Self {
        Self { end, protection, backing: Backing::Zeroed }
    }

    pub(crate) const fn pinned(end: u64, protection: Protection) -> Self {
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
    areas: BTreeMap<u64, Area>,
    /// What is mapped, whatever its rights: the end of each range by its start. No two touch.
    extents: BTreeMap<u64, u64>,
    /// The host's ranges, a handful: the end of each by its start.
    pinned: BTreeMap<u64, u64>,
}

/// What a portion of a search for free addresses came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Start of the highest range that is free.
    Found(u64),
    /// There is none.
    Nothing,
    /// None that ends above this: the search goes on below.
    Below(u64),
}

impl Areas {
    pub(crate) const fn new() -> Self {
        Self { areas: BTreeMap::new(), extents: BTreeMap::new(), pinned: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.areas.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Area)> {
        self.areas.iter().map(|(&start, area)| (start, area))
    }

    /// Adds a range that overlaps none, merging it with equal neighbours.
    pub(crate) fn insert(&mut self, start: u64, area: Area) {
        self.extend(start, area.end);
        if area.backing == Backing::Pinned {
            self.pinned.insert(start, area.end);
        }
        self.join(start, area);
    }

    /// Adds a range that is mapped already to those with rights.
    fn join(&mut self, start: u64, area: Area) {
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
    fn extend(&mut self, start: u64, end: u64) {
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
    pub(crate) fn containing(&self, address: u64) -> Option<(u64, Area)> {
        let (&start, &area) = self.areas.range(..=address).next_back()?;
        (address < area.end).then_some((start, area))
    }

    pub(crate) fn at(&self, address: u64) -> Option<Area> {
        self.containing(address).map(|(_, area)| area)
    }

    /// Ranges that share an address with `[start, end)`.
    pub(crate) fn within(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, &Area)> {
        let first = self.containing(start).map_or(start, |(first, _)| first);
        self.areas.range(first..end.max(first)).map(|(&start, area)| (start, area))
    }

    pub(crate) fn overlaps(&self, start: u64, end: u64) -> bool {
        self.within(start, end).next().is_some()
    }

    /// Whether something of `[start, end)` is the host's.
    pub(crate) fn has_pinned(&self, start: u64, end: u64) -> bool {
        self.pinned.range(..end).next_back().is_some_and(|(_, &until)| until > start)
    }

    /// Up to where everything from `start` on is mapped; `start` itself when it is not.
    pub(crate) fn mapped_up_to(&self, start: u64) -> u64 {
        let extent = self.extents.range(..=start).next_back();
        extent.map_or(start, |(_, &end)| end.max(start))
    }

    /// Whether every address of `[start, end)` is mapped.
    pub(crate) fn covers(&self, start: u64, end: u64) -> bool {
        self.mapped_up_to(start) >= end
    }

    /// How many more ranges there would be if none crossed `start` or `end`.
    pub(crate) fn splits(&self, start: u64, end: u64) -> usize {
        let crosses = |at: u64| self.containing(at).is_some_and(|(first, _)| first < at);
        usize::from(crosses(start)) + usize::from(crosses(end))
    }

    /// Takes `[start, end)`, which lies in one range, out of it, and returns what it was.
    pub(crate) fn cut(&mut self, start: u64, end: u64) -> Option<Area> {
        let area = self.carve(start, end)?;
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

    /// Gives `[start, end)`, which lies in one range, other rights.
    pub(crate) fn protect(&mut self, start: u64, end: u64, protection: Protection) {
        if let Some(area) = self.carve(start, end) {
            self.join(start, Area { end, protection, ..area });
        }
    }

    fn carve(&mut self, start: u64, end: u64) -> Option<Area> {
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
        from: u64,
        below: u64,
        steps: u64,
    ) -> (Search, u64) {
        let mut gap_end = below;
        let mut taken = 0;
        for (&start, &end) in self.extents.range(..below).rev() {
            if end <= gap_end && gap_end - end >= length || end <= from {
                break;
            }
            gap_end = gap_end.min(start);
            taken += 1;
            if taken >= steps {
                return (Search::Below(gap_end), taken);
            }
        }
        let start = gap_end.checked_sub(length).filter(|&start| start >= from);
        (start.map_or(Search::Nothing, Search::Found), taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    #[test]
    fn what_is_mapped_is_known_however_many_ranges_it_has() {
        let mut areas = Areas::new();
        for page in 0..100 {
            let rights = if page % 2 == 0 { Protection::READ } else { Protection::NONE };
            areas.insert(page * PAGE, Area::zeroed((page + 1) * PAGE, rights));
        }
        assert_eq!((areas.len(), areas.extents.len()), (100, 1));
        assert!(areas.covers(0, 100 * PAGE) && !areas.covers(0, 101 * PAGE));
        assert!(areas.cut(50 * PAGE, 51 * PAGE).is_some());
        assert_eq!(areas.mapped_up_to(3), 50 * PAGE);
        assert_eq!(areas.mapped_up_to(50 * PAGE), 50 * PAGE);
        assert!(areas.covers(51 * PAGE, 100 * PAGE) && !areas.covers(49 * PAGE, 52 * PAGE));
        areas.insert(50 * PAGE, Area::zeroed(51 * PAGE, Protection::READ));
        assert_eq!((areas.len(), areas.extents.len()), (100, 1));
        areas.protect(PAGE, 2 * PAGE, Protection::READ);
        assert_eq!((areas.len(), areas.extents.len()), (98, 1));
        assert_eq!(areas.splits(PAGE, 2 * PAGE), 2);
    }

    #[test]
    fn a_search_past_many_ranges_goes_on_where_it_stopped() {
        let mut areas = Areas::new();
        for page in (100..200).step_by(2) {
            areas.insert(page * PAGE, Area::zeroed((page + 1) * PAGE, Protection::READ));
        }
        let (mut below, mut portions) = (200 * PAGE, 0);
        let found = loop {
            match areas.find_free(2 * PAGE, PAGE, below, 8) {
                (Search::Below(at), 8) if at < below => below = at,
                (other, _) => break other,
            }
            portions += 1;
        };
        assert_eq!((found, portions), (Search::Found(98 * PAGE), 6));
        assert_eq!(areas.find_free(PAGE, PAGE, 200 * PAGE, 8).0, Search::Found(199 * PAGE));
        assert_eq!(areas.find_free(99 * PAGE, 2 * PAGE, 200 * PAGE, 900).0, Search::Nothing);
        assert_eq!(areas.find_free(2 * PAGE, 150 * PAGE, 200 * PAGE, 900).0, Search::Nothing);
    }
}
