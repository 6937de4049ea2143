//! Sealed copies of guest memory from which sandboxes start.

use crate::address::{PhysicalAddress, VirtualAddress, to_usize};
use crate::count::PageCount;
use crate::extent::{self, Extent};
use crate::mapped::Mapped;
use crate::mapping::Mapping;
use crate::physical::PhysicalMemory;
use crate::view::page_tables::layout::Layout;
use crate::view::page_tables::working_set::WorkingSet;
use ampoule_abi::layout::PAGE_SIZE;
use std::io;
use std::sync::{Arc, OnceLock};

/// An address space whose memory stands in files that do not change any more.
///
/// ```text
/// 0 ................................................ boundary
/// [ extent ][ zeros ][ extent ][ zeros              ]
/// ```
///
/// [`AddressSpace::seal`] makes one of a single extent: a memfd. One that was written to disk has an
/// extent for each run of pages that a file holds ([`SealedSpace::from_extents`]). Every
/// [`SealedSpace::instantiate`] maps the same files copy-on-write, so that any number of sandboxes
/// share the pages they do not write.
///
/// A memfd's seals (`F_SEAL_FUTURE_WRITE | GROW | SHRINK | SEAL`) make it impossible, for this process
/// too, to change or truncate it from then on. `F_SEAL_WRITE` would say the same here, where no shared
/// mapping of the file ever exists, but it waits until the kernel has no other reference to any page
/// and fails with `EBUSY` when that takes long, as it does while memory is compacted (kernel:
/// `memfd_wait_for_pins`).
///
/// [`AddressSpace::seal`]: crate::AddressSpace::seal
#[derive(Debug)]
pub struct SealedSpace {
    /// In order, not overlapping, inside their files and below the boundary.
    pub(crate) extents: Vec<Extent>,
    /// The image again, for copying pages out of it; never written.
    pub(crate) contents: Arc<Mapping>,
    pub(crate) layout: Layout,
    pub(crate) mapped: Mapped,
    /// The pages that calls touch, once they are known.
    pub(crate) working_set: OnceLock<WorkingSet>,
}

impl SealedSpace {
    /// `mapped`, shown as `layout` says over the memory that `extents` hold.
    ///
    /// # Errors
    /// When the extents overlap or leave their files or the image's part of memory, and what `mmap(2)`
    /// reports.
    pub(crate) fn new(extents: Vec<Extent>, layout: Layout, mapped: Mapped) -> io::Result<Self> {
        let length = layout.boundary().address().get();
        extent::check(&extents, length)?;
        let contents = Arc::new(Mapping::over(&extents, length)?);
        Ok(Self { extents, contents, layout, mapped, working_set: OnceLock::new() })
    }

    /// Bytes of guest memory in use, page tables included.
    #[must_use]
    pub fn committed_bytes(&self) -> u64 {
        self.layout.in_use().bytes()
    }

    /// Bytes from the start of guest-physical memory that the image holds.
    #[must_use]
    pub const fn image_bytes(&self) -> u64 {
        self.layout.image_end().address().get()
    }

    /// Pages that instances of this image get ready, tables included; 0 until it was learned.
    #[must_use]
    pub fn working_set_pages(&self) -> u64 {
        self.working_set.get().map_or(PageCount::ZERO, WorkingSet::pages).get()
    }

    /// Copies the bytes at guest-physical `offset` of the image; behind its end there are zeros.
    ///
    /// # Errors
    /// `UnexpectedEof` when the range ends behind the guest's memory.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.contents
            .read(offset, out)
            .map_err(|error| io::Error::new(io::ErrorKind::UnexpectedEof, error))
    }

    /// Where the page at the guest-virtual `address` lies and what is in it, whatever its rights.
    #[must_use]
    pub fn page(&self, address: u64) -> Option<(PhysicalAddress, Vec<u8>)> {
        let address = VirtualAddress::checked(address)?;
        let physical = self.layout.find(&self.memory(), address)?;
        let mut page = vec![0; to_usize(PAGE_SIZE)];
        self.contents.read(physical.get(), &mut page).ok()?;
        Some((physical, page))
    }

    /// The image's part of guest-physical memory.
    pub(crate) fn memory(&self) -> PhysicalMemory {
        PhysicalMemory::new(vec![(PhysicalAddress::new(0), Arc::clone(&self.contents))])
    }
}
