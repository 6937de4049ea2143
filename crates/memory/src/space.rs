//! The guest's address space: which ranges are mapped, with which rights, and a view that shows them.
//!
//! The loader, the Linux personality and the hypervisor's set-up change memory through this
//! interface only, so that a view that shows memory by other means can take the place of page tables
//! ([`crate::view`]).

mod access;
mod change;
mod commit;
mod restore;

use crate::address::{PageRange, PhysicalAddress, VirtualAddress, round_up_to_page};
use crate::area::{Area, Search};
use crate::count::PageCount;
use crate::error::MapError;
use crate::image::SealedSpace;
use crate::mapped::Mapped;
use crate::mapping::Mapping;
use crate::meter::{Meter, PORTION, cost};
use crate::physical::PhysicalMemory;
use crate::protection::{Privilege, Protection};
use crate::view::page_tables::PageTables;
use ampoule_abi::layout::{NULL_GUARD_END, PAGE_SIZE};
use std::io;
use std::sync::Arc;

/// An address space and the memory behind it.
///
/// ```text
/// mapped   [start..end) rights, backing       what the guest asked for (Linux's VMAs)
/// view     page -> memory, rights             what the CPU sees; filled on first touch
/// ```
///
/// Addresses and lengths that are plain numbers are what a guest may have said: they are checked here, and
/// the [`PageRange`]s that come of it are taken at their word.
///
/// Invariants: the view shows a page only inside an area, with the area's rights; no page is writable and
/// executable.
///
/// The guest must not be running while a method that takes `&mut self` is called.
#[derive(Debug)]
pub struct AddressSpace {
    view: PageTables,
    mapped: Mapped,
    /// The image that the first part of memory is a copy-on-write view of.
    base: Option<Arc<SealedSpace>>,
    /// There is nothing in memory; see [`Self::clear`].
    is_blank: bool,
    /// See [`Self::begin_portion`].
    meter: Meter,
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
        let view = PageTables::new(PageCount::new(capacity / PAGE_SIZE))?;
        Ok(Self::with_view(view, Mapped::new(), None))
    }

    fn with_view(view: PageTables, mapped: Mapped, base: Option<Arc<SealedSpace>>) -> Self {
        Self { view, mapped, base, is_blank: false, meter: Meter::new() }
    }

    /// Copies the memory into a sealed image. Attached memory is not part of it.
    ///
    /// # Errors
    /// When the host cannot make or fill a memfd.
    pub fn seal(&mut self) -> io::Result<Arc<SealedSpace>> {
        let (layout, extent) = self.view.seal(&mut self.meter)?;
        SealedSpace::new(vec![extent], layout, self.mapped.sealed()).map(Arc::new)
    }

    /// Begins to count the work that is done for the guest. Whatever changes or reads memory counts by
    /// itself; what has no end in sight (`*_some`, [`Self::search_free`]) stops once it comes to
    /// [`PORTION`].
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
        self.view.memory()
    }

    /// Grows whenever whoever runs the guest has to make a hypervisor forget the tables that it made from the
    /// guest's, because entries that lead to tables were replaced.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.view.generation()
    }

    /// The root of the page tables, for CR3.
    #[must_use]
    pub const fn root(&self) -> PhysicalAddress {
        self.view.root()
    }

    /// Bytes of guest memory in use, page tables included.
    #[must_use]
    pub fn committed_bytes(&self) -> u64 {
        self.view.in_use().bytes()
    }

    /// Separate ranges that are mapped, the host's included.
    #[must_use]
    pub fn mappings(&self) -> usize {
        self.mapped.areas().len()
    }

    /// Bytes of guest memory there can be.
    #[must_use]
    pub const fn capacity_bytes(&self) -> u64 {
        self.view.limit().bytes()
    }

    /// Maps zero-filled pages. They take frames when they are first touched.
    ///
    /// `start` is a multiple of the page size; `length` is in bytes and rounded up to pages.
    ///
    /// # Errors
    /// [`MapError`]; nothing is changed then.
    pub fn map(&mut self, start: u64, length: u64, protection: Protection) -> Result<(), MapError> {
        let range = user_range(start, length)?;
        check_rights(protection)?;
        self.refuse_overlap(range, length)?;
        self.insert(range.start(), Area::zeroed(range.end(), protection))?;
        self.commit_small(range, protection);
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
        let range = self.free_range(start, length)?;
        let physical = self.view.show_pinned(range, protection, privilege, &mut self.meter)?;
        self.insert_pinned(range, protection)?;
        Ok(physical)
    }

    /// Attaches `mapping` at guest-physical `base`, so that [`Self::map_attached`] can show parts
    /// of it to the guest and reads through the page tables find it.
    pub fn attach(&mut self, base: PhysicalAddress, mapping: Arc<Mapping>) {
        self.view.attach(base, mapping);
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
        let range = self.free_range(start, length)?;
        self.view.show_attached(range, physical, protection, &mut self.meter)?;
        self.insert_pinned(range, protection)
    }

    /// Searches for the highest free range of `length` bytes in `[from, below)`, a portion at a time:
    /// [`Search::Below`] says where to go on.
    pub fn search_free(&mut self, length: u64, from: u64, below: u64) -> Search {
        /// Ranges passed for a unit of work.
        const RANGES: u64 = 8;
        let Some(length) = round_up_to_page(length) else { return Search::Nothing };
        let steps = PORTION * RANGES / 4;
        let [from, below] = [from, below].map(VirtualAddress::clamped);
        let (found, taken) = self.mapped.areas().find_free(length, from, below, steps);
        self.meter.charge(cost::STEP + taken / RANGES);
        found
    }

    /// Whether every page of the range is mapped, with whatever rights.
    #[must_use]
    pub fn is_mapped(&self, start: u64, length: u64) -> bool {
        start.checked_add(length).is_some_and(|end| self.mapped_up_to(start) >= end)
    }

    /// Up to where every page from `start` on is mapped, with whatever rights; `start` when none is.
    #[must_use]
    pub fn mapped_up_to(&self, start: u64) -> u64 {
        let end = VirtualAddress::checked(start).map(|at| self.mapped.areas().mapped_up_to(at));
        end.map_or(start, VirtualAddress::get)
    }

    /// The mapping that holds `address`, if any: its end and its rights.
    #[must_use]
    pub fn mapping_at(&self, address: u64) -> Option<(u64, Protection)> {
        let area = self.mapped.areas().at(VirtualAddress::checked(address)?)?;
        Some((area.end.get(), area.protection))
    }

    /// Rights of the mapping that holds `address`, if any.
    #[must_use]
    pub fn protection_at(&self, address: u64) -> Option<Protection> {
        self.mapping_at(address).map(|(_, protection)| protection)
    }

    fn insert(&mut self, start: VirtualAddress, area: Area) -> Result<(), MapError> {
        self.mapped.insert(start, area)?;
        self.meter.charge(cost::AREA);
        Ok(())
    }

    fn insert_pinned(&mut self, range: PageRange, protection: Protection) -> Result<(), MapError> {
        self.mapped.insert_pinned(range, protection)?;
        self.meter.charge(cost::AREA);
        Ok(())
    }

    fn free_range(&self, start: u64, length: u64) -> Result<PageRange, MapError> {
        let range = user_range(start, length)?;
        self.refuse_overlap(range, length)?;
        Ok(range)
    }

    fn refuse_overlap(&self, range: PageRange, length: u64) -> Result<(), MapError> {
        if self.mapped.areas().overlaps(range) {
            return Err(MapError::Overlap { start: range.start().get(), length });
        }
        Ok(())
    }

    fn refuse_pinned(&self, range: PageRange) -> Result<(), MapError> {
        if self.mapped.areas().has_pinned(range) {
            return Err(MapError::Pinned { start: range.start().get(), length: range.bytes() });
        }
        Ok(())
    }
}

/// Checks a range that the guest may map.
fn user_range(start: u64, length: u64) -> Result<PageRange, MapError> {
    if !start.is_multiple_of(PAGE_SIZE) || length == 0 {
        return Err(MapError::Unaligned { start, length });
    }
    let end = round_up_to_page(length).and_then(|rounded| start.checked_add(rounded));
    end.and_then(|end| PageRange::between(start, end))
        .filter(|_| start >= NULL_GUARD_END)
        .ok_or(MapError::OutOfRange { start, length })
}

fn check_rights(protection: Protection) -> Result<(), MapError> {
    if protection.write && protection.execute {
        return Err(MapError::WritableAndExecutable);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
