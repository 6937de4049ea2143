//! The list of mapped ranges.

use crate::protection::Protection;
use ampoule_abi::layout::NULL_GUARD_END;
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
#[derive(Debug, Clone, Default)]
pub(crate) struct Areas(BTreeMap<u64, Area>);

impl Areas {
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Area)> {
        self.0.iter().map(|(&start, area)| (start, area))
    }

    /// Adds a range that overlaps none, merging it with equal neighbours.
    pub(crate) fn insert(&mut self, start: u64, area: Area) {
        let Area { mut end, protection, backing } = area;
        let mut start = start;
        if backing == Backing::Zeroed {
            if let Some((&before, &left)) = self.0.range(..start).next_back()
                && left == Area::zeroed(start, protection)
            {
                self.0.remove(&before);
                start = before;
            }
            if let Some(&right) = self.0.get(&end)
                && right == Area::zeroed(right.end, protection)
            {
                self.0.remove(&end);
                end = right.end;
            }
        }
        self.0.insert(start, Area { end, protection, backing });
    }

    /// Start and area of the range that holds `address`.
    pub(crate) fn containing(&self, address: u64) -> Option<(u64, Area)> {
        let (&start, &area) = self.0.range(..=address).next_back()?;
        (address < area.end).then_some((start, area))
    }

    pub(crate) fn at(&self, address: u64) -> Option<Area> {
        self.containing(address).map(|(_, area)| area)
    }

    /// Ranges that share an address with `[start, end)`.
    pub(crate) fn within(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, &Area)> {
        let first = self.containing(start).map_or(start, |(first, _)| first);
        self.0.range(first..end.max(first)).map(|(&start, area)| (start, area))
    }

    pub(crate) fn overlaps(&self, start: u64, end: u64) -> bool {
        self.within(start, end).next().is_some()
    }

    /// Whether every address of `[start, end)` is mapped.
    pub(crate) fn covers(&self, start: u64, end: u64) -> bool {
        let mut at = start;
        for (from, area) in self.within(start, end) {
            if from > at {
                return false;
            }
            at = area.end;
        }
        at >= end
    }

    /// Cuts the range that crosses `address` in two.
    pub(crate) fn split_at(&mut self, address: u64) {
        if let Some((start, area)) = self.containing(address)
            && start < address
        {
            self.0.insert(start, Area { end: address, ..area });
            self.0.insert(address, area);
        }
    }

    /// Removes and returns the ranges inside `[start, end)`, which none crosses.
    pub(crate) fn take(&mut self, start: u64, end: u64) -> Vec<(u64, Area)> {
        let taken: Vec<_> = self.0.range(start..end).map(|(&at, &area)| (at, area)).collect();
        for (at, _) in &taken {
            self.0.remove(at);
        }
        taken
    }

    /// Gives the ranges inside `[start, end)`, which none crosses, other rights.
    pub(crate) fn set_protection(&mut self, start: u64, end: u64, protection: Protection) {
        for (at, area) in self.take(start, end) {
            self.insert(at, Area { protection, ..area });
        }
    }

    /// Start of the highest gap of `length` bytes that ends at or below `below`.
    pub(crate) fn find_free(&self, length: u64, below: u64) -> Option<u64> {
        let mut gap_end = below;
        for (&start, area) in self.0.range(..below).rev() {
            if area.end <= gap_end && gap_end - area.end >= length {
                break;
            }
            gap_end = gap_end.min(start);
        }
        gap_end.checked_sub(length).filter(|&start| start >= NULL_GUARD_END)
    }
}
