//! Reading and writing what is shown, at guest-virtual addresses.
//!
//! A copy goes as far as pages are shown for it and tells how far that was; what is then to be done about
//! the page where it stopped is not known here.

use super::PageTables;
use super::entry::Entry;
use crate::address::{PageRange, PhysicalAddress, VirtualAddress, to_usize};
use crate::protection::Access;
use ampoule_abi::layout::{PAGE_SIZE, USER_END};
use std::ops::Range;

impl PageTables {
    /// Copies what stands at `address` to `out`, with the rights of ring 3, and returns how many bytes that
    /// were. Changes nothing, neither what is shown nor marks of use.
    #[inline]
    pub(crate) fn read(&self, address: VirtualAddress, out: &mut [u8]) -> usize {
        let length = out.len();
        page_by_page(address, length, |at, part| {
            let physical = self.translate(at, Access::Read)?;
            self.memory.read(physical, &mut out[part]).ok()
        })
    }

    /// Copies `bytes` to `address`, with the rights of ring 3, and returns how many that were. The pages
    /// count as written, as if the guest had done it.
    #[inline]
    pub(crate) fn write(&self, address: VirtualAddress, bytes: &[u8]) -> usize {
        page_by_page(address, bytes.len(), |at, part| {
            let physical = self.translate(at, Access::Write)?;
            self.memory.write(physical, &bytes[part]).ok()?;
            // The processor sees nothing of it, and a restore has to know.
            self.layout.tables.mark_dirty(&self.memory, at);
            Some(())
        })
    }

    /// Copies `bytes` to `address` as far as there is memory, whatever its rights, and returns how many that
    /// were. The pages do not count as written.
    pub(crate) fn load(&self, address: VirtualAddress, bytes: &[u8]) -> usize {
        page_by_page(address, bytes.len(), |at, part| {
            let entry = Some(self.leaf(at)).filter(|entry| entry.is_committed())?;
            self.memory.write(entry.target().step(at.in_page()), &bytes[part]).ok()
        })
    }

    /// Whether ring 3 may do `access` at `address` as things are.
    pub(crate) fn allows(&self, address: VirtualAddress, access: Access) -> bool {
        self.leaf(address).allows_user(access)
    }

    /// Where ring 3 would find the byte at `address`.
    #[inline]
    pub(crate) fn translate(
        &self,
        address: VirtualAddress,
        access: Access,
    ) -> Option<PhysicalAddress> {
        let entry = self.leaf(address);
        let allowed = address.get() < USER_END && entry.allows_user(access);
        allowed.then(|| entry.target().step(address.in_page()))
    }

    /// Whether a page of `range`, which is short, was read or written since the image was made.
    pub(crate) fn was_used(&self, range: PageRange) -> bool {
        let page = |index| range.start().plus(index * PAGE_SIZE);
        (0..range.pages().get()).any(|index| self.leaf(page(index)).was_used())
    }

    #[inline]
    pub(super) fn leaf(&self, address: VirtualAddress) -> Entry {
        self.layout.tables.leaf(&self.memory, address)
    }
}

/// Lets `copy` do the part of each page of `length` bytes from `address` on, until it cannot, and returns
/// how many bytes it did.
#[inline]
fn page_by_page(
    address: VirtualAddress,
    length: usize,
    mut copy: impl FnMut(VirtualAddress, Range<usize>) -> Option<()>,
) -> usize {
    let mut done = 0;
    while done < length {
        let at = address.plus(done as u64);
        let count = to_usize(at.left_in_page()).min(length - done);
        if copy(at, done..done + count).is_none() {
            break;
        }
        done += count;
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_made_of_the_parts_in_each_page_and_stops_where_one_cannot_be_had() {
        let mut parts = Vec::new();
        let at = VirtualAddress::clamped;
        let copied = page_by_page(at(0x1ff0), 0x1020, |at, part| {
            parts.push((at.get(), part));
            Some(())
        });
        assert_eq!(copied, 0x1020);
        assert_eq!(parts, [(0x1ff0, 0..16), (0x2000, 16..0x1010), (0x3000, 0x1010..0x1020)]);
        let until =
            |end: u64| page_by_page(at(0x1ff0), 0x1020, |at, _| (at.get() < end).then_some(()));
        assert_eq!([until(0), until(0x2000), until(0x3000)], [0, 16, 0x1010]);
        assert_eq!(page_by_page(at(5), 0, |_, _| None), 0);
    }

    #[test]
    fn a_copy_does_not_go_behind_the_end_of_what_a_guest_can_have() {
        let mut seen = Vec::new();
        let end = VirtualAddress::END;
        page_by_page(VirtualAddress::clamped(end.get() - 8), 16, |at, _| {
            seen.push(at);
            (at < end).then_some(())
        });
        assert_eq!(seen.last(), Some(&end));
    }
}
