//! A range of host memory that a guest can see, with copying access only.

mod bytes;
mod pages;

use crate::address::to_usize;
use crate::extent::Extent;
use bytes::{copy, fill_with_zeros};
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a huge page.
const HUGE_PAGE: u64 = 2 << 20;

/// Host memory shared with a guest.
///
/// ```text
/// base                                   base + length
///  |--------------------------------------|   mapped readable and writable, never moved
/// ```
///
/// Invariants: `base` is page-aligned and `length` a multiple of the page size; the range stays
/// mapped from construction to drop; no Rust reference into it is ever made. Bytes are copied by
/// `rep movsb` in inline assembly, which the compiler cannot reorder into or assume anything about,
/// so that a guest that writes meanwhile on another processor causes torn data and nothing worse.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    length: u64,
}

// SAFETY: the range is plain memory owned by this value; it has no thread affinity.
unsafe impl Send for Mapping {}
// SAFETY: all access goes through copies by inline assembly or through atomics, which tolerate
// concurrent access from any thread and from the guest.
unsafe impl Sync for Mapping {}

/// An offset and length that do not lie inside a [`Mapping`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{length} bytes at offset {offset:#x} do not lie inside a mapping of {available} bytes")]
pub struct OutOfBounds {
    /// Where the access would have started.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// Bytes of the mapping.
    pub available: u64,
}

impl Mapping {
    /// Zero-filled memory that only this process sees; pages are made at their first touch.
    ///
    /// `length` is in bytes and a non-zero multiple of the page size.
    ///
    /// # Errors
    /// What `mmap(2)` reports, usually that the address space or a cgroup is exhausted.
    pub fn anonymous(length: u64) -> io::Result<Self> {
        check_length(length)?;
        // SAFETY: a null hint without MAP_FIXED cannot replace an existing mapping.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                to_usize(length),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        Self::adopt(base, length)
    }

    /// As [`Self::anonymous`], at an address that is a multiple of 2 MiB, with huge pages where the
    /// kernel has some to give (`transparent_hugepage` not `never`).
    ///
    /// # Errors
    /// What `mmap(2)` reports.
    pub(crate) fn anonymous_huge(length: u64) -> io::Result<Self> {
        let padded = length.checked_add(HUGE_PAGE).ok_or(io::ErrorKind::InvalidInput)?;
        let mut mapping = Self::anonymous(padded)?;
        let skipped = mapping.host_address().next_multiple_of(HUGE_PAGE) - mapping.host_address();
        mapping.cut(skipped, length)?;
        // Advice only: without huge pages everything works, slower.
        let _ = mapping.page_range(0, length).map(|start| {
            // SAFETY: the pages lie inside the mapping; the advice does not change their contents.
            unsafe { rustix::mm::madvise(start.cast(), to_usize(length), Advice::LinuxHugepage) }
        });
        Ok(mapping)
    }

    /// Keeps `length` bytes from `offset` on and unmaps the rest.
    fn cut(&mut self, offset: u64, length: u64) -> io::Result<()> {
        let end = offset + length;
        for (from, to) in [(0, offset), (end, self.length)] {
            if from < to {
                let start = self.page_range(from, to - from)?;
                // SAFETY: the range lies inside the mapping and is not used after this.
                unsafe { rustix::mm::munmap(start.cast(), to_usize(to - from)) }?;
            }
        }
        // SAFETY: `offset` lies inside the mapping, so the result is inside the same allocation.
        self.base = unsafe { self.base.add(to_usize(offset)) };
        self.length = length;
        Ok(())
    }

    /// A copy-on-write view of `extents`, which were [checked](crate::extent::check), over zeros.
    ///
    /// Cost: one `mmap` each, and one for the zeros.
    ///
    /// # Errors
    /// What `mmap(2)` reports.
    pub(crate) fn over(extents: &[Extent], length: u64) -> io::Result<Self> {
        let mapping = Self::anonymous(length)?;
        mapping.lay(extents)?;
        Ok(mapping)
    }

    fn adopt(base: *mut c_void, length: u64) -> io::Result<Self> {
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, length })
    }

    /// Bytes mapped.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Address of the first byte in this process, for handing to a hypervisor.
    #[must_use]
    pub fn host_address(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    /// Copies `out.len()` bytes at `offset` out of the mapping.
    ///
    /// # Errors
    /// [`OutOfBounds`] when the range does not lie inside; nothing is copied then.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), OutOfBounds> {
        let source = self.range(offset, out.len() as u64)?;
        // SAFETY: `source` is valid for `out.len()` bytes (checked by `range`), `out` for writing by
        // being a slice; they cannot overlap because no slice into a mapping exists.
        unsafe { copy(source, out.as_mut_ptr(), out.len()) };
        Ok(())
    }

    /// Copies `bytes` into the mapping at `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`] when the range does not lie inside; nothing is copied then.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), OutOfBounds> {
        let target = self.range(offset, bytes.len() as u64)?;
        // SAFETY: `target` is valid for `bytes.len()` bytes (checked by `range`), `bytes` for reading
        // by being a slice; they cannot overlap because no slice into a mapping exists.
        unsafe { copy(bytes.as_ptr(), target, bytes.len()) };
        Ok(())
    }

    /// Writes zeros over `length` bytes at `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`] when the range does not lie inside; nothing is written then.
    pub fn zero(&self, offset: u64, length: u64) -> Result<(), OutOfBounds> {
        let target = self.range(offset, length)?;
        // SAFETY: `target` is valid for `length` bytes, checked by `range`.
        unsafe { fill_with_zeros(target, to_usize(length)) };
        Ok(())
    }

    /// Copies `length` bytes at `offset` of `source` to the same offset of this mapping.
    ///
    /// # Errors
    /// [`OutOfBounds`] when the range does not lie inside of both; nothing is copied then.
    pub(crate) fn copy_from(
        &self,
        source: &Self,
        offset: u64,
        length: u64,
    ) -> Result<(), OutOfBounds> {
        let from = source.range(offset, length)?;
        let to = self.range(offset, length)?;
        // SAFETY: both are valid for `length` bytes, checked by `range`, and belong to mappings that
        // do not overlap because each owns its range.
        unsafe { copy(from, to, to_usize(length)) };
        Ok(())
    }

    /// Reads the 8-byte-aligned word at `offset` in one access.
    ///
    /// # Errors
    /// [`OutOfBounds`] when the word does not lie inside or is not aligned.
    pub fn read_u64(&self, offset: u64) -> Result<u64, OutOfBounds> {
        let word = self.word(offset)?;
        // SAFETY: `word` is aligned and inside the mapping, both checked by `word`; the reference
        // lives for this expression and is to an atomic, which others may write concurrently.
        Ok(unsafe { AtomicU64::from_ptr(word) }.load(Ordering::Acquire))
    }

    /// Writes the 8-byte-aligned word at `offset` in one access.
    ///
    /// # Errors
    /// [`OutOfBounds`] when the word does not lie inside or is not aligned.
    pub fn write_u64(&self, offset: u64, value: u64) -> Result<(), OutOfBounds> {
        let word = self.word(offset)?;
        // SAFETY: as in `read_u64`.
        unsafe { AtomicU64::from_ptr(word) }.store(value, Ordering::Release);
        Ok(())
    }

    /// Shows `count` aligned words from `offset` on to `see`, each read in one access.
    ///
    /// # Errors
    /// [`OutOfBounds`] when they do not lie inside or are not aligned; nothing is read then.
    pub(crate) fn for_each_word(
        &self,
        offset: u64,
        count: u64,
        mut see: impl FnMut(u64),
    ) -> Result<(), OutOfBounds> {
        self.range(offset, count.saturating_mul(8))?;
        let first = self.word(offset)?;
        for index in 0..to_usize(count) {
            // SAFETY: `index` is below `count`, and `range` found that so many words lie inside.
            let word = unsafe { first.add(index) };
            // SAFETY: as in `read_u64`; `word` is aligned because `first` is.
            see(unsafe { AtomicU64::from_ptr(word) }.load(Ordering::Relaxed));
        }
        Ok(())
    }

    fn range(&self, offset: u64, length: u64) -> Result<*mut u8, OutOfBounds> {
        match offset.checked_add(length) {
            Some(end) if end <= self.length => {
                // SAFETY: `offset <= self.length`, so the result is inside or one past the mapping.
                Ok(unsafe { self.base.as_ptr().add(to_usize(offset)) })
            }
            _ => Err(OutOfBounds { offset, length, available: self.length }),
        }
    }

    fn word(&self, offset: u64) -> Result<*mut u64, OutOfBounds> {
        if !offset.is_multiple_of(8) {
            return Err(OutOfBounds { offset, length: 8, available: self.length });
        }
        Ok(self.range(offset, 8)?.cast())
    }

    fn page_range(&self, offset: u64, length: u64) -> io::Result<*mut u8> {
        if !crate::address::is_page_aligned(offset) || !crate::address::is_page_aligned(length) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.range(offset, length)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by this value, which is going away, and hypervisors that use
        // it hold the value alive (they take an `Arc`). A failure would leak and nothing else.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), to_usize(self.length)) };
    }
}

fn check_length(length: u64) -> io::Result<()> {
    if length == 0 || !crate::address::is_page_aligned(length) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(())
}
