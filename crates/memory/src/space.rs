//! The guest's address space: which ranges are mapped, with which rights, onto which frames.
//!
//! The loader, the Linux personality and the hypervisor's set-up change memory through this
//! interface only, so that a back end that maps memory by other means can take its place.

mod access;
mod area;
mod description;
mod error;
mod restore;
mod working_set;

pub use access::{AccessError, FaultOutcome};
pub use description::{AreaDescription, DescriptionError, PinnedRange, SpaceDescription};
pub use error::MapError;
pub use restore::{RestoreError, Restored};
pub(crate) use working_set::WorkingSet;

use crate::address::{PhysicalAddress, is_page_aligned, round_up_to_page, to_usize};
use crate::frames::{BLOCK_FRAMES, FrameAllocator, Run};
use crate::image::{SMALL_FRAMES, SealedSpace};
use crate::mapping::Mapping;
use crate::physical::PhysicalMemory;
use crate::protection::{Privilege, Protection};
use crate::table::{Entry, PageTables};
use ampoule_abi::layout::{NULL_GUARD_END, PAGE_SIZE, USER_END};
use area::{Area, Areas, Backing};
use restore::Tracking;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Bytes of a block: what one page table or one large leaf maps. Pages of a block are committed
/// together at a first touch, so that a guest which walks through fresh memory faults once in 2 MiB.
const BLOCK: u64 = BLOCK_FRAMES * PAGE_SIZE;
/// The page size as a step for ranges.
const PAGE_STEP: usize = to_usize(PAGE_SIZE);
/// What is committed ahead of its touch is at most this share of the free frames, so that little is
/// wasted when they run short.
const AHEAD_SHARE: u64 = 16;
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
        Self { memory, shape, base, tracking: Tracking::default(), generation: 0, is_blank: false }
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
            // ones may get large leaves when they are touched.
            self.commit(start, end, protection)?;
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

    /// Unmaps the range, as `munmap(2)`: holes are fine.
    ///
    /// # Errors
    /// [`MapError`]; nothing is changed then, except when the host refuses half-way
    /// ([`MapError::Host`]).
    pub fn unmap(&mut self, start: u64, length: u64) -> Result<(), MapError> {
        let end = self.user_range(start, length)?;
        self.refuse_pinned(start, end)?;
        self.isolate(start, end)?;
        for (at, area) in self.shape.areas.take(start, end) {
            self.withdraw(at, area.end)?;
        }
        Ok(())
    }

    /// Changes the rights of every page in the range, as `mprotect(2)`.
    ///
    /// # Errors
    /// [`MapError`]; nothing is changed then, except when the host refuses half-way
    /// ([`MapError::Host`]).
    pub fn protect(
        &mut self,
        start: u64,
        length: u64,
        protection: Protection,
    ) -> Result<(), MapError> {
        let end = self.user_range(start, length)?;
        check_rights(protection)?;
        self.refuse_pinned(start, end)?;
        if !self.shape.areas.covers(start, end) {
            return Err(MapError::NotMapped { start, length });
        }
        self.isolate(start, end)?;
        self.shape.areas.set_protection(start, end, protection);
        let changed = self.rewrite(start, end, |_, entry| {
            Entry::leaf(entry.target(), protection, Privilege::User)
        });
        self.evict(&changed)
    }

    /// Moves the pages of a range, contents and all, as `mremap(2)` with `MREMAP_MAYMOVE`.
    ///
    /// # Errors
    /// [`MapError`]; nothing is changed then, except when the host refuses half-way
    /// ([`MapError::Host`]) or memory for page tables runs out ([`MapError::OutOfMemory`]).
    pub fn relocate(&mut self, from: u64, length: u64, to: u64) -> Result<(), MapError> {
        let end = self.user_range(from, length)?;
        self.free_range(to, length)?;
        self.refuse_pinned(from, end)?;
        if !self.shape.areas.covers(from, end) {
            return Err(MapError::NotMapped { start: from, length });
        }
        let committed: Vec<u64> = self.committed(from, end).map(|(page, _)| page).collect();
        for page in committed {
            let target = to + (page - from);
            self.prepare_tables(target, target + PAGE_SIZE)?;
        }
        self.isolate(from, end)?;
        for (at, area) in self.shape.areas.take(from, end) {
            let target = to + (at - from);
            self.insert(target, Area { end: to + (area.end - from), ..area })?;
            let moved = self.rewrite(at, area.end, |page, entry| {
                self.shape.tables.replace(&self.memory, to + (page - from), entry);
                Entry::EMPTY
            });
            self.evict(&moved)?;
        }
        Ok(())
    }

    /// Makes the range read as zeros again, as `madvise(2)` with `MADV_DONTNEED`.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn discard(&mut self, start: u64, length: u64) -> Result<(), MapError> {
        let end = self.user_range(start, length)?;
        self.refuse_pinned(start, end)?;
        if !self.shape.areas.covers(start, end) {
            return Err(MapError::NotMapped { start, length });
        }
        self.split_large(start, end);
        self.withdraw(start, end)
    }

    /// Start of the highest free range of `length` bytes that ends at or below `below`.
    #[must_use]
    pub fn find_free(&self, length: u64, below: u64) -> Option<u64> {
        self.shape.areas.find_free(round_up_to_page(length)?, below.min(USER_END))
    }

    /// Whether every page of the range is mapped, with whatever rights.
    #[must_use]
    pub fn is_mapped(&self, start: u64, length: u64) -> bool {
        start.checked_add(length).is_some_and(|end| self.shape.areas.covers(start, end))
    }

    /// Rights of the mapping that holds `address`, if any.
    #[must_use]
    pub fn protection_at(&self, address: u64) -> Option<Protection> {
        self.shape.areas.at(address).map(|area| area.protection)
    }

    /// How many pages may be committed together.
    fn committable(&self) -> u64 {
        (self.shape.frames.available() / AHEAD_SHARE).clamp(1, BLOCK_FRAMES)
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

    /// Splits areas so that none crosses `start` or `end`, and large leaves in between.
    fn isolate(&mut self, start: u64, end: u64) -> Result<(), MapError> {
        self.note_change(start, end);
        // A split adds at most two areas.
        if self.shape.areas.len() + 2 > AREAS_MAX {
            return Err(MapError::TooManyAreas { limit: AREAS_MAX });
        }
        self.shape.areas.split_at(start);
        self.shape.areas.split_at(end);
        self.split_large(start, end);
        Ok(())
    }

    /// Splits every large leaf that has a page in `[start, end)`. Needs no memory: each one's table
    /// was set aside when it was made, so that a guest without memory can still give some back.
    fn split_large(&mut self, start: u64, end: u64) {
        let first = start & !(BLOCK - 1);
        let blocks: Vec<_> = self.shape.large.range(first..end).map(|(&b, &t)| (b, t)).collect();
        for (block, table) in blocks {
            self.generation += 1;
            self.shape.large.remove(&block);
            self.shape.tables.split(&self.memory, block, table);
        }
    }

    /// Maps the empty block at `block` by one large leaf; `false` when there is no block of frames.
    fn commit_large(&mut self, block: u64, protection: Protection) -> Result<bool, MapError> {
        let Some(run) = self.shape.frames.allocate_block(self.shape.boundary) else {
            return Ok(false);
        };
        if let Err(error) = self.prepare_tables(block, block + BLOCK) {
            self.shape.frames.release(run);
            return Err(error);
        }
        let physical = PhysicalAddress::new(run.offset());
        let leaf = Entry::leaf(physical, protection, Privilege::User);
        if let Some(table) = self.shape.tables.join(&self.memory, block, leaf) {
            self.shape.large.insert(block, table);
        }
        Ok(true)
    }

    /// Frames that read as zero: up to `wanted`, contiguous.
    fn allocate(&mut self, wanted: u64) -> Option<Run> {
        let run = self.shape.frames.allocate(wanted)?;
        let stale = self.shape.image_frames.saturating_sub(run.first).min(run.count);
        if stale > 0 {
            // Discarded frames of an image show the image's bytes again.
            self.memory.zero(run.offset(), stale * PAGE_SIZE).ok()?;
        }
        Some(run)
    }

    fn prepare_tables(&mut self, start: u64, end: u64) -> Result<(), MapError> {
        let tables = self.shape.tables;
        let memory = self.memory.clone();
        let in_use = self.shape.frames.in_use();
        let mut at = start;
        while at < end {
            tables
                .prepare(&memory, at, || self.allocate(1))
                .map_err(|_| MapError::OutOfMemory { capacity: self.capacity_bytes() })?;
            at = (at & !(BLOCK - 1)) + BLOCK;
        }
        if self.shape.frames.in_use() != in_use {
            self.tracking.forget_tables();
        }
        Ok(())
    }

    /// Enters `[start, end)` onto contiguous memory from `physical` on.
    fn enter_range(
        &mut self,
        start: u64,
        end: u64,
        physical: PhysicalAddress,
        protection: Protection,
        privilege: Privilege,
    ) -> Result<(), MapError> {
        self.prepare_tables(start, end)?;
        for page in (start..end).step_by(PAGE_STEP) {
            let target = PhysicalAddress::new(physical.get() + (page - start));
            let entry = Entry::leaf(target, protection, privilege);
            self.shape.tables.replace(&self.memory, page, entry);
        }
        Ok(())
    }

    /// Gives every page of `[start, end)` that has none a zeroed frame.
    fn commit(&mut self, start: u64, end: u64, protection: Protection) -> Result<(), MapError> {
        self.prepare_tables(start, end)?;
        let mut at = start;
        while at < end {
            if self.entry(at).is_committed() {
                at += PAGE_SIZE;
                continue;
            }
            let gap = (at..end)
                .step_by(PAGE_STEP)
                .take_while(|&page| !self.entry(page).is_committed())
                .count() as u64;
            let run = self.allocate(gap).ok_or(self.out_of_memory())?;
            let physical = PhysicalAddress::new(run.offset());
            self.enter_range(at, at + run.length(), physical, protection, Privilege::User)?;
            at += run.length();
        }
        Ok(())
    }

    /// Takes the frames of `[start, end)` away and frees them.
    fn withdraw(&mut self, start: u64, end: u64) -> Result<(), MapError> {
        self.note_change(start, end);
        self.take_back(start, end)
    }

    /// As [`Self::withdraw`], for what the base does not have.
    fn take_back(&mut self, start: u64, end: u64) -> Result<(), MapError> {
        for run in self.rewrite(start, end, |_, _| Entry::EMPTY) {
            self.memory
                .discard(run.offset(), run.length())
                .map_err(|error| MapError::Host { kind: error.kind() })?;
            self.shape.frames.release(run);
        }
        Ok(())
    }

    /// Replaces every committed entry of `[start, end)` and returns the frames behind them, merged
    /// into runs.
    fn rewrite(&self, start: u64, end: u64, replacement: impl Fn(u64, Entry) -> Entry) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (page, entry) in self.committed(start, end) {
            self.shape.tables.replace(&self.memory, page, replacement(page, entry));
            match runs.last_mut() {
                Some(run) if run.first + run.count == entry.frame() => run.count += 1,
                _ => runs.push(Run { first: entry.frame(), count: 1 }),
            }
        }
        runs
    }

    /// The committed pages of `[start, end)`. Cost: ranges without a table are skipped whole.
    fn committed(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, Entry)> {
        let mut next = start;
        std::iter::from_fn(move || {
            while next < end {
                let page = next;
                match self.shape.tables.lookup(&self.memory, page) {
                    Some(entry) => {
                        next += PAGE_SIZE;
                        if entry.is_committed() {
                            return Some((page, entry));
                        }
                    }
                    None => next = (page & !(BLOCK - 1)) + BLOCK,
                }
            }
            None
        })
    }

    /// Makes the hypervisor forget what it cached for these frames.
    fn evict(&self, runs: &[Run]) -> Result<(), MapError> {
        for run in runs {
            self.memory
                .evict_translations(run.offset(), run.length())
                .map_err(|error| MapError::Host { kind: error.kind() })?;
        }
        Ok(())
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
        let pinned = |area: &Area| area.backing == Backing::Pinned;
        if self.shape.areas.within(start, end).any(|(_, area)| pinned(area)) {
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
