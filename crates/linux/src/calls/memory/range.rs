//! What a guest says of a range of its memory.

use crate::errno::Errno;
use ampoule_abi::layout::PAGE_SIZE;
use ampoule_memory::{PageRange, Protection, round_up_to_page};
use std::ops::Range;

pub(super) const PROT_READ: u64 = 1;
pub(super) const PROT_WRITE: u64 = 2;
pub(super) const PROT_EXEC: u64 = 4;
/// For atomics between processes: no meaning here.
const PROT_SEM: u64 = 8;

/// A page-aligned start and a length in whole pages.
///
/// # Errors
/// `EINVAL` for a start that is not aligned, `ENOMEM` for a length that overflows.
pub(super) fn whole_pages(start: u64, length: u64) -> Result<Range<u64>, Errno> {
    if !start.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let length = round_up_to_page(length).ok_or(Errno::ENOMEM)?;
    Ok(start..start.checked_add(length).ok_or(Errno::ENOMEM)?)
}

pub(super) fn length_of(range: &Range<u64>) -> u64 {
    range.end - range.start
}

/// The pages of a range that was found to be the guest's; `None` when there are none.
pub(super) fn pages(range: &Range<u64>) -> Option<PageRange> {
    PageRange::between(range.start, range.end).filter(|pages| !pages.is_empty())
}

/// The rights that `prot` asks for.
///
/// # Errors
/// `EINVAL` for unknown bits, `EACCES` for writable and executable at once.
pub(super) fn protection(bits: u64) -> Result<Protection, Errno> {
    if bits & !(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM) != 0 {
        return Err(Errno::EINVAL);
    }
    let (write, execute) = (bits & PROT_WRITE != 0, bits & PROT_EXEC != 0);
    if write && execute {
        return Err(Errno::EACCES);
    }
    Ok(Protection { read: bits & PROT_READ != 0, write, execute })
}
