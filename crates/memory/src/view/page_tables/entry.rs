//! Entries of x86-64 page tables (Intel SDM vol. 3, section 5.5, "4-Level Paging").

use crate::address::{Block, PhysicalAddress, VirtualAddress};
use crate::frame::Frame;
use crate::protection::{Access, Privilege, Protection};

/// A leaf: what maps one page.
///
/// Bit 9 is ignored by the processor; here it says that the entry holds a frame even though the
/// page is not accessible (`PROT_NONE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(u64);

impl Entry {
    pub(super) const PRESENT: u64 = 1 << 0;
    pub(super) const WRITABLE: u64 = 1 << 1;
    const USER: u64 = 1 << 2;
    pub(super) const ACCESSED: u64 = 1 << 5;
    pub(super) const DIRTY: u64 = 1 << 6;
    pub(super) const LARGE: u64 = 1 << 7;
    const COMMITTED: u64 = 1 << 9;
    const NO_EXECUTE: u64 = 1 << 63;
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

    /// What the processor sets by itself.
    pub(super) const USED: u64 = Self::ACCESSED | Self::DIRTY;

    pub(super) const EMPTY: Self = Self(0);

    pub(super) const fn leaf(
        target: PhysicalAddress,
        protection: Protection,
        privilege: Privilege,
    ) -> Self {
        let mut bits = target.get() & Self::ADDRESS | Self::COMMITTED;
        if !protection.is_none() {
            bits |= Self::PRESENT;
        }
        if protection.write {
            bits |= Self::WRITABLE;
        }
        if !protection.execute {
            bits |= Self::NO_EXECUTE;
        }
        if matches!(privilege, Privilege::User) {
            bits |= Self::USER;
        }
        Self(bits)
    }

    pub(super) const fn table(target: PhysicalAddress) -> Self {
        Self(target.get() & Self::ADDRESS | Self::PRESENT | Self::WRITABLE | Self::USER)
    }

    pub(super) const fn new(bits: u64) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    pub(super) const fn is_present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// The entry with `bits` set.
    pub(super) const fn with(self, bits: u64) -> Self {
        Self(self.0 | bits)
    }

    /// Whether all of `bits` are set.
    pub(super) const fn has(self, bits: u64) -> bool {
        self.0 & bits == bits
    }

    /// Whether the processor went by it.
    pub(super) const fn was_used(self) -> bool {
        self.0 & Self::ACCESSED != 0
    }

    /// Whether a frame stands behind the entry, accessible or not.
    pub(super) const fn is_committed(self) -> bool {
        self.0 & Self::COMMITTED != 0
    }

    /// Whether the entry of a page directory maps 2 MiB by itself.
    pub(super) const fn is_large(self) -> bool {
        self.0 & Self::LARGE != 0 && self.0 & Self::COMMITTED != 0
    }

    /// What a leaf for the page of `address` alone would be.
    pub(super) const fn page_of_large(self, address: VirtualAddress) -> Self {
        let inside = address.get() & (Block::BYTES - 1) & Self::ADDRESS;
        Self((self.0 & !Self::LARGE) + inside)
    }

    pub(super) const fn target(self) -> PhysicalAddress {
        PhysicalAddress::new(self.0 & Self::ADDRESS)
    }

    pub(super) const fn frame(self) -> Frame {
        self.target().frame()
    }

    /// Whether the processor would let ring 3 do `access`.
    pub(super) const fn allows_user(self, access: Access) -> bool {
        let needed = Self::PRESENT
            | Self::USER
            | if matches!(access, Access::Write) { Self::WRITABLE } else { 0 };
        let executable = !matches!(access, Access::Execute) || self.0 & Self::NO_EXECUTE == 0;
        self.0 & needed == needed && executable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: PhysicalAddress = PhysicalAddress::new(0x12_3456_7000);

    fn leaf(protection: Protection) -> Entry {
        Entry::leaf(TARGET, protection, Privilege::User)
    }

    /// The bits as the manual numbers them: stored snapshots hold them.
    #[test]
    fn entries_have_the_bits_of_the_manual() {
        let no_execute = 1 << 63;
        assert_eq!(leaf(Protection::NONE).bits(), TARGET.get() | no_execute | 0x204);
        assert_eq!(leaf(Protection::READ).bits(), TARGET.get() | no_execute | 0x205);
        assert_eq!(leaf(Protection::READ_WRITE).bits(), TARGET.get() | no_execute | 0x207);
        assert_eq!(leaf(Protection::READ_EXECUTE).bits(), TARGET.get() | 0x205);
        let system = Entry::leaf(TARGET, Protection::READ, Privilege::Supervisor);
        assert_eq!(system.bits(), TARGET.get() | no_execute | 0x201);
        assert_eq!(Entry::table(TARGET).bits(), TARGET.get() | 7);
    }

    #[test]
    fn ring_3_may_do_what_the_rights_say() {
        let may = |protection| {
            let entry = leaf(protection);
            [Access::Read, Access::Write, Access::Execute].map(|access| entry.allows_user(access))
        };
        assert_eq!(may(Protection::NONE), [false, false, false]);
        assert_eq!(may(Protection::READ), [true, false, false]);
        assert_eq!(may(Protection::READ_WRITE), [true, true, false]);
        assert_eq!(may(Protection::READ_EXECUTE), [true, false, true]);
        let system = Entry::leaf(TARGET, Protection::READ_EXECUTE, Privilege::Supervisor);
        assert!(!system.allows_user(Access::Read) && !system.allows_user(Access::Execute));
    }

    #[test]
    fn an_inaccessible_page_is_committed_and_an_empty_entry_is_not() {
        let hidden = leaf(Protection::NONE);
        assert!(hidden.is_committed() && !hidden.is_present());
        assert!(!Entry::EMPTY.is_committed());
        // Marked as used by the image's working set, and still nobody's.
        assert!(!Entry::EMPTY.with(Entry::USED).is_committed());
    }

    #[test]
    fn a_page_of_a_large_leaf_looks_like_one_of_its_own() {
        let large = leaf(Protection::READ_WRITE).with(Entry::LARGE);
        assert!(large.is_large() && !leaf(Protection::READ_WRITE).is_large());
        let third = large.page_of_large(VirtualAddress::clamped(0x40_2123));
        let target = TARGET.plus(0x2000);
        assert_eq!(third, Entry::leaf(target, Protection::READ_WRITE, Privilege::User));
    }
}
