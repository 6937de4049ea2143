//! What is mapped in an address space, and how that differs from what its image maps.

use crate::address::{PageRange, VirtualAddress};
use crate::area::{AREAS_MAX, Area, Areas};
use crate::error::MapError;
use crate::protection::Protection;

/// What is mapped, and whether that is still what the image maps.
#[derive(Debug, Clone)]
pub(crate) struct Mapped {
    areas: Areas,
    /// Grows with every change to what the image maps; equal to the image's as long as all that it maps
    /// stands where it did.
    changes: u64,
    /// More may be mapped than the image maps.
    has_grown: bool,
}

impl Mapped {
    pub(crate) const fn new() -> Self {
        Self::of_image(Areas::new())
    }

    pub(crate) const fn of_image(areas: Areas) -> Self {
        Self { areas, changes: 0, has_grown: false }
    }

    /// The same as the contents of an image.
    pub(crate) fn sealed(&self) -> Self {
        Self { has_grown: false, ..self.clone() }
    }

    pub(crate) const fn areas(&self) -> &Areas {
        &self.areas
    }

    /// Whether all that `image` maps stands where it did.
    pub(crate) const fn stands_as_in(&self, image: &Self) -> bool {
        self.changes == image.changes
    }

    /// Adds a range that overlaps none.
    ///
    /// # Errors
    /// [`MapError::TooManyAreas`].
    pub(crate) fn insert(&mut self, start: VirtualAddress, area: Area) -> Result<(), MapError> {
        if self.areas.len() >= AREAS_MAX {
            return Err(MapError::TooManyAreas { limit: AREAS_MAX });
        }
        self.has_grown = true;
        self.areas.insert(start, area);
        Ok(())
    }

    /// Adds a range of the host's, which every image of the guest has.
    ///
    /// # Errors
    /// [`MapError::TooManyAreas`].
    pub(crate) fn insert_pinned(
        &mut self,
        range: PageRange,
        protection: Protection,
    ) -> Result<(), MapError> {
        self.changes += 1;
        self.insert(range.start(), Area::pinned(range.end(), protection))
    }

    /// Notes that the pages of `range` are about to be mapped otherwise than they were.
    pub(crate) fn note_change(&mut self, range: PageRange, image: Option<&Self>) {
        if image.is_none_or(|image| image.areas.overlaps(range)) {
            self.changes += 1;
        }
        self.has_grown = true;
    }

    /// Takes `part`, which lies in one range, away.
    pub(crate) fn cut(&mut self, part: PageRange) {
        self.areas.cut(part);
    }

    /// Moves `part`, which lies in one range, to `to`, where nothing is mapped.
    pub(crate) fn relocate(&mut self, part: PageRange, to: VirtualAddress) {
        if let Some(area) = self.areas.cut(part) {
            self.areas.insert(to, Area { end: to.plus(part.bytes()), ..area });
        }
    }

    /// Gives `part`, which lies in one range, other rights.
    pub(crate) fn protect(&mut self, part: PageRange, protection: Protection) {
        self.areas.protect(part, protection);
    }

    /// What is mapped beside what `image` maps, all of which is mapped.
    pub(crate) fn beside(&self, image: &Self) -> Vec<PageRange> {
        let mut added = Vec::new();
        if !self.has_grown {
            return added;
        }
        for (start, area) in self.areas.iter() {
            let mut at = start;
            for (from, kept) in image.areas.within(PageRange::new(start, area.end)) {
                added.push(PageRange::new(at, from));
                at = kept.end;
            }
            added.push(PageRange::new(at, area.end));
        }
        added.retain(|range| !range.is_empty());
        added
    }

    /// Forgets what is mapped beside what `image` maps.
    pub(crate) fn forget_added(&mut self, image: &Self) {
        if self.has_grown {
            self.areas = image.areas.clone();
            self.has_grown = false;
        }
    }

    /// How many more ranges there are than in `image`.
    pub(crate) fn more_than(&self, image: &Self) -> usize {
        self.areas.len().saturating_sub(image.areas.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(page: u64) -> VirtualAddress {
        VirtualAddress::clamped(page << 12)
    }

    const fn pages(first: u64, end: u64) -> PageRange {
        PageRange::new(at(first), at(end))
    }

    fn map(mapped: &mut Mapped, first: u64, end: u64, protection: Protection) {
        mapped.insert(at(first), Area::zeroed(at(end), protection)).unwrap();
    }

    /// Pages 10 to 20, and 30 to 40 with other rights.
    fn image() -> Mapped {
        let mut mapped = Mapped::new();
        map(&mut mapped, 10, 20, Protection::READ);
        map(&mut mapped, 30, 40, Protection::READ_WRITE);
        mapped.sealed()
    }

    #[test]
    fn what_is_mapped_beside_the_image_is_told_and_forgotten() {
        let image = image();
        let mut mapped = image.clone();
        assert!(mapped.beside(&image).is_empty());
        // Joined with a range of the image's, between two, and far away.
        map(&mut mapped, 20, 22, Protection::READ);
        map(&mut mapped, 28, 30, Protection::NONE);
        map(&mut mapped, 50, 51, Protection::READ);
        assert_eq!(mapped.more_than(&image), 2);
        assert_eq!(mapped.beside(&image), [pages(20, 22), pages(28, 30), pages(50, 51)]);
        assert!(mapped.stands_as_in(&image));
        mapped.forget_added(&image);
        assert!(mapped.beside(&image).is_empty());
        assert!(!mapped.areas().overlaps(pages(20, 30)) && mapped.areas().covers(at(10), at(20)));
    }

    #[test]
    fn only_changes_to_what_the_image_maps_count() {
        let image = image();
        let mut mapped = image.clone();
        mapped.note_change(pages(20, 30), Some(&image));
        assert!(mapped.stands_as_in(&image));
        mapped.note_change(pages(19, 21), Some(&image));
        assert!(!mapped.stands_as_in(&image));
        // Without an image every change counts, for the one that will be.
        let mut own = image.clone();
        own.note_change(pages(50, 51), None);
        assert!(!own.stands_as_in(&image));
    }

    #[test]
    fn a_moved_part_keeps_its_rights() {
        let mut mapped = image();
        mapped.relocate(pages(32, 34), at(60));
        let rights = |at| mapped.areas().at(at).map(|area| area.protection);
        assert_eq!(rights(at(61)), Some(Protection::READ_WRITE));
        assert_eq!(rights(at(33)), None);
        assert_eq!(rights(at(34)), Some(Protection::READ_WRITE));
        assert_eq!(mapped.areas().containing(at(60)).map(|(_, area)| area.end), Some(at(62)));
    }

    #[test]
    fn there_are_no_more_ranges_than_linux_allows() {
        let mut mapped = Mapped::new();
        for index in 0..AREAS_MAX as u64 {
            map(&mut mapped, 16 + 2 * index, 17 + 2 * index, Protection::READ);
        }
        let refused = mapped.insert(at(1), Area::zeroed(at(2), Protection::READ));
        assert_eq!(refused, Err(MapError::TooManyAreas { limit: AREAS_MAX }));
    }
}
