//! The guest's address space: which ranges are mapped, with which rights, onto which frames.
//!
//! The loader, the Linux personality and the hypervisor's set-up change memory through this
//! interface only, so that a back end that maps memory by other means can take its place.

mod access;
mod area;
mod change;
mod commit;
mod description;
mod error;
mod restore;
mod working_set;

pub use access::{AccessError, FaultOutcome};
pub use area::Search;
pub use description::{AreaDescription, DescriptionError, PinnedRange, SpaceDescription};
pub use error::MapError;
pub use restore::{RestoreError, Restored};
pub(crate) use working_set::WorkingSet;

use crate::address::{PhysicalAddress, is_page_aligned, round_up_to_page};
use crate::frames::{BLOCK_FRAMES, FrameAllocator};
use crate::image::{SMALL_FRAMES, SealedSpace};
use crate::mapping::Mapping;
use crate::meter::{Meter, cost};
use crate::physical::PhysicalMemory;
use crate::protection::{Privilege, Protection};
use crate::table::{Entry, PageTables};
use ampoule_abi::layout::{NULL_GUARD_END, PAGE_SIZE, USER_END};
use area::{Area, Areas};
use restore::Tracking;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Bytes of a block: what one page table or one large leaf maps. Pages of a block are committed
/// together at a first touch, so that a guest which walks through fresh memory faults once in 2 MiB.
const BLOCK: u64 = BLOCK_FRAMES * PAGE_SIZE;
/// Most separate ranges, as Linux's `vm.max_map_count`; bounds what a guest can make the host keep.
const AREAS_MAX: usize = 65_530;

/// An address space and the memory behind it.
///
/// ```text
/// areas    [start..end) rights, backing       what the guest asked for (Linux's VMAs)
/// tables   page -> frame, rights              what the processor sees; filled on first touch
/// frames   which guest-physical pages are in use
/// memory   host mappings; frame n lies at guest-physical address n * 4096
/// ```
///
/// Invariants: a page has an entry only inside an area; no page is writable and executable; table
/// frames are mapped nowhere; frames of a withdrawn page are discarded before they are used again,
/// which also evicts what the hypervisor cached for them.
///
/// The guest must not be running while a method that takes `&mut self` is called.
#[derive(Debug)]
pub struct AddressSpace {
    /// The guest's own memory, and what is attached beside it, such as the channel.
    memory: PhysicalMemory,
    shape: Shape,
    /// The image that the first part of memory is a copy-on-write view of.
    base: Option<Arc<SealedSpace>>,
    /// What [`Self::restore`] knows from the last time.
    tracking: Tracking,
    /// See [`Self::generation`].
    generation: u64,
    /// There is nothing in memory; see [`Self::clear`].
    is_blank: bool,
    /// See [`Self::begin_portion`].
    meter: Meter,
}

/// Everything about an address space but its memory.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) frames: FrameAllocator,
    /// Frames below come from a sealed image: discarding them brings the image's bytes back.
    pub(crate) image_frames: u64,
    /// Frames from here on are anonymous memory that can have huge pages; the limit if none are.
    pub(crate) boundary: u64,
    /// Blocks that a large leaf maps, with the tables that take its place when it is split.
    large: BTreeMap<u64, PhysicalAddress>,
    /// Grows with every change to what the base maps; equal to the base's as long as all that it maps
    /// stands where it did.
    changes: u64,
    /// More may be mapped than the base maps.
    pub(crate) has_grown: bool,
    pub(crate) tables: PageTables,
    areas: Areas,
}

impl Shape {
    /// Whether enough small pages were used up that a guest shows a need for large ones. Below, it
    /// keeps to pages that are shared with its image and can be tracked one by one.
    fn wants_large_leaves(&self) -> bool {
        self.boundary < self.frames.limit()
            && self.frames.high_water() >= self.image_frames + SMALL_FRAMES
    }
}

impl AddressSpace {
    /// An empty address space with room for `capacity` bytes of pages and page tables.
    ///
    /// `capacity` is rounded down to whole pages and must hold at least one page. Host memory is
    /// taken only as the guest touches it.
    ///
    /// # Errors
    /// What `mmap(2)` reports.
    pub fn new(capacity: u64) -> io::Result<Self> {
        let limit = capacity / PAGE_SIZE;
        let memory = Arc::new(Mapping::anonymous(limit * PAGE_SIZE)?);
        let mut frames = FrameAllocator::new(limit);
        let root = frames.allocate(1).ok_or(io::ErrorKind::InvalidInput)?;
        let shape = Shape {
            frames,
            image_frames: 0,
            boundary: limit,
            large: BTreeMap::new(),
            changes: 0,
            has_grown: false,
            tables: PageTables::new(root),
            areas: Areas::new(),
        };
        Ok(Self::with_shape(PhysicalMemory::new(vec![(0, memory)]), shape, None))
    }

    pub(crate) fn with_shape(
        memory: PhysicalMemory,
        shape: Shape,
        base: Option<Arc<SealedSpace>>,
    ) -> Self {
        Self {
            memory,
            shape,
            base,
            tracking: Tracking::default(),
            generation: 0,
            is_blank: false,
            meter: Meter::new(),
        }
    }

    /// Copies the memory into a sealed image. Attached memory is not part of it.
    ///
    /// # Errors
    /// When the host cannot make or fill a memfd.
    pub fn seal(&mut self) -> io::Result<Arc<SealedSpace>> {
        // Pages of an image are copied and tracked one by one.
        self.split_large(0, USER_END);
        SealedSpace::new(&self.memory, self.shape.clone()).map(Arc::new)
    }

    /// Begins to count the work that is done for the guest. Whatever changes or reads memory counts by
    /// itself; what has no end in sight (`*_some`, [`Self::search_free`]) stops once it comes to
    /// [`crate::PORTION`].
    pub const fn begin_portion(&mut self) {
        self.meter = Meter::new();
    }

    /// Counts work that was done for the guest elsewhere: `bytes` made, compared or copied.
    pub const fn charge_bytes(&mut self, bytes: u64) {
        self.meter.charge_bytes(bytes);
    }

    /// Whether enough was done, so that it is time to look whether the guest may go on.
    #[must_use]
    pub const fn portion_is_over(&self) -> bool {
        self.meter.is_over()
    }

    /// Units of work since [`Self::begin_portion`].
    #[must_use]
    pub const fn work(&self) -> u64 {
        self.meter.spent()
    }

    /// Guest-physical memory: the guest's own from address zero on, and what is attached.
    #[must_use]
    pub const fn memory(&self) -> &PhysicalMemory {
        &self.memory
    }

    /// Grows whenever an entry that leads to a table, or a large leaf, was replaced by another.
    ///
    /// KVM's shadow paging does not see what the host writes to page tables. It fills shadow tables
    /// from the guest's as they are at each fault, but it follows links between shadow tables that it
    /// made earlier (kernel: `kvm_mmu_get_child_sp`). Whoever runs the guest has to make it forget all
    /// of them when this number has changed.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The root of the page tables, for CR3.
    #[must_use]
    pub const fn root(&self) -> PhysicalAddress {
        self.shape.tables.root()
    }

    /// Bytes of guest memory in use, page tables included.
    #[must_use]
    pub fn committed_bytes(&self) -> u64 {
        self.shape.frames.in_use() * PAGE_SIZE
    }

    /// Separate ranges that are mapped, the host's included.
    #[must_use]
    pub fn mappings(&self) -> usize {
        self.shape.areas.len()
    }

    /// Bytes of guest memory there can be.
    #[must_use]
    pub const fn capacity_bytes(&self) -> u64 {
        self.shape.frames.limit() * PAGE_SIZE
    }

    /// Maps zero-filled pages. They take frames when they are first touched.
    ///
    /// `start` is a multiple of the page size; `length` is in bytes and rounded up to pages.
    ///
    /// # Errors
    /// [`MapError`]; nothing is changed then.
    pub fn map(&mut self, start: u64, length: u64, protection: Protection) -> Result<(), MapError> {
        let end = self.user_range(start, length)?;
        check_rights(protection)?;
        if self.shape.areas.overlaps(start, end) {
            return Err(MapError::Overlap { start, length });
        }
        self.insert(start, Area::zeroed(end, protection))?;
        let pages = (end - start) / PAGE_SIZE;
        if pages < BLOCK_FRAMES && pages <= self.committable() && !protection.is_none() {
            // Small mappings are used at once: committing them here saves the guest a fault. Larger
            // ones may get large leaves when they are touched. When memory runs short, that is found
            // out then, too.
            let _ = self.commit(start, (start, end), protection);
        }
        Ok(())
    }

    /// Maps pages for the host's own use that the guest can never change: frames of guest memory,
    /// committed and contiguous. Returns where they lie.
    ///
    /// # Errors
    /// [`MapError`]; nothing is mapped then.
    pub fn map_pinned(
        &mut self,
        start: u64,
        length: u64,
        protection: Protection,
        privilege: Privilege,
    ) -> Result<PhysicalAddress, MapError> {
        let end = self.free_range(start, length)?;
        let count = (end - start) / PAGE_SIZE;
        let run = self.allocate(count).filter(|run| run.count == count);
        let run = run.ok_or(self.out_of_memory())?;
        let physical = PhysicalAddress::new(run.offset());
        self.enter_range(start, end, physical, protection, privilege)?;
        self.shape.changes += 1;
        self.insert(start, Area::pinned(end, protection))?;
        Ok(physical)
    }

    /// Attaches `mapping` at guest-physical `base`, so that [`Self::map_attached`] can show parts
    /// of it to the guest and reads through the page tables find it.
    pub fn attach(&mut self, base: PhysicalAddress, mapping: Arc<Mapping>) {
        self.memory.add(base, mapping);
    }

    /// Maps attached memory at `physical`; the guest can never change the mapping.
    ///
    /// # Errors
    /// [`MapError`]; nothing is mapped then.
    pub fn map_attached(
        &mut self,
        start: u64,
        length: u64,
        physical: PhysicalAddress,
        protection: Protection,
    ) -> Result<(), MapError> {
        let end = self.free_range(start, length)?;
        self.enter_range(start, end, physical, protection, Privilege::User)?;
        self.shape.changes += 1;
        self.insert(start, Area::pinned(end, protection))
    }

    /// Searches for the highest free range of `length` bytes in `[from, below)`, a portion at a time:
    /// [`Search::Below`] says where to go on.
    pub fn search_free(&mut self, length: u64, from: u64, below: u64) -> Search {
        /// Ranges passed for a unit of work.
        const RANGES: u64 = 8;
        let Some(length) = round_up_to_page(length) else { return Search::Nothing };
        let steps = crate::PORTION * RANGES / 4;
        let below = below.min(USER_END);
        let (found, taken) = self.shape.areas.find_free(length, from, below, steps);
        self.meter.charge(cost::STEP + taken / RANGES);
        found
    }

    /// Whether every page of the range is mapped, with whatever rights.
    #[must_use]
    pub fn is_mapped(&self, start: u64, length: u64) -> bool {
        start.checked_add(length).is_some_and(|end| self.shape.areas.covers(start, end))
    }

    /// Up to where every page from `start` on is mapped, with whatever rights; `start` when none is.
    #[must_use]
    pub fn mapped_up_to(&self, start: u64) -> u64 {
        self.shape.areas.mapped_up_to(start)
    }

    /// The mapping that holds `address`, if any: its end and its rights.
    #[must_use]
    pub fn mapping_at(&self, address: u64) -> Option<(u64, Protection)> {
        self.shape.areas.at(address).map(|area| (area.end, area.protection))
    }

    /// Rights of the mapping that holds `address`, if any.
    #[must_use]
    pub fn protection_at(&self, address: u64) -> Option<Protection> {
        self.shape.areas.at(address).map(|area| area.protection)
    }

    fn entry(&self, address: u64) -> Entry {
        self.shape.tables.entry(&self.memory, address)
    }

    fn out_of_memory(&self) -> MapError {
        MapError::OutOfMemory { capacity: self.capacity_bytes() }
    }

    fn insert(&mut self, start: u64, area: Area) -> Result<(), MapError> {
        if self.shape.areas.len() >= AREAS_MAX {
            return Err(MapError::TooManyAreas { limit: AREAS_MAX });
        }
        self.shape.has_grown = true;
        self.shape.areas.insert(start, area);
        self.meter.charge(cost::AREA);
        Ok(())
    }

    /// Notes that the pages of `[start, end)` are to be mapped otherwise.
    fn note_change(&mut self, start: u64, end: u64) {
        let touches = |base: &Arc<SealedSpace>| base.shape.areas.overlaps(start, end);
        if self.base.as_ref().is_none_or(touches) {
            self.shape.changes += 1;
        }
        self.shape.has_grown = true;
    }

    /// Checks a range that the guest may map and returns its end.
    fn user_range(&self, start: u64, length: u64) -> Result<u64, MapError> {
        if !is_page_aligned(start) || length == 0 {
            return Err(MapError::Unaligned { start, length });
        }
        let end = round_up_to_page(length).and_then(|rounded| start.checked_add(rounded));
        match end {
            Some(end) if start >= NULL_GUARD_END && end <= USER_END => Ok(end),
            _ => Err(MapError::OutOfRange { start, length }),
        }
    }

    fn free_range(&self, start: u64, length: u64) -> Result<u64, MapError> {
        let end = self.user_range(start, length)?;
        if self.shape.areas.overlaps(start, end) {
            return Err(MapError::Overlap { start, length });
        }
        Ok(end)
    }

    fn refuse_pinned(&self, start: u64, end: u64) -> Result<(), MapError> {
        if self.shape.areas.has_pinned(start, end) {
            return Err(MapError::Pinned { start, length: end - start });
        }
        Ok(())
    }
}

fn check_rights(protection: Protection) -> Result<(), MapError> {
    if protection.write && protection.execute {
        return Err(MapError::WritableAndExecutable);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
