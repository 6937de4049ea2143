//! The working set of an image: the pages that calls touch, made present before they are.
//!
//! Under shadow paging the first touch of a page costs some 40 us, because KVM has to be entered for
//! it. When it is, it also maps those neighbours (up to eight) whose entries say that they were used
//! and whose host pages are there and writable (kernel: `FNAME(pte_prefetch)`,
//! `kvm_mmu_prefetch_sptes`). So the pages that one sandbox of an image used are made present in the
//! next one, in bulk, with their bits set. Such pages count as dirty from the start, which is what
//! restores expect of pages that every run writes.

use super::PageTables;
use super::entry::Entry;
use super::scan::Used;
use super::tables::set_bits;
use crate::address::PhysicalAddress;
use crate::count::PageCount;
use crate::frame::Run;
use std::io;

/// Pages above which a set is not worth its memory and time: 1 MiB, about a millisecond.
const PAGES_MAX: usize = 256;

/// Entries that KVM looks at together: eight, at a multiple of their size (kernel: `PTE_PREFETCH_NUM`).
const NEIGHBOURS_BYTES: u64 = 8 * 8;

/// What instances of an image get ready.
#[derive(Debug, Default)]
pub(crate) struct WorkingSet {
    /// Entries of pages that were used, with the bits that they get.
    leaves: Vec<(PhysicalAddress, u64)>,
    /// Entries that lead to their tables.
    parents: Vec<PhysicalAddress>,
    /// The pages and their tables, in the image's part of memory.
    frames: Vec<Run>,
}

impl WorkingSet {
    /// Pages in it, tables included.
    pub(crate) fn pages(&self) -> PageCount {
        self.frames.iter().map(|run| run.count).sum()
    }
}

impl PageTables {
    /// The pages of the image that were used since it was made, unless they are too many.
    pub(crate) fn working_set(&self) -> Option<WorkingSet> {
        let image_end = self.layout.image_end;
        let mut set = WorkingSet::default();
        let (mut frames, mut pages) = (Vec::new(), Vec::new());
        self.layout.tables.for_each_used(&self.memory, |used| match used {
            // Later entries are not in the image.
            Used::Table { slot, table } => {
                let tables = [slot.frame(), table.frame()];
                if tables.iter().all(|&table| table < image_end) {
                    set.parents.push(slot);
                    frames.extend(tables);
                }
            }
            Used::Page { slot, bits, frame } => {
                if slot.frame() < image_end {
                    set.leaves.push((slot, bits));
                    pages.push((slot, bits, frame));
                }
            }
        });
        // A page that is only read takes its fault all the same when no neighbour brings it along:
        // it stays shared then.
        let neighbours = |slot: PhysicalAddress| slot.get() / NEIGHBOURS_BYTES;
        for group in pages.chunk_by(|a, b| neighbours(a.0) == neighbours(b.0)) {
            let wanted =
                group.iter().filter(|(_, bits, _)| group.len() > 1 || bits & Entry::DIRTY != 0);
            frames.extend(wanted.map(|&(_, _, frame)| frame).filter(|&frame| frame < image_end));
        }
        frames.sort_unstable();
        frames.dedup();
        if frames.len() > PAGES_MAX {
            return None;
        }
        for frame in frames {
            Run::append(&mut set.frames, frame);
        }
        Some(set)
    }

    /// Makes a working set present. To be called when all memory is the image's, before the guest runs.
    ///
    /// # Errors
    /// When an entry lies outside of memory, which no image's does.
    pub(crate) fn prefault(&self, set: &WorkingSet) -> io::Result<()> {
        let Some(first) = self.memory.first() else { return Ok(()) };
        for run in &set.frames {
            // Only ahead of time: what fails now the guest's own touch will find out.
            let _ = first.populate(run.start().get(), run.bytes());
        }
        for &slot in &set.parents {
            set_bits(&self.memory, slot, Entry::ACCESSED)?;
        }
        for &(slot, bits) in &set.leaves {
            set_bits(&self.memory, slot, bits)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
