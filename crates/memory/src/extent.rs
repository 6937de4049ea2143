//! Where the bytes of an image come from.

use crate::address::{PhysicalAddress, is_page_aligned};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A run of bytes of a file that stands in a run of guest-physical memory. What no extent of an image
/// covers is zeros.
#[derive(Debug, Clone)]
pub struct Extent {
    /// The file. It must not shrink while it is mapped, or accesses raise `SIGBUS`.
    pub file: Arc<OwnedFd>,
    /// Where in the file the bytes start; a multiple of the page size.
    pub file_offset: u64,
    /// Where the first byte stands in guest-physical memory; a multiple of the page size.
    pub start: PhysicalAddress,
    /// Bytes; a multiple of the page size and not zero.
    pub length: u64,
}

/// Checks that every extent is made of whole pages, lies in its file and below `end`, and that they
/// are in order and share no page.
///
/// # Errors
/// `InvalidInput` for anything else, and what `fstat(2)` reports.
pub(crate) fn check(extents: &[Extent], end: u64) -> io::Result<()> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let mut free_from = 0;
    for extent in extents {
        let start = extent.start.get();
        let numbers = [extent.file_offset, start, extent.length];
        if extent.length == 0 || !numbers.iter().all(|&number| is_page_aligned(number)) {
            return Err(wrong("an extent is not made of whole pages"));
        }
        let past = |start: u64| start.checked_add(extent.length);
        free_from = past(start)
            .filter(|&past| start >= free_from && past <= end)
            .ok_or_else(|| wrong("extents overlap, or one lies outside of memory"))?;
        let size = u64::try_from(rustix::fs::fstat(&extent.file)?.st_size).unwrap_or_default();
        if past(extent.file_offset).is_none_or(|past| past > size) {
            return Err(wrong("an extent ends behind its file"));
        }
    }
    Ok(())
}
