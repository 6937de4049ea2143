//! Memory that a guest may have, by raw pointers.

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::io;
use std::os::fd::OwnedFd;
use std::ptr::{self, NonNull};

pub(super) const PAGE: usize = 4096;

/// A private mapping of a file.
#[derive(Debug)]
pub(super) struct Memory {
    start: NonNull<c_void>,
    length: usize,
}

// SAFETY: it owns its mapping, and all access is by raw copies that tolerate others.
unsafe impl Send for Memory {}
// SAFETY: as above; every access is volatile or a copy of bytes whose order nobody relies on.
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps `length` bytes of `file` copy-on-write.
    pub(super) fn private(file: &OwnedFd, length: usize) -> io::Result<Self> {
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice replaces none.
        let start = unsafe { mmap(ptr::null_mut(), length, rights, flags, file, 0) }?;
        let start = NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, length })
    }

    pub(super) fn address(&self) -> u64 {
        self.start.as_ptr().addr() as u64
    }

    pub(super) const fn length(&self) -> usize {
        self.length
    }

    pub(super) fn write_u64(&self, offset: usize, value: u64) {
        // SAFETY: `at` checked the bounds; pages are mapped and writable; offsets are multiples of 8.
        unsafe { self.at(offset, 8).cast::<u64>().write_volatile(value) }
    }

    pub(super) fn read_u64(&self, offset: usize) -> u64 {
        // SAFETY: as in `write_u64`.
        unsafe { self.at(offset, 8).cast::<u64>().read_volatile() }
    }

    /// Copies one page of `other` at the same offset.
    pub(super) fn copy_page(&self, other: &Self, offset: usize) {
        let from = other.at(offset, PAGE);
        let to = self.at(offset, PAGE);
        // SAFETY: both are in bounds of two different mappings; no reference to either exists.
        unsafe { ptr::copy_nonoverlapping(from, to, PAGE) }
    }

    fn at(&self, offset: usize, length: usize) -> *mut u8 {
        assert!(offset + length <= self.length, "outside of the mapping");
        // SAFETY: the offset is inside the mapping, by the line above.
        unsafe { self.start.as_ptr().cast::<u8>().add(offset) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's alone, and whoever used its address (a VM) is closed
        // before it.
        let _ = unsafe { munmap(self.start.as_ptr(), self.length) };
    }
}

/// A file in memory with these contents.
pub(super) fn file_of(contents: &[u8]) -> io::Result<OwnedFd> {
    let file = memfd_create("floor", MemfdFlags::CLOEXEC)?;
    ftruncate(&file, contents.len() as u64)?;
    let mut written = 0;
    while written < contents.len() {
        written += rustix::io::pwrite(&file, &contents[written..], written as u64)?;
    }
    Ok(file)
}
