//! The tree of x86-64 page tables in guest-physical memory: 4 KiB leaves, and 2 MiB ones where asked.
//!
//! The tables are mapped nowhere in guest-virtual memory. Every step is bounds-checked by
//! [`PhysicalMemory`], so that a table that was tampered with cannot lead out of it.

use super::entry::Entry;
use super::price;
use crate::address::{Block, PageRange, PhysicalAddress, VirtualAddress};
use crate::frame::Frame;
use crate::meter::{Meter, cost};
use crate::physical::PhysicalMemory;
use ampoule_abi::layout::PAGE_SIZE;
use std::io;

/// Depth of the tables: PML4, page-directory-pointer table, page directory, page table.
pub(super) const LEVELS: u32 = 4;
pub(super) const INDEX_BITS: u32 = 9;
pub(super) const PAGE_BITS: u32 = 12;
/// Entries in a table.
pub(super) const ENTRIES: u64 = 1 << INDEX_BITS;
/// Bytes of an entry.
pub(super) const ENTRY_BYTES: u64 = 8;

/// Why a table could not be extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoFrame;

/// The tables of one address space.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tables {
    root: PhysicalAddress,
}

impl Tables {
    /// Tables with nothing mapped, whose root is the (zeroed) frame `root`.
    pub(super) const fn new(root: Frame) -> Self {
        Self { root: root.address() }
    }

    pub(super) const fn root(self) -> PhysicalAddress {
        self.root
    }

    /// The leaf for `address`, or [`Entry::EMPTY`] where there is none.
    #[inline]
    pub(super) fn leaf(self, memory: &PhysicalMemory, address: VirtualAddress) -> Entry {
        self.lookup(memory, address).unwrap_or(Entry::EMPTY)
    }

    /// The leaf for `address`, or `None` where there is no table for it. A page inside a large leaf
    /// looks as if it had a leaf of its own.
    pub(super) fn lookup(self, memory: &PhysicalMemory, address: VirtualAddress) -> Option<Entry> {
        let directory = self.directory_slot(memory, address)?;
        let entry = read(memory, directory)?;
        if entry.is_large() {
            return Some(entry.page_of_large(address));
        }
        if !entry.is_present() {
            return None;
        }
        read(memory, slot_in(entry.target(), address))
    }

    /// Replaces the (empty) table of `block` by one large leaf, and returns the table for
    /// [`Self::split`]. To be [prepared](Self::prepare) before.
    pub(super) fn join(
        self,
        memory: &PhysicalMemory,
        block: Block,
        leaf: Entry,
    ) -> Option<PhysicalAddress> {
        let slot = self.directory_slot(memory, block.start())?;
        let table = read(memory, slot)?;
        write(memory, slot, leaf.with(Entry::LARGE))?;
        Some(table.target())
    }

    /// Puts the empty `table` in place of the large leaf of `block`, and returns the leaf.
    pub(super) fn part(
        self,
        memory: &PhysicalMemory,
        block: Block,
        table: PhysicalAddress,
    ) -> Option<Entry> {
        let slot = self.directory_slot(memory, block.start())?;
        let large = read(memory, slot)?;
        write(memory, slot, Entry::table(table))?;
        Some(large)
    }

    /// Puts `table` with a leaf for each page in place of the large leaf of `block`.
    pub(super) fn split(self, memory: &PhysicalMemory, block: Block, table: PhysicalAddress) {
        let Some(slot) = self.directory_slot(memory, block.start()) else { return };
        let Some(large) = read(memory, slot) else { return };
        for index in 0..ENTRIES {
            let leaf = large.page_of_large(block.start().plus(index * PAGE_SIZE));
            // Table and slot lie in guest memory by construction.
            let _ = write(memory, table.step(index * ENTRY_BYTES), leaf);
        }
        // Dirty leaves are looked for in tables that were used.
        let used = large.bits() & Entry::ACCESSED;
        let _ = write(memory, slot, Entry::table(table).with(used));
    }

    /// Overwrites the leaf for `address`, which must have a table already ([`Self::prepare`]).
    ///
    /// Returns whether it did.
    pub(super) fn replace(
        self,
        memory: &PhysicalMemory,
        address: VirtualAddress,
        entry: Entry,
    ) -> bool {
        self.slot(memory, address).is_some_and(|slot| write(memory, slot, entry).is_some())
    }

    /// Makes the tables down to the leaf of `address`, taking zeroed frames from `allocate`.
    pub(super) fn prepare(
        self,
        memory: &PhysicalMemory,
        address: VirtualAddress,
        mut allocate: impl FnMut() -> Option<Frame>,
    ) -> Result<(), NoFrame> {
        let mut table = self.root;
        for level in (1..LEVELS).rev() {
            let slot = slot_at(table, address, level);
            let entry = read(memory, slot).ok_or(NoFrame)?;
            table = if entry.is_large() {
                return Ok(());
            } else if entry.is_present() {
                entry.target()
            } else {
                let target = allocate().ok_or(NoFrame)?.address();
                write(memory, slot, Entry::table(target)).ok_or(NoFrame)?;
                target
            };
        }
        Ok(())
    }

    /// Shows every page of `range` that has a frame to `found`, which tells what that cost, until the meter
    /// says that it is enough; returns where the walk ended. There is no large leaf in the range.
    ///
    /// What has no table is skipped as a whole, up to 512 GiB at once: the guest decides how much of
    /// nothing there is.
    pub(super) fn walk(
        self,
        memory: &PhysicalMemory,
        range: PageRange,
        meter: &mut Meter,
        mut found: impl FnMut(VirtualAddress, PhysicalAddress, Entry) -> u64,
    ) -> VirtualAddress {
        let (mut at, end) = (range.start(), range.end());
        while at < end {
            let (table, span) = self.descend(memory, at);
            let stop = end.min(VirtualAddress::clamped((at.get() & !(span - 1)) + span));
            let Some(table) = table else {
                meter.charge(cost::STEP);
                at = stop;
                continue;
            };
            meter.charge(price::TABLE);
            while at < stop {
                let (page, slot) = (at, slot_in(table, at));
                let entry = read(memory, slot).unwrap_or(Entry::EMPTY);
                at = at.step(PAGE_SIZE);
                if entry.is_committed() {
                    meter.charge(found(page, slot, entry));
                    if meter.is_over() {
                        return at;
                    }
                }
            }
            if meter.is_over() {
                return at;
            }
        }
        end
    }

    /// The table with the leaf for `address`, and how much it maps; where there is none, how much has none.
    fn descend(
        self,
        memory: &PhysicalMemory,
        address: VirtualAddress,
    ) -> (Option<PhysicalAddress>, u64) {
        let mut table = self.root;
        for level in (1..LEVELS).rev() {
            let entry = read(memory, slot_at(table, address, level)).unwrap_or(Entry::EMPTY);
            if !entry.is_present() || entry.has(Entry::LARGE) {
                return (None, 1 << (PAGE_BITS + level * INDEX_BITS));
            }
            table = entry.target();
        }
        (Some(table), 1 << (PAGE_BITS + INDEX_BITS))
    }

    /// The table that holds the leaf for `address`, unless a large leaf or nothing is there.
    pub(super) fn leaf_table(
        self,
        memory: &PhysicalMemory,
        address: VirtualAddress,
    ) -> Option<PhysicalAddress> {
        self.descend(memory, address).0
    }

    /// Notes that the page of `address` was written, as the processor does when ring 3 writes.
    pub(super) fn mark_dirty(self, memory: &PhysicalMemory, address: VirtualAddress) -> Option<()> {
        let mut table = self.root;
        for level in (0..LEVELS).rev() {
            let slot = slot_at(table, address, level);
            let entry = read(memory, slot)?;
            let is_leaf = level == 0 || entry.is_large();
            let used = if is_leaf { Entry::USED } else { Entry::ACCESSED };
            if !entry.has(used) {
                write(memory, slot, entry.with(used))?;
            }
            if is_leaf {
                break;
            }
            table = entry.target();
        }
        Some(())
    }

    /// Where the leaf for `address` stands, unless it is part of a large one.
    fn slot(self, memory: &PhysicalMemory, address: VirtualAddress) -> Option<PhysicalAddress> {
        let directory = self.directory_slot(memory, address)?;
        let entry = read(memory, directory)?;
        (entry.is_present() && !entry.is_large()).then(|| slot_in(entry.target(), address))
    }

    /// Where the page directory's entry for `address` stands.
    fn directory_slot(
        self,
        memory: &PhysicalMemory,
        address: VirtualAddress,
    ) -> Option<PhysicalAddress> {
        let mut table = self.root;
        for level in (2..LEVELS).rev() {
            let entry = read(memory, slot_at(table, address, level))?;
            if !entry.is_present() || entry.has(Entry::LARGE) {
                return None;
            }
            table = entry.target();
        }
        Some(slot_at(table, address, 1))
    }
}

/// The entry at `slot`, if that lies in memory.
#[inline]
pub(super) fn read(memory: &PhysicalMemory, slot: PhysicalAddress) -> Option<Entry> {
    memory.read_u64(slot).ok().map(Entry::new)
}

/// Puts `entry` at `slot`, if that lies in memory.
#[inline]
pub(super) fn write(memory: &PhysicalMemory, slot: PhysicalAddress, entry: Entry) -> Option<()> {
    memory.write_u64(slot, entry.bits()).ok()
}

/// Sets bits of the entry at `slot`.
pub(super) fn set_bits(
    memory: &PhysicalMemory,
    slot: PhysicalAddress,
    bits: u64,
) -> io::Result<()> {
    let word = memory.read_u64(slot).map_err(io::Error::other)?;
    memory.write_u64(slot, word | bits).map_err(io::Error::other)
}

/// Where the page table `table` holds the leaf for `address`.
#[inline]
pub(super) const fn slot_in(table: PhysicalAddress, address: VirtualAddress) -> PhysicalAddress {
    slot_at(table, address, 0)
}

/// Where `table` holds the entry for `address`; level 0 is the page table.
#[inline]
const fn slot_at(table: PhysicalAddress, address: VirtualAddress, level: u32) -> PhysicalAddress {
    let index = address.get() >> (PAGE_BITS + level * INDEX_BITS) & (ENTRIES - 1);
    table.step(index * ENTRY_BYTES)
}

#[cfg(test)]
mod tests;
