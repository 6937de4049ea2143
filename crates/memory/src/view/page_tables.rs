//! An address space shown to a virtual processor: x86-64 page tables in guest-physical memory.
//!
//! ```text
//! tables   page -> frame, rights              what the processor sees
//! frames   which guest-physical pages are in use
//! memory   host mappings; frame n lies at guest-physical address n * 4096
//! ```
//!
//! Everything that knows page-table entries, frames, dirty and accessed bits, large leaves and the ways to
//! make a hypervisor forget what it cached lies below here. Each operation is described at its method;
//! [the contract of all views](super) says what they have in common.
//!
//! Invariants: a page has an entry only where it was committed or shown; table frames are mapped nowhere;
//! frames of a withdrawn page are discarded before they are used again, which also evicts what the
//! hypervisor cached for them.

mod change;
mod commit;
mod copy;
mod entry;
pub(crate) mod layout;
mod price;
pub(crate) mod restore;
mod scan;
mod seal;
mod tables;
mod tracking;
pub(crate) mod verify;
pub(crate) mod working_set;

use crate::address::{PageRange, PhysicalAddress};
use crate::count::PageCount;
use crate::error::MapError;
use crate::frame::Frame;
use crate::frames::FrameAllocator;
use crate::mapping::Mapping;
use crate::meter::Meter;
use crate::physical::PhysicalMemory;
use crate::protection::{Privilege, Protection};
use layout::Layout;
use std::io;
use std::sync::Arc;
use tracking::Tracking;

/// The page tables of an address space, and the memory that they and its pages stand in.
#[derive(Debug)]
pub(crate) struct PageTables {
    /// The guest's own memory, and what is attached beside it, such as the channel.
    memory: PhysicalMemory,
    layout: Layout,
    /// What going back knows from the last time.
    tracking: Tracking,
    /// See [`Self::generation`].
    generation: u64,
}

impl PageTables {
    /// Page tables without a page, in fresh memory of `limit` pages.
    ///
    /// # Errors
    /// What `mmap(2)` reports; `InvalidInput` for no page at all.
    pub(crate) fn new(limit: PageCount) -> io::Result<Self> {
        let memory = Arc::new(Mapping::anonymous(limit.bytes())?);
        let frames = FrameAllocator::new(Frame::ZERO.plus(limit));
        let layout = Layout::empty(frames).ok_or(io::ErrorKind::InvalidInput)?;
        let memory = PhysicalMemory::new(vec![(Frame::ZERO.address(), memory)]);
        Ok(Self::over(memory, layout))
    }

    /// The page tables of an image whose bytes `contents` shows copy-on-write.
    ///
    /// Cost: two `mmap`, at most.
    ///
    /// # Errors
    /// What `mmap(2)` reports.
    pub(crate) fn of_image(contents: Mapping, image: &Layout) -> io::Result<Self> {
        let mut parts = vec![(Frame::ZERO.address(), Arc::new(contents))];
        let boundary = image.boundary();
        let fresh = image.limit().since(boundary);
        if fresh > PageCount::ZERO {
            parts.push((boundary.address(), Arc::new(Mapping::anonymous_huge(fresh.bytes())?)));
        }
        Ok(Self::over(PhysicalMemory::new(parts), image.clone()))
    }

    fn over(memory: PhysicalMemory, layout: Layout) -> Self {
        Self { memory, layout, tracking: Tracking::default(), generation: 0 }
    }

    /// Guest-physical memory: the guest's own from address zero on, and what is attached.
    pub(crate) const fn memory(&self) -> &PhysicalMemory {
        &self.memory
    }

    /// The root of the page tables, for CR3.
    pub(crate) const fn root(&self) -> PhysicalAddress {
        self.layout.tables.root()
    }

    /// Grows whenever an entry that leads to a table, or a large leaf, was replaced by another.
    ///
    /// KVM's shadow paging does not see what the host writes to page tables. It fills shadow tables
    /// from the guest's as they are at each fault, but it follows links between shadow tables that it
    /// made earlier (kernel: `kvm_mmu_get_child_sp`). Whoever runs the guest has to make it forget all
    /// of them when this number has changed.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Pages of memory in use, those of the tables included.
    pub(crate) fn in_use(&self) -> PageCount {
        self.layout.in_use()
    }

    /// Pages of memory that can be had.
    pub(crate) fn available(&self) -> PageCount {
        self.layout.frames.available()
    }

    /// Pages of memory there can be.
    pub(crate) const fn limit(&self) -> PageCount {
        self.layout.limit().since(Frame::ZERO)
    }

    /// Attaches `mapping` at guest-physical `base`, so that [`Self::show_attached`] can show parts of it.
    pub(crate) fn attach(&mut self, base: PhysicalAddress, mapping: Arc<Mapping>) {
        self.memory.add(base, mapping);
    }

    /// Shows attached memory from `physical` on at `range`, to ring 3.
    ///
    /// # Errors
    /// [`MapError::OutOfMemory`].
    pub(crate) fn show_attached(
        &mut self,
        range: PageRange,
        physical: PhysicalAddress,
        protection: Protection,
        meter: &mut Meter,
    ) -> Result<(), MapError> {
        self.enter(range, physical, protection, Privilege::User, meter)
    }

    /// Shows fresh memory of the host's at `range`, all of it and contiguous, and tells where it lies.
    ///
    /// # Errors
    /// [`MapError::OutOfMemory`].
    pub(crate) fn show_pinned(
        &mut self,
        range: PageRange,
        protection: Protection,
        privilege: Privilege,
        meter: &mut Meter,
    ) -> Result<PhysicalAddress, MapError> {
        let run = self.allocate(range.pages(), meter).filter(|run| run.count == range.pages());
        let physical = run.ok_or(self.out_of_memory())?.start();
        self.enter(range, physical, protection, privilege, meter)?;
        Ok(physical)
    }

    /// How many large leaves there are.
    #[cfg(test)]
    pub(crate) fn large_leaves(&self) -> usize {
        self.layout.large.len()
    }
}

#[cfg(test)]
mod tests;
