//! Reading, writing and repairing: what happens at a guest-virtual address.

use super::AddressSpace;
use crate::address::{PageRange, PhysicalAddress, VirtualAddress, to_usize};
use crate::area::Backing;
use crate::error::AccessError;
use crate::outcome::FaultOutcome;
use crate::protection::Access;
use crate::view::page_tables::PageTables;
use ampoule_abi::layout::PAGE_SIZE;
use std::ops::Range;

impl AddressSpace {
    /// Copies `out.len()` guest bytes at `address`, with the rights of ring 3.
    ///
    /// # Errors
    /// [`AccessError`] with the first inaccessible address; bytes before it may have been copied.
    pub fn read(&mut self, address: u64, out: &mut [u8]) -> Result<(), AccessError> {
        let access = Access::Read;
        self.copy(address, out.len(), access, Self::repair(access), |view, at, part| {
            view.read(at, &mut out[part])
        })
    }

    /// Copies `out.len()` guest bytes at `address`, with the rights of ring 3, as far as they are there:
    /// changes nothing, neither mappings nor marks of use.
    ///
    /// # Errors
    /// [`AccessError`] with the first address that is not mapped; bytes before it may have been copied.
    pub fn peek(&self, address: u64, out: &mut [u8]) -> Result<(), AccessError> {
        let copied = VirtualAddress::checked(address).map_or(0, |at| self.view.read(at, out));
        if copied < out.len() {
            let address = address.wrapping_add(copied as u64);
            return Err(AccessError { address, access: Access::Read });
        }
        Ok(())
    }

    /// Copies `bytes` to guest memory at `address`, with the rights of ring 3.
    ///
    /// # Errors
    /// [`AccessError`] with the first inaccessible address; bytes before it were written.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), AccessError> {
        let access = Access::Write;
        self.copy(address, bytes.len(), access, Self::repair(access), |view, at, part| {
            view.write(at, &bytes[part])
        })
    }

    /// Copies guest bytes up to, and without, the first NUL; `None` when the first `limit` bytes
    /// hold none.
    ///
    /// # Errors
    /// [`AccessError`] with the first inaccessible address.
    pub fn read_until_nul(
        &mut self,
        address: u64,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, AccessError> {
        let mut found = Vec::new();
        let mut at = address;
        while found.len() < limit {
            let in_page = to_usize(PAGE_SIZE - at % PAGE_SIZE);
            let mut chunk = vec![0; in_page.min(limit - found.len())];
            self.read(at, &mut chunk)?;
            if let Some(end) = chunk.iter().position(|&byte| byte == 0) {
                found.extend_from_slice(&chunk[..end]);
                return Ok(Some(found));
            }
            at = at.wrapping_add(chunk.len() as u64);
            found.append(&mut chunk);
        }
        Ok(None)
    }

    /// Copies `bytes` to `address` without regard to the page's rights, for loading an executable
    /// into pages that the guest itself may only read. The range must be mapped.
    ///
    /// # Errors
    /// [`AccessError`] where the range is not mapped or the guest's memory is used up.
    pub fn load(&mut self, address: u64, bytes: &[u8]) -> Result<(), AccessError> {
        let commit = |space: &mut Self, at| {
            let area = space.mapped.areas().containing(at);
            area.is_some_and(|area| space.commit_around(at, area).is_ok())
        };
        self.copy(address, bytes.len(), Access::Write, commit, |view, at, part| {
            view.load(at, &bytes[part])
        })
    }

    /// Answers a page fault that ring 3 raised at `address`.
    ///
    /// Fresh memory is committed here. A fault at a page that already allows the access is
    /// stale (the processor may keep an entry from before rights were widened) and repaired by
    /// running on.
    pub fn handle_fault(&mut self, address: u64, access: Access) -> FaultOutcome {
        let Some(address) = VirtualAddress::checked(address) else { return FaultOutcome::Denied };
        if self.view.allows(address, access) {
            return FaultOutcome::Repaired;
        }
        match self.mapped.areas().containing(address) {
            Some((start, area))
                if area.backing == Backing::Zeroed && area.protection.allows(access) =>
            {
                match self.commit_around(address, (start, area)) {
                    Ok(()) => FaultOutcome::Repaired,
                    Err(_) => FaultOutcome::OutOfMemory,
                }
            }
            _ => FaultOutcome::Denied,
        }
    }

    /// Where ring 3 would find the byte at `address`, without changing anything.
    #[must_use]
    pub fn translate(&self, address: u64, access: Access) -> Option<PhysicalAddress> {
        self.view.translate(VirtualAddress::checked(address)?, access)
    }

    /// Whether a page of `[start, end)`, which is short, was read or written since the image was made.
    #[must_use]
    pub fn was_used(&self, start: u64, end: u64) -> bool {
        let [start, end] = [start, end].map(VirtualAddress::clamped);
        self.view.was_used(PageRange::new(start, end))
    }

    /// Answers a fault of the host's, on the guest's behalf.
    fn repair(access: Access) -> impl FnMut(&mut Self, VirtualAddress) -> bool {
        move |space, at| space.handle_fault(at.get(), access) == FaultOutcome::Repaired
    }

    /// Lets the view `copy` all of `length` bytes from `address` on. Where it gets stuck, `repair` makes the
    /// page accessible, if it may be, and it tries once more.
    #[inline]
    fn copy(
        &mut self,
        address: u64,
        length: usize,
        access: Access,
        mut repair: impl FnMut(&mut Self, VirtualAddress) -> bool,
        mut copy: impl FnMut(&PageTables, VirtualAddress, Range<usize>) -> usize,
    ) -> Result<(), AccessError> {
        let mut done = 0;
        // Up to where all was copied when something was last repaired.
        let mut repaired = None;
        while done < length {
            if let Some(at) = VirtualAddress::checked(address.wrapping_add(done as u64)) {
                let copied = copy(&self.view, at, done..length);
                self.meter.charge_copy(at, copied as u64);
                done += copied;
                if done == length {
                    break;
                }
            }
            let address = address.wrapping_add(done as u64);
            let is_first_try = repaired.replace(done) != Some(done);
            let at = VirtualAddress::checked(address).filter(|_| is_first_try);
            if !at.is_some_and(|at| repair(self, at)) {
                let in_page = PAGE_SIZE - address % PAGE_SIZE;
                self.meter.charge_bytes(in_page.min((length - done) as u64));
                return Err(AccessError { address, access });
            }
        }
        Ok(())
    }
}
