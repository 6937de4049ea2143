//! x86-64 page tables with 4 KiB leaves, built in guest-physical memory.
//!
//! The tables are mapped nowhere in guest-virtual memory. Layout of entries: Intel SDM vol. 3,
//! section 5.5 ("4-Level Paging").

use crate::address::PhysicalAddress;
use crate::frames::Run;
use crate::mapping::Mapping;
use crate::protection::{Access, Privilege, Protection};
use ampoule_abi::layout::PAGE_SIZE;

/// Depth of the tables: PML4, page-directory-pointer table, page directory, page table.
const LEVELS: u32 = 4;
const INDEX_BITS: u32 = 9;
const PAGE_BITS: u32 = 12;

/// A leaf: what maps one page.
///
/// Bit 9 is ignored by the processor; here it says that the entry holds a frame even though the
/// page is not accessible (`PROT_NONE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(u64);

impl Entry {
    const PRESENT: u64 = 1 << 0;
    const WRITABLE: u64 = 1 << 1;
    const USER: u64 = 1 << 2;
    const LARGE: u64 = 1 << 7;
    const COMMITTED: u64 = 1 << 9;
    const NO_EXECUTE: u64 = 1 << 63;
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) const fn leaf(
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

    const fn table(target: PhysicalAddress) -> Self {
        Self(target.get() & Self::ADDRESS | Self::PRESENT | Self::WRITABLE | Self::USER)
    }

    pub(crate) const fn is_present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// Whether a frame stands behind the entry, accessible or not.
    pub(crate) const fn is_committed(self) -> bool {
        self.0 & Self::COMMITTED != 0
    }

    pub(crate) const fn target(self) -> PhysicalAddress {
        PhysicalAddress::new(self.0 & Self::ADDRESS)
    }

    /// The frame in guest memory, counted from guest-physical zero.
    pub(crate) const fn frame(self) -> u64 {
        self.target().get() / PAGE_SIZE
    }

    /// Whether the processor would let ring 3 do `access`.
    pub(crate) const fn allows_user(self, access: Access) -> bool {
        let needed = Self::PRESENT
            | Self::USER
            | if matches!(access, Access::Write) { Self::WRITABLE } else { 0 };
        let executable = !matches!(access, Access::Execute) || self.0 & Self::NO_EXECUTE == 0;
        self.0 & needed == needed && executable
    }
}

/// Why a table could not be extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoFrame;

/// The tables of one address space.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageTables {
    root: PhysicalAddress,
}

impl PageTables {
    /// Tables with nothing mapped, whose root is the (zeroed) frame `root`.
    pub(crate) const fn new(root: Run) -> Self {
        Self { root: PhysicalAddress::new(root.offset()) }
    }

    pub(crate) const fn root(self) -> PhysicalAddress {
        self.root
    }

    /// The leaf for `address`, or [`Entry::EMPTY`] where there is none.
    pub(crate) fn entry(self, memory: &Mapping, address: u64) -> Entry {
        self.lookup(memory, address).unwrap_or(Entry::EMPTY)
    }

    /// The leaf for `address`, or `None` where there is no table for it.
    pub(crate) fn lookup(self, memory: &Mapping, address: u64) -> Option<Entry> {
        let slot = self.slot(memory, address)?;
        memory.read_u64(slot.get()).ok().map(Entry)
    }

    /// Overwrites the leaf for `address`, which must have a table already ([`Self::prepare`]).
    ///
    /// Returns whether it did.
    pub(crate) fn replace(self, memory: &Mapping, address: u64, entry: Entry) -> bool {
        self.slot(memory, address).is_some_and(|slot| memory.write_u64(slot.get(), entry.0).is_ok())
    }

    /// Makes the tables down to the leaf of `address`, taking zeroed frames from `allocate`.
    pub(crate) fn prepare(
        self,
        memory: &Mapping,
        address: u64,
        mut allocate: impl FnMut() -> Option<Run>,
    ) -> Result<(), NoFrame> {
        let mut table = self.root;
        for level in (1..LEVELS).rev() {
            let slot = slot_in(table, address, level);
            let entry = Entry(memory.read_u64(slot.get()).map_err(|_| NoFrame)?);
            table = if entry.is_present() {
                entry.target()
            } else {
                let frame = allocate().ok_or(NoFrame)?;
                let target = PhysicalAddress::new(frame.offset());
                memory.write_u64(slot.get(), Entry::table(target).0).map_err(|_| NoFrame)?;
                target
            };
        }
        Ok(())
    }

    /// Where the leaf for `address` stands. Every step is bounds-checked by [`Mapping`], so that a
    /// table that was tampered with cannot lead out of guest memory.
    fn slot(self, memory: &Mapping, address: u64) -> Option<PhysicalAddress> {
        let mut table = self.root;
        for level in (1..LEVELS).rev() {
            let entry = Entry(memory.read_u64(slot_in(table, address, level).get()).ok()?);
            if !entry.is_present() || entry.0 & Entry::LARGE != 0 {
                return None;
            }
            table = entry.target();
        }
        Some(slot_in(table, address, 0))
    }
}

/// Where `table` holds the entry for `address`; level 0 is the page table.
const fn slot_in(table: PhysicalAddress, address: u64, level: u32) -> PhysicalAddress {
    let index = address >> (PAGE_BITS + level * INDEX_BITS) & ((1 << INDEX_BITS) - 1);
    PhysicalAddress::new(table.get() + index * 8)
}
