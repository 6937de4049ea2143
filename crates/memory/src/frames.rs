//! Which guest-physical pages are in use.

use ampoule_abi::layout::PAGE_SIZE;
use std::collections::{BTreeMap, BTreeSet};

/// Frames in the 2 MiB that one page table, or one large leaf, maps.
pub(crate) const BLOCK_FRAMES: u64 = 512;

/// A run of guest-physical pages, numbered from guest-physical address zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: u64,
    pub(crate) count: u64,
}

impl Run {
    pub(crate) const fn offset(self) -> u64 {
        self.first * PAGE_SIZE
    }

    pub(crate) const fn length(self) -> u64 {
        self.count * PAGE_SIZE
    }

    const fn end(self) -> u64 {
        self.first + self.count
    }
}

/// Hands out guest-physical pages: those that were given back, where they fit, then fresh ones in order.
///
/// Cost: every question is answered and every change is made in the logarithm of the number of free runs,
/// because the guest decides into how many pieces memory falls.
#[derive(Debug, Clone)]
pub(crate) struct FrameAllocator {
    /// Frames below were handed out at least once.
    next: u64,
    /// Frames the guest may have.
    limit: u64,
    /// What was given back.
    free: FreeRuns,
}

impl FrameAllocator {
    pub(crate) const fn new(limit: u64) -> Self {
        Self { next: 0, limit, free: FreeRuns::new() }
    }

    /// An allocator that handed out the frames below `next`, of which `free` came back. Those runs do not
    /// overlap.
    pub(crate) fn with(next: u64, limit: u64, free: Vec<Run>) -> Self {
        let mut allocator = Self { next, limit, free: FreeRuns::new() };
        for run in free {
            allocator.release(run);
        }
        allocator
    }

    /// Runs that were given back, in order; no two touch.
    pub(crate) fn free(&self) -> impl Iterator<Item = Run> {
        self.free.by_place.iter().map(|(&first, &end)| Run { first, count: end - first })
    }

    /// One past the highest frame ever handed out.
    pub(crate) const fn high_water(&self) -> u64 {
        self.next
    }

    pub(crate) const fn limit(&self) -> u64 {
        self.limit
    }

    /// Frames never handed out.
    pub(crate) const fn fresh(&self) -> u64 {
        self.limit - self.next
    }

    /// Frames that can be had.
    pub(crate) const fn available(&self) -> u64 {
        self.limit - self.in_use()
    }

    pub(crate) const fn in_use(&self) -> u64 {
        self.next - self.free.frames
    }

    /// Up to `wanted` contiguous frames, at least one, or none when all are in use: from the smallest free
    /// run that has as many, so that the large ones stay large.
    pub(crate) fn allocate(&mut self, wanted: u64) -> Option<Run> {
        if let Some(run) = self.free.smallest_of(wanted) {
            return Some(self.free.take_front(run, wanted));
        }
        let count = wanted.min(self.fresh());
        if count > 0 {
            let run = Run { first: self.next, count };
            self.next += count;
            return Some(run);
        }
        let largest = self.free.largest()?;
        Some(self.free.take_front(largest, wanted))
    }

    /// A block: [`BLOCK_FRAMES`] frames at a multiple of their number, none below `from`.
    pub(crate) fn allocate_block(&mut self, from: u64) -> Option<Run> {
        let from = from.next_multiple_of(BLOCK_FRAMES);
        if let Some(run) = self.free.with_block(from) {
            let first = run.first.next_multiple_of(BLOCK_FRAMES).max(from);
            let block = Run { first, count: BLOCK_FRAMES };
            self.free.take_out(run, block);
            return Some(block);
        }
        let first = self.next.next_multiple_of(BLOCK_FRAMES).max(from);
        let block = Run { first, count: BLOCK_FRAMES };
        if block.end() > self.limit {
            return None;
        }
        let skipped = Run { first: self.next, count: first - self.next };
        self.next = block.end();
        if skipped.count > 0 {
            self.release(skipped);
        }
        Some(block)
    }

    pub(crate) fn release(&mut self, run: Run) {
        self.free.add(run);
    }
}

/// Free runs, by place and by size. No two touch.
#[derive(Debug, Clone)]
struct FreeRuns {
    /// The end of each by its first frame.
    by_place: BTreeMap<u64, u64>,
    /// The length of each, and its first frame.
    by_size: BTreeSet<(u64, u64)>,
    /// The last block of each that has a whole one.
    blocks: BTreeSet<u64>,
    /// Frames in all of them.
    frames: u64,
}

impl FreeRuns {
    const fn new() -> Self {
        Self {
            by_place: BTreeMap::new(),
            by_size: BTreeSet::new(),
            blocks: BTreeSet::new(),
            frames: 0,
        }
    }

    fn smallest_of(&self, count: u64) -> Option<Run> {
        self.by_size.range((count, 0)..).next().map(|&(count, first)| Run { first, count })
    }

    fn largest(&self) -> Option<Run> {
        self.by_size.last().map(|&(count, first)| Run { first, count })
    }

    /// A run with a whole block that starts at `from` or behind it.
    fn with_block(&self, from: u64) -> Option<Run> {
        let &last = self.blocks.range(from..).next()?;
        let (&first, &end) = self.by_place.range(..=last).next_back()?;
        Some(Run { first, count: end - first })
    }

    fn take_front(&mut self, run: Run, wanted: u64) -> Run {
        let taken = Run { first: run.first, count: wanted.min(run.count) };
        self.take_out(run, taken);
        taken
    }

    /// Takes `part` out of `run`, which is one of these.
    fn take_out(&mut self, run: Run, part: Run) {
        self.remove(run);
        self.insert(Run { first: run.first, count: part.first - run.first });
        self.insert(Run { first: part.end(), count: run.end() - part.end() });
    }

    /// Adds a run, as one with the free ones on both sides of it.
    fn add(&mut self, run: Run) {
        let (mut first, mut end) = (run.first, run.end());
        if let Some((&before, &until)) = self.by_place.range(..first).next_back()
            && until == first
        {
            self.remove(Run { first: before, count: until - before });
            first = before;
        }
        if let Some(&until) = self.by_place.get(&end) {
            self.remove(Run { first: end, count: until - end });
            end = until;
        }
        self.insert(Run { first, count: end - first });
    }

    fn insert(&mut self, run: Run) {
        if run.count > 0 {
            self.by_place.insert(run.first, run.end());
            self.by_size.insert((run.count, run.first));
            self.blocks.extend(last_block(run));
            self.frames += run.count;
        }
    }

    fn remove(&mut self, run: Run) {
        self.by_place.remove(&run.first);
        self.by_size.remove(&(run.count, run.first));
        if let Some(block) = last_block(run) {
            self.blocks.remove(&block);
        }
        self.frames -= run.count;
    }
}

/// The last whole block of a run.
fn last_block(run: Run) -> Option<u64> {
    let block = (run.end() & !(BLOCK_FRAMES - 1)).checked_sub(BLOCK_FRAMES)?;
    (block >= run.first).then_some(block)
}

#[cfg(test)]
mod tests;
