//! Reading, writing and repairing: what happens at a guest-virtual address.

use super::AddressSpace;
use crate::address::{PhysicalAddress, to_usize};
use crate::physical::PhysicalMemory;
use crate::protection::Access;
use crate::space::area::Backing;
use ampoule_abi::layout::PAGE_SIZE;

/// A guest-virtual address that the guest itself could not have accessed so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("guest address {address:#x} is not accessible for {access}")]
pub struct AccessError {
    /// The first address that was not accessible.
    pub address: u64,
    /// What was to be done there.
    pub access: Access,
}

/// What became of a page fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultOutcome {
    /// The page is accessible now: run the instruction again.
    Repaired,
    /// The guest has no right to this access.
    Denied,
    /// The guest has the right, but its memory is used up.
    OutOfMemory,
}

impl AddressSpace {
    /// Copies `out.len()` guest bytes at `address`, with the rights of ring 3.
    ///
    /// # Errors
    /// [`AccessError`] with the first inaccessible address; bytes before it may have been copied.
    pub fn read(&mut self, address: u64, out: &mut [u8]) -> Result<(), AccessError> {
        self.for_each_page(address, out.len(), Access::Read, |memory, at, range| {
            memory.read(at, &mut out[range]).is_ok()
        })
    }

    /// Copies `out.len()` guest bytes at `address`, with the rights of ring 3, as far as they are there:
    /// walks the page tables and changes nothing, neither mappings nor marks of use.
    ///
    /// # Errors
    /// [`AccessError`] with the first address that is not mapped; bytes before it may have been copied.
    pub fn peek(&self, address: u64, out: &mut [u8]) -> Result<(), AccessError> {
        let mut done = 0;
        while done < out.len() {
            let at = address.wrapping_add(done as u64);
            let denied = AccessError { address: at, access: Access::Read };
            let count = to_usize(PAGE_SIZE - at % PAGE_SIZE).min(out.len() - done);
            let physical = self.translate(at, Access::Read).ok_or(denied)?;
            let chunk = &mut out[done..done + count];
            self.memory.read(physical.get(), chunk).map_err(|_| denied)?;
            done += count;
        }
        Ok(())
    }

    /// Copies `bytes` to guest memory at `address`, with the rights of ring 3.
    ///
    /// # Errors
    /// [`AccessError`] with the first inaccessible address; bytes before it were written.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), AccessError> {
        self.for_each_page(address, bytes.len(), Access::Write, |memory, at, range| {
            memory.write(at, &bytes[range]).is_ok()
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
        let mut done = 0;
        while done < bytes.len() {
            let at = address.wrapping_add(done as u64);
            let denied = AccessError { address: at, access: Access::Write };
            let count = to_usize(PAGE_SIZE - at % PAGE_SIZE).min(bytes.len() - done);
            self.meter.charge_bytes(count as u64);
            let mut entry = self.entry(at);
            if !entry.is_committed() {
                let (_, area) = self.shape.areas.containing(at).ok_or(denied)?;
                self.commit_around(at, area.protection).map_err(|_| denied)?;
                entry = self.entry(at);
            }
            let offset = entry.target().get() + at % PAGE_SIZE;
            self.memory.write(offset, &bytes[done..done + count]).map_err(|_| denied)?;
            done += count;
        }
        Ok(())
    }

    /// Answers a page fault that ring 3 raised at `address`.
    ///
    /// Fresh memory gets its frames here. A fault at a page that already allows the access is
    /// stale (the processor may keep an entry from before rights were widened) and repaired by
    /// running on.
    pub fn handle_fault(&mut self, address: u64, access: Access) -> FaultOutcome {
        if self.entry(address).allows_user(access) {
            return FaultOutcome::Repaired;
        }
        match self.shape.areas.at(address) {
            Some(area) if area.backing == Backing::Zeroed && area.protection.allows(access) => {
                match self.commit_around(address, area.protection) {
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
        let entry = self.entry(address);
        let allowed = address < ampoule_abi::layout::USER_END && entry.allows_user(access);
        allowed.then(|| PhysicalAddress::new(entry.target().get() + address % PAGE_SIZE))
    }

    /// Whether a page of `[start, end)`, which is short, was read or written since the image was made.
    #[must_use]
    pub fn was_used(&self, start: u64, end: u64) -> bool {
        let pages = end.saturating_sub(start) / PAGE_SIZE;
        (0..pages).any(|index| self.entry(start + index * PAGE_SIZE).was_used())
    }

    fn for_each_page(
        &mut self,
        address: u64,
        length: usize,
        access: Access,
        mut copy: impl FnMut(&PhysicalMemory, u64, std::ops::Range<usize>) -> bool,
    ) -> Result<(), AccessError> {
        let mut done = 0;
        while done < length {
            let at = address.wrapping_add(done as u64);
            let denied = AccessError { address: at, access };
            let count = to_usize(PAGE_SIZE - at % PAGE_SIZE).min(length - done);
            self.meter.charge_bytes(count as u64);
            let physical = match self.translate(at, access) {
                Some(physical) => physical,
                None if self.handle_fault(at, access) == FaultOutcome::Repaired => {
                    self.translate(at, access).ok_or(denied)?
                }
                None => return Err(denied),
            };
            if !copy(&self.memory, physical.get(), done..done + count) {
                return Err(denied);
            }
            if access == Access::Write {
                // The processor sees nothing of it, and a restore has to know.
                self.shape.tables.mark_dirty(&self.memory, at);
            }
            done += count;
        }
        Ok(())
    }
}
