//! What is done with whole pages of a mapping: other contents, giving them back, having them forgotten or made
//! present.

use super::Mapping;
use crate::address::to_usize;
use crate::extent::Extent;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use std::ffi::c_void;
use std::io;

impl Mapping {
    /// Puts a copy-on-write view of `extents`, which were [checked](crate::extent::check), over zeros
    /// in the place of this mapping's contents, at the same address; a hypervisor that uses the
    /// mapping sees the new contents.
    ///
    /// # Errors
    /// What `mmap(2)` reports; the contents may be partly the old and partly the new ones then.
    pub(crate) fn replace_by(&self, extents: &[Extent]) -> io::Result<()> {
        let whole = |extent: &Extent| extent.start.get() == 0 && extent.length == self.length;
        if !extents.first().is_some_and(whole) {
            // SAFETY: exactly this value's own range is replaced, by memory with the same rights; no
            // Rust reference to its contents exists.
            unsafe {
                rustix::mm::mmap_anonymous(
                    self.base.as_ptr().cast(),
                    to_usize(self.length),
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED,
                )
            }?;
        }
        self.lay(extents)
    }

    /// Maps `extents` over what is there.
    pub(super) fn lay(&self, extents: &[Extent]) -> io::Result<()> {
        for extent in extents {
            let start = self.page_range(extent.start.get(), extent.length)?;
            // SAFETY: `page_range` checked that the pages are this value's own; they get the rights
            // that they had, and no Rust reference to their contents exists.
            unsafe {
                rustix::mm::mmap(
                    start.cast(),
                    to_usize(extent.length),
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED,
                    &extent.file,
                    extent.file_offset,
                )
            }?;
        }
        Ok(())
    }

    /// Gives the pages of the range back: anonymous memory reads as zero afterwards, private file
    /// memory as the file. The host's MMU notifier also evicts every translation that the
    /// hypervisor cached for them, which is what makes this a TLB flush for withdrawn pages.
    ///
    /// # Errors
    /// What `madvise(2)` reports, or `InvalidInput` for a range outside the mapping.
    pub fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        let start = self.page_range(offset, length)?;
        // SAFETY: the pages lie inside the mapping (checked above); no Rust reference to their
        // contents exists, so losing the contents breaks no assumption.
        unsafe { rustix::mm::madvise(start.cast(), to_usize(length), Advice::LinuxDontNeed) }?;
        Ok(())
    }

    /// Evicts every translation that the hypervisor cached for the range, keeping the contents.
    ///
    /// A guest page-table entry that the *host* rewrites is not seen by KVM's shadow paging, not
    /// even after a CR3 load, because only the guest's own writes are tracked (kernel:
    /// `kvm_mmu_page_track_write`). Withdrawing and restoring host access fires the MMU notifier,
    /// which drops the stale translation (kernel: `change_protection`, `kvm_unmap_gfn_range`).
    ///
    /// # Errors
    /// What `mprotect(2)` reports, or `InvalidInput` for a range outside the mapping.
    pub fn evict_translations(&self, offset: u64, length: u64) -> io::Result<()> {
        let start: *mut c_void = self.page_range(offset, length)?.cast();
        // SAFETY: the pages lie inside the mapping; `&self` copies on other threads may fault only
        // if they touch the same pages meanwhile, which the owner of the stopped guest rules out.
        unsafe { rustix::mm::mprotect(start, to_usize(length), MprotectFlags::empty()) }?;
        // SAFETY: as above; this returns the pages to the state every other method relies on.
        unsafe {
            rustix::mm::mprotect(
                start,
                to_usize(length),
                MprotectFlags::READ | MprotectFlags::WRITE,
            )
        }?;
        Ok(())
    }

    /// Makes the pages of the range present and private now, in bulk, instead of one fault each.
    /// A kernel without `MADV_POPULATE_WRITE` (before Linux 5.14) leaves them to their faults.
    ///
    /// # Errors
    /// What `madvise(2)` reports, or `InvalidInput` for a range outside the mapping.
    pub fn populate(&self, offset: u64, length: u64) -> io::Result<()> {
        let start = self.page_range(offset, length)?;
        // SAFETY: the pages lie inside the mapping; populating does not change their contents.
        let populated = unsafe {
            rustix::mm::madvise(start.cast(), to_usize(length), Advice::LinuxPopulateWrite)
        };
        match populated {
            Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
