//! Portions of changes to ranges that are given as numbers.

use super::AddressSpace;
use crate::address::{PageCount, PageRange, VirtualAddress};
use crate::error::MapError;
use crate::protection::Protection;

impl AddressSpace {
    /// A portion of [`Self::unmap`]: from `start` up to what is returned, at most `end`.
    ///
    /// # Errors
    /// [`MapError::Host`].
    pub fn unmap_some(&mut self, start: u64, end: u64) -> Result<u64, MapError> {
        self.unmap_part(range(start, end)?).map(first)
    }

    /// A portion of [`Self::discard`], for which holes are fine.
    ///
    /// # Errors
    /// [`MapError::Host`].
    pub fn discard_some(&mut self, start: u64, end: u64) -> Result<u64, MapError> {
        self.discard_part(range(start, end)?).map(first)
    }

    /// A portion of [`Self::protect`], for rights that memory can have.
    ///
    /// # Errors
    /// [`MapError::Host`].
    pub fn protect_some(
        &mut self,
        start: u64,
        end: u64,
        protection: Protection,
    ) -> Result<u64, MapError> {
        self.protect_part(range(start, end)?, protection).map(first)
    }

    /// A portion of what comes before a move: makes what the pages of `[start, end)` need at `to`.
    ///
    /// # Errors
    /// [`MapError::OutOfMemory`]; nothing has moved then.
    pub fn prepare_some(&mut self, start: u64, end: u64, to: u64) -> Result<u64, MapError> {
        self.prepare_part(range(start, end)?, VirtualAddress::clamped(to)).map(first)
    }

    /// A portion of a move to `to`, where nothing is mapped and [`Self::prepare_some`] was done for all.
    ///
    /// # Errors
    /// [`MapError::Host`].
    pub fn relocate_some(&mut self, start: u64, end: u64, to: u64) -> Result<u64, MapError> {
        self.relocate_part(range(start, end)?, VirtualAddress::clamped(to)).map(first)
    }

    /// Counts pages of `[start, end)` that have frames, up to `wanted` of them, a portion at a time. Returns
    /// where the count stopped, and it.
    pub fn count_some(&mut self, start: u64, end: u64, wanted: u64) -> (u64, u64) {
        let Ok(range) = range(start, end) else { return (end, 0) };
        let (rest, count) = self.count_part(range, PageCount::new(wanted));
        (first(rest), count.get())
    }
}

fn range(start: u64, end: u64) -> Result<PageRange, MapError> {
    let wrong = MapError::OutOfRange { start, length: end.saturating_sub(start) };
    PageRange::between(start, end).ok_or(wrong)
}

fn first(rest: PageRange) -> u64 {
    rest.start().get()
}
