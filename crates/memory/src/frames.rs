//! Which guest-physical pages are in use.

use crate::address::Block;
use crate::count::PageCount;
use crate::frame::{Frame, Run};
use std::collections::{BTreeMap, BTreeSet};

/// Hands out guest-physical pages: those that were given back, where they fit, then fresh ones in order.
///
/// Cost: every question is answered and every change is made in the logarithm of the number of free runs,
/// because the guest decides into how many pieces memory falls.
#[derive(Debug, Clone)]
pub(crate) struct FrameAllocator {
    /// Frames below were handed out at least once.
    next: Frame,
    /// Behind the last frame that the guest may have.
    limit: Frame,
    /// What was given back.
    free: FreeRuns,
}

impl FrameAllocator {
    /// An allocator of the frames below `limit`, all of them fresh.
    pub(crate) const fn new(limit: Frame) -> Self {
        Self { next: Frame::ZERO, limit, free: FreeRuns::new() }
    }

    /// An allocator that handed out the frames below `next`, of which `free` came back. Those runs do not
    /// overlap.
    pub(crate) fn with(next: Frame, limit: Frame, free: Vec<Run>) -> Self {
        let mut allocator = Self { next, limit, free: FreeRuns::new() };
        for run in free {
            allocator.release(run);
        }
        allocator
    }

    /// Runs that were given back, in order; no two touch.
    pub(crate) fn free(&self) -> impl Iterator<Item = Run> {
        self.free.by_place.iter().map(|(&first, &end)| Run::between(first, end))
    }

    /// One past the highest frame ever handed out.
    pub(crate) const fn high_water(&self) -> Frame {
        self.next
    }

    pub(crate) const fn limit(&self) -> Frame {
        self.limit
    }

    /// Frames never handed out.
    pub(crate) const fn fresh(&self) -> PageCount {
        self.limit.since(self.next)
    }

    /// Frames that can be had.
    pub(crate) fn available(&self) -> PageCount {
        self.fresh() + self.free.frames
    }

    pub(crate) fn in_use(&self) -> PageCount {
        self.next.since(Frame::ZERO) - self.free.frames
    }

    /// Up to `wanted` contiguous frames, at least one, or none when all are in use: from the smallest free
    /// run that has as many, so that the large ones stay large.
    pub(crate) fn allocate(&mut self, wanted: PageCount) -> Option<Run> {
        if let Some(run) = self.free.smallest_of(wanted) {
            return Some(self.free.take_front(run, wanted));
        }
        let count = wanted.min(self.fresh());
        if count > PageCount::ZERO {
            let run = Run { first: self.next, count };
            self.next = run.end();
            return Some(run);
        }
        let largest = self.free.largest()?;
        Some(self.free.take_front(largest, wanted))
    }

    /// As many frames as a block has pages, at a multiple of their number, none below `from`.
    pub(crate) fn allocate_block(&mut self, from: Frame) -> Option<Run> {
        let from = from.next_block();
        if let Some(run) = self.free.with_block(from) {
            let first = run.first.next_block().max(from);
            let block = Run { first, count: Block::PAGES };
            self.free.take_out(run, block);
            return Some(block);
        }
        let first = self.next.next_block().max(from);
        let block = Run { first, count: Block::PAGES };
        if block.end() > self.limit {
            return None;
        }
        let skipped = Run::between(self.next, first);
        self.next = block.end();
        if skipped.count > PageCount::ZERO {
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
    by_place: BTreeMap<Frame, Frame>,
    /// The length of each, and its first frame.
    by_size: BTreeSet<(PageCount, Frame)>,
    /// The last block of each that has a whole one.
    blocks: BTreeSet<Frame>,
    /// Frames in all of them.
    frames: PageCount,
}

impl FreeRuns {
    const fn new() -> Self {
        Self {
            by_place: BTreeMap::new(),
            by_size: BTreeSet::new(),
            blocks: BTreeSet::new(),
            frames: PageCount::ZERO,
        }
    }

    fn smallest_of(&self, count: PageCount) -> Option<Run> {
        let mut as_large = self.by_size.range((count, Frame::ZERO)..);
        as_large.next().map(|&(count, first)| Run { first, count })
    }

    fn largest(&self) -> Option<Run> {
        self.by_size.last().map(|&(count, first)| Run { first, count })
    }

    /// A run with a whole block that starts at `from` or behind it.
    fn with_block(&self, from: Frame) -> Option<Run> {
        let &last = self.blocks.range(from..).next()?;
        let (&first, &end) = self.by_place.range(..=last).next_back()?;
        Some(Run::between(first, end))
    }

    fn take_front(&mut self, run: Run, wanted: PageCount) -> Run {
        let taken = Run { first: run.first, count: wanted.min(run.count) };
        self.take_out(run, taken);
        taken
    }

    /// Takes `part` out of `run`, which is one of these.
    fn take_out(&mut self, run: Run, part: Run) {
        self.remove(run);
        self.insert(Run::between(run.first, part.first));
        self.insert(Run::between(part.end(), run.end()));
    }

    /// Adds a run, as one with the free ones on both sides of it.
    fn add(&mut self, run: Run) {
        let (mut first, mut end) = (run.first, run.end());
        if let Some((&before, &until)) = self.by_place.range(..first).next_back()
            && until == first
        {
            self.remove(Run::between(before, until));
            first = before;
        }
        if let Some(&until) = self.by_place.get(&end) {
            self.remove(Run::between(end, until));
            end = until;
        }
        self.insert(Run::between(first, end));
    }

    fn insert(&mut self, run: Run) {
        if run.count > PageCount::ZERO {
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
fn last_block(run: Run) -> Option<Frame> {
    let block = run.end().this_block().checked_sub(Block::PAGES)?;
    (block >= run.first).then_some(block)
}

#[cfg(test)]
mod tests;
