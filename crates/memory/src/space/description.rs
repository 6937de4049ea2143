//! A sealed space as plain data, and the checked way back.
//!
//! What comes back may have been made by anybody: a file on disk. Nothing of it is believed before the
//! page tables in the image were walked from their root and every entry was found to be exactly the one
//! that this crate would have written for the areas described. From then on the shape is as good as one
//! that grew here, and the rest of the crate need not know where it came from.

use super::area::{Area, Areas, Backing};
use super::{AREAS_MAX, Shape};
use crate::address::{PhysicalAddress, is_page_aligned};
use crate::extent::Extent;
use crate::frames::{FrameAllocator, Run};
use crate::image::SealedSpace;
use crate::mapping::Mapping;
use crate::physical::PhysicalMemory;
use crate::protection::{Privilege, Protection};
use crate::table::{Entry, PageTables};
use ampoule_abi::layout::{MEMORY_MAX, NULL_GUARD_END, PAGE_SIZE, USER_END};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

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

/// A description or an image that no address space of ours can have. Addresses are guest-virtual where
/// nothing else is said.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    /// Sizes contradict each other or a limit of this version.
    #[error("{used} pages in use with the root at page {root} of at most {limit} pages")]
    Size {
        /// Pages in use.
        used: u64,
        /// Page of the root table.
        root: u64,
        /// Pages there may be.
        limit: u64,
    },
    /// A free run is empty, out of range, or overlaps another one or a page in use.
    #[error("page {first} and the {count} from it on cannot be free")]
    Free {
        /// First page of the run.
        first: u64,
        /// Pages of the run.
        count: u64,
    },
    /// An area is empty, not aligned, out of range, out of order, writable and executable, or one too
    /// many.
    #[error("the area at {start:#x} is not one that a guest can have")]
    Area {
        /// Its start.
        start: u64,
    },
    /// The host's own range is missing or different, or there is one that the host does not have.
    #[error("the host's range at {start:#x} is missing, different or not the host's")]
    Pinned {
        /// Its start.
        start: u64,
    },
    /// A page-table entry is not what it would be for the areas.
    #[error("the page-table entry for {address:#x} is {entry:#x}, which its area does not allow")]
    Entry {
        /// The first address that the entry maps.
        address: u64,
        /// The entry.
        entry: u64,
    },
    /// Two entries lead to one page, or one leads to a page of the page tables.
    #[error("the page-table entry for {address:#x} leads to page {page}, which has another use")]
    Shared {
        /// The first address that the entry maps.
        address: u64,
        /// The page.
        page: u64,
    },
    /// The files do not hold what the extents say, or cannot be mapped.
    #[error("the image cannot be mapped: {source}")]
    Host {
        /// What was wrong.
        source: io::Error,
    },
}

impl SealedSpace {
    /// The space without its memory, for [`Self::from_extents`].
    #[must_use]
    pub fn describe(&self) -> SpaceDescription {
        let shape = &self.shape;
        let areas = shape.areas.iter().map(|(start, area)| AreaDescription {
            start,
            end: area.end,
            read: area.protection.read,
            write: area.protection.write,
            execute: area.protection.execute,
            pinned: area.backing == Backing::Pinned,
        });
        SpaceDescription {
            limit: shape.frames.limit(),
            used: shape.image_frames,
            root: shape.tables.root().get() / PAGE_SIZE,
            free: shape.frames.free().map(|run| (run.first, run.count)).collect(),
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
        let mut uses = Uses::new(used);
        let free = free_runs(&description.free, &mut uses)?;
        let shape = Shape {
            frames: FrameAllocator::with(used, limit, free),
            image_frames: used,
            // Set from the rest of the shape below.
            boundary: limit,
            large: BTreeMap::new(),
            changes: 0,
            has_grown: false,
            tables: PageTables::new(Run { first: root, count: 1 }),
            areas: areas(&description.areas, pinned)?,
        };
        let sealed =
            Self::of_shape(extents, shape).map_err(|source| DescriptionError::Host { source })?;
        let walk = Walk { sealed: &sealed, memory: memory_of(&sealed.view), pinned };
        walk.run(uses)?;
        Ok(sealed)
    }

    /// Copies the bytes at guest-physical `offset` of the image; behind its end there are zeros.
    ///
    /// # Errors
    /// `UnexpectedEof` when the range ends behind the guest's memory.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.view
            .read(offset, out)
            .map_err(|error| io::Error::new(io::ErrorKind::UnexpectedEof, error))
    }

    /// Bytes from the start of guest-physical memory that the image holds.
    #[must_use]
    pub const fn image_bytes(&self) -> u64 {
        self.shape.image_frames * PAGE_SIZE
    }

    /// Where the page at the guest-virtual `address` lies and what is in it, whatever its rights.
    #[must_use]
    pub fn page(&self, address: u64) -> Option<(PhysicalAddress, Vec<u8>)> {
        let entry = self.shape.tables.lookup(&memory_of(&self.view), address)?;
        let mut page = vec![0; crate::address::to_usize(PAGE_SIZE)];
        self.view.read(entry.target().get(), &mut page).ok()?;
        entry.is_committed().then_some((entry.target(), page))
    }
}

fn memory_of(view: &Arc<Mapping>) -> PhysicalMemory {
    PhysicalMemory::new(vec![(0, Arc::clone(view))])
}

/// Which pages of an image have a use already.
struct Uses(Vec<bool>);

impl Uses {
    fn new(pages: u64) -> Self {
        Self(vec![false; crate::address::to_usize(pages)])
    }

    /// Takes the page for a use; `false` when it has one already or does not exist.
    fn take(&mut self, page: u64) -> bool {
        let slot = usize::try_from(page).ok().and_then(|page| self.0.get_mut(page));
        slot.is_some_and(|used| !std::mem::replace(used, true))
    }
}

fn free_runs(runs: &[(u64, u64)], uses: &mut Uses) -> Result<Vec<Run>, DescriptionError> {
    let checked = |&(first, count): &(u64, u64)| {
        let end = first.checked_add(count).filter(|&end| end <= uses.0.len() as u64);
        let taken = end.is_some_and(|end| count > 0 && (first..end).all(|page| uses.take(page)));
        if taken { Ok(Run { first, count }) } else { Err(DescriptionError::Free { first, count }) }
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
        let aligned = is_page_aligned(start) && is_page_aligned(end);
        let placed = free_from <= start && start < end && end <= USER_END;
        if !aligned || !placed || write && execute || index >= AREAS_MAX {
            return Err(DescriptionError::Area { start });
        }
        free_from = end;
        let protection = Protection { read, write, execute };
        if area.pinned {
            let same = |range: &&PinnedRange| {
                (range.start, range.end, range.protection) == (start, end, protection)
            };
            pinned.next().filter(same).ok_or(DescriptionError::Pinned { start })?;
            areas.insert(start, Area::pinned(end, protection));
        } else {
            areas.insert(start, Area::zeroed(end, protection));
        }
    }
    match pinned.next() {
        Some(missing) => Err(DescriptionError::Pinned { start: missing.start }),
        None => Ok(areas),
    }
}

/// A walk over every entry of the page tables.
struct Walk<'a> {
    sealed: &'a SealedSpace,
    memory: PhysicalMemory,
    pinned: &'a [PinnedRange],
}

impl Walk<'_> {
    fn run(&self, mut uses: Uses) -> Result<(), DescriptionError> {
        let root = self.sealed.shape.tables.root();
        let first_use = uses.take(root.get() / PAGE_SIZE);
        if !first_use {
            return Err(DescriptionError::Shared { address: 0, page: root.get() / PAGE_SIZE });
        }
        let leaves = PageTables::verify(&self.memory, root, &mut |address, entry, is_leaf| {
            self.check(address, entry, is_leaf, &mut uses)
        })?;
        // A page of the host's that is not there would be the guest's to fill.
        let expected: u64 =
            self.pinned.iter().map(|range| (range.end - range.start) / PAGE_SIZE).sum();
        if leaves != expected {
            let start = self.pinned.first().map_or(0, |range| range.start);
            return Err(DescriptionError::Pinned { start });
        }
        Ok(())
    }

    /// Checks an entry that is not empty; tells whether it maps a page of the host's.
    fn check(
        &self,
        address: u64,
        entry: Entry,
        is_leaf: bool,
        uses: &mut Uses,
    ) -> Result<bool, DescriptionError> {
        let wrong = DescriptionError::Entry { address, entry: entry.bits() };
        let mut used = |page: u64| {
            let taken = uses.take(page);
            if taken { Ok(()) } else { Err(DescriptionError::Shared { address, page }) }
        };
        if !is_leaf {
            if entry != Entry::table(entry.target())
                || entry.frame() >= self.sealed.shape.image_frames
            {
                return Err(wrong);
            }
            return used(entry.frame()).map(|()| false);
        }
        let Some(area) = self.sealed.shape.areas.at(address) else { return Err(wrong) };
        let range = self.pinned.iter().find(|range| (range.start..range.end).contains(&address));
        let privilege = range.map_or(Privilege::User, |range| range.privilege);
        if entry != Entry::leaf(entry.target(), area.protection, privilege) {
            return Err(wrong);
        }
        if let Some((range, base)) = range.and_then(|range| Some((range, range.attached?))) {
            let due = base.get() + (address - range.start);
            return if entry.target().get() == due { Ok(true) } else { Err(wrong) };
        }
        used(entry.frame()).map(|()| range.is_some())
    }
}

#[cfg(test)]
mod tests;
