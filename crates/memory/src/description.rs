//! A sealed space as plain data, and the checked way back.
//!
//! What comes back may have been made by anybody: a file on disk. Nothing of it is believed before the
//! page tables in the image were walked from their root and every entry was found to be exactly the one
//! that this crate would have written for the areas described. From then on the shape is as good as one
//! that grew here, and the rest of the crate need not know where it came from.

use crate::address::{PageRange, PhysicalAddress, VirtualAddress};
use crate::area::{AREAS_MAX, Area, Areas, Backing};
use crate::count::PageCount;
use crate::error::DescriptionError;
use crate::extent::Extent;
use crate::frame::{Frame, Run};
use crate::image::SealedSpace;
use crate::mapped::Mapped;
use crate::protection::{Privilege, Protection};
use crate::view::page_tables::layout::Layout;
use crate::view::page_tables::verify::{Due, Place, Uses};
use ampoule_abi::layout::{MEMORY_MAX, NULL_GUARD_END, PAGE_SIZE};
use serde::{Deserialize, Serialize};

/// Everything about a sealed address space but its memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpaceDescription {
    /// Pages of memory that the guest may have, page tables included.
    pub limit: u64,
    /// Pages from the start of memory that the image holds.
    pub used: u64,
    /// The page of the root of the page tables.
    pub root: u64,
    /// First page and number of pages of every run below `used` that is free.
    pub free: Vec<(u64, u64)>,
    /// What is mapped, in order of addresses.
    pub areas: Vec<AreaDescription>,
}

/// A mapped range of guest-virtual addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AreaDescription {
    /// Its first address.
    pub start: u64,
    /// One past its last address.
    pub end: u64,
    /// Loads are allowed.
    pub read: bool,
    /// Stores are allowed.
    pub write: bool,
    /// Instruction fetches are allowed.
    pub execute: bool,
    /// The host's own: one of the [`PinnedRange`]s.
    pub pinned: bool,
}

/// A range that the host maps into every guest and that the guest cannot change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedRange {
    /// Its first address.
    pub start: u64,
    /// One past its last address.
    pub end: u64,
    /// Rights of whoever may use it.
    pub protection: Protection,
    /// Who may use it.
    pub privilege: Privilege,
    /// Where it shows attached memory; `None` for pages of guest memory.
    pub attached: Option<PhysicalAddress>,
}

impl SealedSpace {
    /// The space without its memory, for [`Self::from_extents`].
    #[must_use]
    pub fn describe(&self) -> SpaceDescription {
        let areas = self.mapped.areas().iter().map(|(start, area)| AreaDescription {
            start: start.get(),
            end: area.end.get(),
            read: area.protection.read,
            write: area.protection.write,
            execute: area.protection.execute,
            pinned: area.backing == Backing::Pinned,
        });
        SpaceDescription {
            limit: self.layout.limit().get(),
            used: self.layout.image_end().get(),
            root: self.layout.root().get(),
            free: self.layout.free().map(|run| (run.first.get(), run.count.get())).collect(),
            areas: areas.collect(),
        }
    }

    /// The space that `description` describes over the memory in `extents`. `pinned` is what the host
    /// itself maps into a guest, in order of addresses; no more and no less must be there.
    ///
    /// Files must not change any more; what is checked here is what they hold now.
    ///
    /// Cost: an `mmap` for each extent and a look at every page-table entry. Only the pages of the page
    /// tables are read.
    ///
    /// # Errors
    /// [`DescriptionError`].
    pub fn from_extents(
        description: &SpaceDescription,
        extents: Vec<Extent>,
        pinned: &[PinnedRange],
    ) -> Result<Self, DescriptionError> {
        let (used, root, limit) = (description.used, description.root, description.limit);
        if limit > MEMORY_MAX / PAGE_SIZE || used > limit || root >= used {
            return Err(DescriptionError::Size { used, root, limit });
        }
        let mut uses = Uses::new(PageCount::new(used));
        let free = free_runs(&description.free, used, &mut uses)?;
        let [limit, image_end, root] = [limit, used, root].map(Frame::new);
        let layout = Layout::of_image(limit, image_end, free, root);
        let mapped = Mapped::of_image(areas(&description.areas, pinned)?);
        let sealed = Self::new(extents, layout, mapped)
            .map_err(|source| DescriptionError::Host { source })?;
        let due = |address| due(sealed.mapped.areas(), pinned, address);
        let leaves = sealed.layout.verify(&sealed.memory(), uses, due)?;
        // A page of the host's that is not there would be the guest's to fill.
        let expected: u64 = pinned.iter().map(|range| (range.end - range.start) / PAGE_SIZE).sum();
        if leaves.get() != expected {
            let start = pinned.first().map_or(0, |range| range.start);
            return Err(DescriptionError::Pinned { start });
        }
        Ok(sealed)
    }
}

fn free_runs(
    runs: &[(u64, u64)],
    used: u64,
    uses: &mut Uses,
) -> Result<Vec<Run>, DescriptionError> {
    let checked = |&(first, count): &(u64, u64)| {
        let end = first.checked_add(count).filter(|&end| end <= used);
        let taken = end
            .is_some_and(|end| count > 0 && (first..end).all(|page| uses.take(Frame::new(page))));
        let run = Run { first: Frame::new(first), count: PageCount::new(count) };
        if taken { Ok(run) } else { Err(DescriptionError::Free { first, count }) }
    };
    runs.iter().map(checked).collect()
}

fn areas(
    descriptions: &[AreaDescription],
    pinned: &[PinnedRange],
) -> Result<Areas, DescriptionError> {
    let mut areas = Areas::new();
    let mut pinned = pinned.iter();
    let mut free_from = NULL_GUARD_END;
    for (index, area) in descriptions.iter().enumerate() {
        let AreaDescription { start, end, read, write, execute, .. } = *area;
        let placed = PageRange::between(start, end)
            .filter(|range| !range.is_empty() && free_from <= start)
            .filter(|_| !(write && execute) && index < AREAS_MAX);
        let Some(range) = placed else { return Err(DescriptionError::Area { start }) };
        free_from = end;
        let protection = Protection { read, write, execute };
        if area.pinned {
            let same = |range: &&PinnedRange| {
                (range.start, range.end, range.protection) == (start, end, protection)
            };
            pinned.next().filter(same).ok_or(DescriptionError::Pinned { start })?;
            areas.insert(range.start(), Area::pinned(range.end(), protection));
        } else {
            areas.insert(range.start(), Area::zeroed(range.end(), protection));
        }
    }
    match pinned.next() {
        Some(missing) => Err(DescriptionError::Pinned { start: missing.start }),
        None => Ok(areas),
    }
}

/// What an entry for `address` has to say, if there may be one.
fn due(areas: &Areas, pinned: &[PinnedRange], address: VirtualAddress) -> Option<Due> {
    let protection = areas.at(address)?.protection;
    let host_s = pinned.iter().find(|range| (range.start..range.end).contains(&address.get()));
    let Some(range) = host_s else {
        return Some(Due { protection, privilege: Privilege::User, place: Place::Own });
    };
    let place = range
        .attached
        .map_or(Place::OwnOfHost, |base| Place::Attached(base.plus(address.get() - range.start)));
    Some(Due { protection, privilege: range.privilege, place })
}

#[cfg(test)]
mod tests;
