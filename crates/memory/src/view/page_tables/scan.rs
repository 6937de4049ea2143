//! Looks over whole trees of page tables: which frames they take, what is in them, what was used.

use super::entry::Entry;
use super::tables::{ENTRIES, ENTRY_BYTES, INDEX_BITS, LEVELS, PAGE_BITS, Tables, read};
use crate::address::PhysicalAddress;
use crate::frame::Frame;
use crate::physical::PhysicalMemory;
use std::collections::BTreeSet;
use std::io;

/// An entry that the processor used.
#[derive(Debug, Clone, Copy)]
pub(super) enum Used {
    /// It leads to a table.
    Table { slot: PhysicalAddress, table: PhysicalAddress },
    /// It maps a page.
    Page { slot: PhysicalAddress, bits: u64, frame: Frame },
}

/// Entries of a page directory: the first one that is in use, and how many there are up to the last one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Directory {
    first: PhysicalAddress,
    entries: u64,
}

impl Tables {
    /// The frames that the tables themselves take.
    pub(super) fn frames(self, memory: &PhysicalMemory) -> BTreeSet<Frame> {
        let mut frames = BTreeSet::new();
        let mut level = vec![self.root()];
        for _ in 0..LEVELS - 1 {
            frames.extend(level.iter().map(|table| table.frame()));
            level = level
                .iter()
                .flat_map(|&table| entries(memory, table))
                .filter(|(_, entry)| entry.is_present() && !entry.is_large())
                .map(|(_, entry)| entry.target())
                .collect();
        }
        frames.extend(level.iter().map(|table| table.frame()));
        frames
    }

    /// Shows every entry that is not empty to `check`, with the first address that it maps and whether
    /// it is a leaf, and counts those for which that said yes. Follows an entry only after `check` let
    /// it pass; a `check` that lets no table pass twice makes the walk end.
    pub(super) fn verify<E>(
        self,
        memory: &PhysicalMemory,
        check: &mut impl FnMut(u64, Entry, bool) -> Result<bool, E>,
    ) -> Result<u64, E> {
        let mut counted = 0;
        let mut tables = vec![(self.root(), 0, LEVELS - 1)];
        while let Some((table, base, level)) = tables.pop() {
            for index in 0..ENTRIES {
                // A table that `check` let pass lies inside memory.
                let slot = table.step(index * ENTRY_BYTES);
                let entry = read(memory, slot).unwrap_or(Entry::EMPTY);
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

    /// The page directories that have an entry in use.
    pub(super) fn directories(self, memory: &PhysicalMemory) -> Vec<Directory> {
        let present = |table| entries(memory, table).filter(|(_, entry)| entry.is_present());
        present(self.root())
            .flat_map(|(_, upper)| present(upper.target()))
            .filter_map(|(_, directory)| {
                let (first, _) = present(directory.target()).next()?;
                let (last, _) = present(directory.target()).next_back()?;
                let entries = (last.get() - first.get()) / ENTRY_BYTES + 1;
                Some(Directory { first, entries })
            })
            .collect()
    }

    /// Calls `found` with the frame of every page that is writable and dirty under `directory`. Large
    /// leaves are left out, and tables that the processor never used.
    pub(super) fn for_each_dirty(
        memory: &PhysicalMemory,
        directory: Directory,
        mut found: impl FnMut(Frame),
    ) -> io::Result<()> {
        const USED: u64 = Entry::PRESENT | Entry::ACCESSED;
        const DIRTY: u64 = Entry::PRESENT | Entry::WRITABLE | Entry::DIRTY;
        let mut table = Ok(());
        memory.for_each_word(directory.first, directory.entries, |word| {
            let entry = Entry::new(word);
            if !entry.has(USED) || entry.has(Entry::LARGE) || table.is_err() {
                return;
            }
            table = memory.for_each_word(entry.target(), ENTRIES, |word| {
                let leaf = Entry::new(word);
                if leaf.has(DIRTY) {
                    found(leaf.frame());
                }
            });
        })?;
        table
    }

    /// Calls `found` with every table and every page of 4 KiB that the processor used.
    pub(super) fn for_each_used(self, memory: &PhysicalMemory, mut found: impl FnMut(Used)) {
        let mut tables = vec![(self.root(), LEVELS - 1)];
        while let Some((table, level)) = tables.pop() {
            for (slot, entry) in entries(memory, table) {
                if !entry.is_present() || !entry.was_used() || entry.is_large() {
                    continue;
                }
                if level == 0 {
                    let bits = entry.bits() & Entry::USED;
                    found(Used::Page { slot, bits, frame: entry.frame() });
                } else {
                    found(Used::Table { slot, table: entry.target() });
                    tables.push((entry.target(), level - 1));
                }
            }
        }
    }
}

/// The entries of `table`, each with where it stands.
fn entries(
    memory: &PhysicalMemory,
    table: PhysicalAddress,
) -> impl DoubleEndedIterator<Item = (PhysicalAddress, Entry)> {
    (0..ENTRIES).filter_map(move |index| {
        let slot = table.step(index * ENTRY_BYTES);
        Some((slot, read(memory, slot)?))
    })
}
