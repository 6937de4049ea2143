//! x86-64 page tables, built in guest-physical memory: 4 KiB leaves, and 2 MiB ones where asked.
//!
//! The tables are mapped nowhere in guest-virtual memory. Layout of entries: Intel SDM vol. 3,
//! section 5.5 ("4-Level Paging").

use crate::address::PhysicalAddress;
use crate::frames::Run;
use crate::meter::{Meter, cost};
use crate::physical::PhysicalMemory;
use crate::protection::{Access, Privilege, Protection};
use ampoule_abi::layout::PAGE_SIZE;
use std::collections::BTreeSet;
use std::io;

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
    pub(crate) const ACCESSED: u64 = 1 << 5;
    pub(crate) const DIRTY: u64 = 1 << 6;
    const LARGE: u64 = 1 << 7;
    const COMMITTED: u64 = 1 << 9;
    const NO_EXECUTE: u64 = 1 << 63;
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

    /// What the processor sets by itself.
    pub(crate) const USED: u64 = Self::ACCESSED | Self::DIRTY;

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

    pub(crate) const fn table(target: PhysicalAddress) -> Self {
        Self(target.get() & Self::ADDRESS | Self::PRESENT | Self::WRITABLE | Self::USER)
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn is_present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// Whether the processor went by it.
    pub(crate) const fn was_used(self) -> bool {
        self.0 & Self::ACCESSED != 0
    }

    /// Whether a frame stands behind the entry, accessible or not.
    pub(crate) const fn is_committed(self) -> bool {
        self.0 & Self::COMMITTED != 0
    }

    /// Whether the entry of a page directory maps 2 MiB by itself.
    const fn is_large(self) -> bool {
        self.0 & Self::LARGE != 0 && self.0 & Self::COMMITTED != 0
    }

    /// What a leaf for the page of `address` alone would be.
    const fn page_of_large(self, address: u64) -> Self {
        let inside = address & ((1 << (PAGE_BITS + INDEX_BITS)) - 1) & Self::ADDRESS;
        Self((self.0 & !Self::LARGE) + inside)
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

/// An entry that the processor used.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Used {
    /// It leads to a table.
    Table { slot: PhysicalAddress, table: PhysicalAddress },
    /// It maps a page.
    Page { slot: PhysicalAddress, bits: u64, frame: u64 },
}

/// Entries in a table.
const ENTRIES: usize = 1 << INDEX_BITS;

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
    pub(crate) fn entry(self, memory: &PhysicalMemory, address: u64) -> Entry {
        self.lookup(memory, address).unwrap_or(Entry::EMPTY)
    }

    /// The leaf for `address`, or `None` where there is no table for it. A page inside a large leaf
    /// looks as if it had a leaf of its own.
    pub(crate) fn lookup(self, memory: &PhysicalMemory, address: u64) -> Option<Entry> {
        let directory = self.directory_slot(memory, address)?;
        let entry = Entry(memory.read_u64(directory.get()).ok()?);
        if entry.is_large() {
            return Some(entry.page_of_large(address));
        }
        if !entry.is_present() {
            return None;
        }
        memory.read_u64(slot_in(entry.target(), address, 0).get()).ok().map(Entry)
    }

    /// Replaces the (empty) table of the 2 MiB at `block` by one large leaf, and returns the table
    /// for [`Self::split`]. To be [prepared](Self::prepare) before.
    pub(crate) fn join(
        self,
        memory: &PhysicalMemory,
        block: u64,
        leaf: Entry,
    ) -> Option<PhysicalAddress> {
        let slot = self.directory_slot(memory, block)?;
        let table = Entry(memory.read_u64(slot.get()).ok()?);
        memory.write_u64(slot.get(), leaf.0 | Entry::LARGE).ok()?;
        Some(table.target())
    }

    /// Puts the empty `table` in place of the large leaf at `block`, and returns the leaf.
    pub(crate) fn part(
        self,
        memory: &PhysicalMemory,
        block: u64,
        table: PhysicalAddress,
    ) -> Option<Entry> {
        let slot = self.directory_slot(memory, block)?;
        let large = memory.read_u64(slot.get()).ok()?;
        memory.write_u64(slot.get(), Entry::table(table).0).ok()?;
        Some(Entry(large))
    }

    /// Puts `table` with a leaf for each page in place of the large leaf at `block`.
    pub(crate) fn split(self, memory: &PhysicalMemory, block: u64, table: PhysicalAddress) {
        let Some(slot) = self.directory_slot(memory, block) else { return };
        let Ok(large) = memory.read_u64(slot.get()).map(Entry) else { return };
        for index in 0..1 << INDEX_BITS {
            let leaf = large.page_of_large(block + index * PAGE_SIZE);
            // Table and slot lie in guest memory by construction.
            let _ = memory.write_u64(table.get() + index * 8, leaf.0);
        }
        // Dirty leaves are looked for in tables that were used.
        let used = large.0 & Entry::ACCESSED;
        let _ = memory.write_u64(slot.get(), Entry::table(table).0 | used);
    }

    /// Overwrites the leaf for `address`, which must have a table already ([`Self::prepare`]).
    ///
    /// Returns whether it did.
    pub(crate) fn replace(self, memory: &PhysicalMemory, address: u64, entry: Entry) -> bool {
        self.slot(memory, address).is_some_and(|slot| memory.write_u64(slot.get(), entry.0).is_ok())
    }

    /// Makes the tables down to the leaf of `address`, taking zeroed frames from `allocate`.
    pub(crate) fn prepare(
        self,
        memory: &PhysicalMemory,
        address: u64,
        mut allocate: impl FnMut() -> Option<Run>,
    ) -> Result<(), NoFrame> {
        let mut table = self.root;
        for level in (1..LEVELS).rev() {
            let slot = slot_in(table, address, level);
            let entry = Entry(memory.read_u64(slot.get()).map_err(|_| NoFrame)?);
            table = if entry.is_large() {
                return Ok(());
            } else if entry.is_present() {
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

    /// Shows every page of `[start, end)` that has a frame to `found`, which tells what that cost, until
    /// the meter says that it is enough; returns where the walk ended. There is no large leaf in the range.
    ///
    /// What has no table is skipped as a whole, up to 512 GiB at once: the guest decides how much of
    /// nothing there is.
    pub(crate) fn walk(
        self,
        memory: &PhysicalMemory,
        (start, end): (u64, u64),
        meter: &mut Meter,
        mut found: impl FnMut(u64, PhysicalAddress, Entry) -> u64,
    ) -> u64 {
        let mut at = start;
        while at < end {
            let (table, span) = self.descend(memory, at);
            let stop = end.min((at & !(span - 1)) + span);
            let Some(table) = table else {
                meter.charge(cost::STEP);
                at = stop;
                continue;
            };
            meter.charge(cost::TABLE);
            while at < stop {
                let slot = slot_in(table, at, 0);
                let entry = Entry(memory.read_u64(slot.get()).unwrap_or_default());
                at += PAGE_SIZE;
                if entry.is_committed() {
                    meter.charge(found(at - PAGE_SIZE, slot, entry));
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
    fn descend(self, memory: &PhysicalMemory, address: u64) -> (Option<PhysicalAddress>, u64) {
        let mut table = self.root;
        for level in (1..LEVELS).rev() {
            let word = memory.read_u64(slot_in(table, address, level).get());
            let entry = Entry(word.unwrap_or_default());
            if !entry.is_present() || entry.0 & Entry::LARGE != 0 {
                return (None, 1 << (PAGE_BITS + level * INDEX_BITS));
            }
            table = entry.target();
        }
        (Some(table), 1 << (PAGE_BITS + INDEX_BITS))
    }

    /// The table that holds the leaf for `address`, unless a large leaf or nothing is there.
    pub(crate) fn leaf_table(
        self,
        memory: &PhysicalMemory,
        address: u64,
    ) -> Option<PhysicalAddress> {
        self.descend(memory, address).0
    }

    /// The frames that the tables themselves take.
    pub(crate) fn frames(self, memory: &PhysicalMemory) -> BTreeSet<u64> {
        let mut frames = BTreeSet::new();
        let mut level = vec![self.root];
        for _ in 0..LEVELS - 1 {
            frames.extend(level.iter().map(|table| table.get() / PAGE_SIZE));
            level = level
                .iter()
                .flat_map(|table| (0..ENTRIES as u64).map(move |index| table.get() + index * 8))
                .filter_map(|slot| memory.read_u64(slot).ok().map(Entry))
                .filter(|entry| entry.is_present() && !entry.is_large())
                .map(Entry::target)
                .collect();
        }
        frames.extend(level.iter().map(|table| table.get() / PAGE_SIZE));
        frames
    }

    /// Shows every entry that is not empty to `check`, with the first address that it maps and whether
    /// it is a leaf, and counts those for which that said yes. Follows an entry only after `check` let
    /// it pass; a `check` that lets no table pass twice makes the walk end.
    pub(crate) fn verify<E>(
        memory: &PhysicalMemory,
        root: PhysicalAddress,
        check: &mut impl FnMut(u64, Entry, bool) -> Result<bool, E>,
    ) -> Result<u64, E> {
        let mut counted = 0;
        let mut tables = vec![(root, 0, LEVELS - 1)];
        while let Some((table, base, level)) = tables.pop() {
            for index in 0..ENTRIES as u64 {
                // A table that `check` let pass lies inside memory.
                let entry = Entry(memory.read_u64(table.get() + index * 8).unwrap_or_default());
                if entry == Entry::EMPTY {
                    continue;
                }
                let address = base + (index << (PAGE_BITS + level * INDEX_BITS));
                counted += u64::from(check(address, entry, level == 0)?);
                if level > 0 {
                    tables.push((entry.target(), address, level - 1));
                }
            }
        }
        Ok(counted)
    }

    /// The page directories: of each the first entry in use and how many there are up to the last one.
    pub(crate) fn directories(self, memory: &PhysicalMemory) -> Vec<(PhysicalAddress, u64)> {
        let entries = |table: PhysicalAddress| {
            (0..ENTRIES as u64).filter_map(move |index| {
                let entry = Entry(memory.read_u64(table.get() + index * 8).ok()?);
                entry.is_present().then_some((index, entry))
            })
        };
        entries(self.root)
            .flat_map(|(_, upper)| entries(upper.target()))
            .filter_map(|(_, directory)| {
                let (first, _) = entries(directory.target()).next()?;
                let (last, _) = entries(directory.target()).next_back()?;
                let at = PhysicalAddress::new(directory.target().get() + first * 8);
                Some((at, last - first + 1))
            })
            .collect()
    }

    /// Calls `found` with the frame of every page that is writable and dirty under the `count` entries
    /// of a page directory from `first` on. Large leaves are left out, and tables that the processor
    /// never used.
    pub(crate) fn for_each_dirty(
        self,
        memory: &PhysicalMemory,
        first: PhysicalAddress,
        count: u64,
        mut found: impl FnMut(u64),
    ) -> io::Result<()> {
        const USED: u64 = Entry::PRESENT | Entry::ACCESSED;
        const DIRTY: u64 = Entry::PRESENT | Entry::WRITABLE | Entry::DIRTY;
        let mut table = Ok(());
        memory.for_each_word(first.get(), count, |word| {
            if word & (USED | Entry::LARGE) != USED || table.is_err() {
                return;
            }
            table = memory.for_each_word(Entry(word).target().get(), ENTRIES as u64, |word| {
                if word & DIRTY == DIRTY {
                    found(Entry(word).frame());
                }
            });
        })?;
        table
    }

    /// Calls `found` with every table and every page of 4 KiB that the processor used.
    pub(crate) fn for_each_used(self, memory: &PhysicalMemory, mut found: impl FnMut(Used)) {
        let mut tables = vec![(self.root, LEVELS - 1)];
        while let Some((table, level)) = tables.pop() {
            for index in 0..ENTRIES as u64 {
                let slot = PhysicalAddress::new(table.get() + index * 8);
                let entry = Entry(memory.read_u64(slot.get()).unwrap_or_default());
                if !entry.is_present() || entry.0 & Entry::ACCESSED == 0 || entry.is_large() {
                    continue;
                }
                if level == 0 {
                    let frame = entry.frame();
                    found(Used::Page { slot, bits: entry.0 & Entry::USED, frame });
                } else {
                    found(Used::Table { slot, table: entry.target() });
                    tables.push((entry.target(), level - 1));
                }
            }
        }
    }

    /// Sets bits of the entry at `slot`.
    pub(crate) fn set_bits(
        self,
        memory: &PhysicalMemory,
        slot: PhysicalAddress,
        bits: u64,
    ) -> io::Result<()> {
        let word = memory.read_u64(slot.get()).map_err(io::Error::other)?;
        memory.write_u64(slot.get(), word | bits).map_err(io::Error::other)
    }

    /// Notes that the page of `address` was written, as the processor does when ring 3 writes.
    pub(crate) fn mark_dirty(self, memory: &PhysicalMemory, address: u64) -> Option<()> {
        let mut table = self.root;
        for level in (0..LEVELS).rev() {
            let slot = slot_in(table, address, level).get();
            let entry = Entry(memory.read_u64(slot).ok()?);
            let is_leaf = level == 0 || entry.is_large();
            let used = if is_leaf { Entry::USED } else { Entry::ACCESSED };
            if entry.0 & used != used {
                memory.write_u64(slot, entry.0 | used).ok()?;
            }
            if is_leaf {
                break;
            }
            table = entry.target();
        }
        Some(())
    }

    /// Where the leaf for `address` stands, unless it is part of a large one.
    fn slot(self, memory: &PhysicalMemory, address: u64) -> Option<PhysicalAddress> {
        let directory = self.directory_slot(memory, address)?;
        let entry = Entry(memory.read_u64(directory.get()).ok()?);
        (entry.is_present() && !entry.is_large()).then(|| slot_in(entry.target(), address, 0))
    }

    /// Where the page directory's entry for `address` stands. Every step is bounds-checked by
    /// [`PhysicalMemory`], so that a table that was tampered with cannot lead out of guest memory.
    fn directory_slot(self, memory: &PhysicalMemory, address: u64) -> Option<PhysicalAddress> {
        let mut table = self.root;
        for level in (2..LEVELS).rev() {
            let entry = Entry(memory.read_u64(slot_in(table, address, level).get()).ok()?);
            if !entry.is_present() || entry.0 & Entry::LARGE != 0 {
                return None;
            }
            table = entry.target();
        }
        Some(slot_in(table, address, 1))
    }
}

/// Where `table` holds the entry for `address`; level 0 is the page table.
pub(crate) const fn slot_in(table: PhysicalAddress, address: u64, level: u32) -> PhysicalAddress {
    let index = address >> (PAGE_BITS + level * INDEX_BITS) & ((1 << INDEX_BITS) - 1);
    PhysicalAddress::new(table.get() + index * 8)
}
