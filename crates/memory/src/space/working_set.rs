//! The working set of an image: the pages that calls touch, made present before they are.
//!
//! Under shadow paging the first touch of a page costs some 40 us, because KVM has to be entered for
//! it. When it is, it also maps those neighbours (up to eight) whose entries say that they were used
//! and whose host pages are there and writable (kernel: `FNAME(pte_prefetch)`,
//! `kvm_mmu_prefetch_sptes`). So the pages that one sandbox of an image used are made present in the
//! next one, in bulk, with their bits set. Such pages count as dirty from the start, which is what
//! restores expect of pages that every run writes.

use super::AddressSpace;
use crate::address::PhysicalAddress;
use crate::frames::Run;
use crate::image::SealedSpace;
use crate::table::{Entry, Used};
use ampoule_abi::layout::PAGE_SIZE;
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

impl SealedSpace {
    /// Pages that instances of this image get ready, tables included; 0 until it was learned.
    #[must_use]
    pub fn working_set_pages(&self) -> u64 {
        let runs = self.working_set.get().map_or(&[][..], |set| &set.frames);
        runs.iter().map(|run| run.count).sum()
    }
}

impl AddressSpace {
    /// Learns which pages of the image this space has used, unless that is known. To be called after
    /// the guest has done what it usually does, once.
    ///
    /// Cost: a look at the tables that were used, the first time for an image.
    pub fn learn_working_set(&self) {
        if let Some(base) = &self.base
            && self.shape.changes == base.shape.changes
        {
            base.working_set.get_or_init(|| self.used_pages().unwrap_or_default());
        }
    }

    fn used_pages(&self) -> Option<WorkingSet> {
        let image = self.base.as_ref()?.shape.image_frames;
        let mut set = WorkingSet::default();
        let (mut frames, mut pages) = (Vec::new(), Vec::new());
        self.shape.tables.for_each_used(&self.memory, |used| match used {
            // Later entries are not in the image.
            Used::Table { slot, table } => {
                let tables = [slot.get() / PAGE_SIZE, table.get() / PAGE_SIZE];
                if tables.iter().all(|&table| table < image) {
                    set.parents.push(slot);
                    frames.extend(tables);
                }
            }
            Used::Page { slot, bits, frame } => {
                if slot.get() / PAGE_SIZE < image {
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
            frames.extend(wanted.map(|&(_, _, frame)| frame).filter(|&frame| frame < image));
        }
        frames.sort_unstable();
        frames.dedup();
        if frames.len() > PAGES_MAX {
            return None;
        }
        for frame in frames {
            match set.frames.last_mut() {
                Some(run) if run.first + run.count == frame => run.count += 1,
                _ => set.frames.push(Run { first: frame, count: 1 }),
            }
        }
        Some(set)
    }

    /// Makes the working set of the image present, if one is known. To be called when all memory is
    /// the image's, before the guest runs.
    ///
    /// # Errors
    /// When an entry lies outside of memory, which no image's does.
    pub(crate) fn prefault(&self) -> io::Result<()> {
        let set = self.base.as_ref().and_then(|base| base.working_set.get());
        let (Some(set), Some(first)) = (set, self.memory.first()) else { return Ok(()) };
        for run in &set.frames {
            // Only ahead of time: what fails now the guest's own touch will find out.
            let _ = first.populate(run.offset(), run.length());
        }
        for &slot in &set.parents {
            self.shape.tables.set_bits(&self.memory, slot, Entry::ACCESSED)?;
        }
        for &(slot, bits) in &set.leaves {
            self.shape.tables.set_bits(&self.memory, slot, bits)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
