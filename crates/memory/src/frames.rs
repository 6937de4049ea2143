//! Which guest-physical pages are in use.

use ampoule_abi::layout::PAGE_SIZE;

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
}

/// Hands out guest-physical pages: fresh ones in order, then those that were given back.
#[derive(Debug, Clone)]
pub(crate) struct FrameAllocator {
    /// Frames below were handed out at least once.
    next: u64,
    /// Frames the guest may have.
    limit: u64,
    /// Runs given back, in no order.
    free: Vec<Run>,
}

impl FrameAllocator {
    pub(crate) const fn new(limit: u64) -> Self {
        Self { next: 0, limit, free: Vec::new() }
    }

    /// An allocator that handed out the frames below `next`, of which `free` came back.
    pub(crate) const fn with(next: u64, limit: u64, free: Vec<Run>) -> Self {
        Self { next, limit, free }
    }

    /// Runs that were given back.
    pub(crate) fn free(&self) -> &[Run] {
        &self.free
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
    pub(crate) fn available(&self) -> u64 {
        self.limit - self.in_use()
    }

    pub(crate) fn in_use(&self) -> u64 {
        self.next - self.free.iter().map(|run| run.count).sum::<u64>()
    }

    /// Up to `wanted` contiguous frames, at least one, or none when all are in use.
    pub(crate) fn allocate(&mut self, wanted: u64) -> Option<Run> {
        if let Some(at) = self.free.iter().position(|run| run.count >= wanted) {
            return Some(self.carve(at, wanted));
        }
        let count = wanted.min(self.fresh());
        if count > 0 {
            let run = Run { first: self.next, count };
            self.next += count;
            return Some(run);
        }
        let largest = (0..self.free.len()).max_by_key(|&at| self.free[at].count)?;
        Some(self.carve(largest, wanted))
    }

    /// A block: [`BLOCK_FRAMES`] frames at a multiple of their number, none below `from`.
    pub(crate) fn allocate_block(&mut self, from: u64) -> Option<Run> {
        let block_in = |first: u64, end: u64| {
            let start = first.max(from).next_multiple_of(BLOCK_FRAMES);
            (start + BLOCK_FRAMES <= end).then_some(start)
        };
        let found = self.free.iter().enumerate().find_map(|(at, run)| {
            block_in(run.first, run.first + run.count).map(|start| (at, start))
        });
        let first = if let Some((at, start)) = found {
            let run = self.free.swap_remove(at);
            self.give_back(run.first, start);
            self.give_back(start + BLOCK_FRAMES, run.first + run.count);
            start
        } else {
            let start = block_in(self.next, self.limit)?;
            self.give_back(self.next, start);
            self.next = start + BLOCK_FRAMES;
            start
        };
        Some(Run { first, count: BLOCK_FRAMES })
    }

    fn give_back(&mut self, first: u64, end: u64) {
        if first < end {
            self.free.push(Run { first, count: end - first });
        }
    }

    pub(crate) fn release(&mut self, run: Run) {
        // Merging with the neighbour released just before keeps a list of one for the usual case,
        // in which a range is unmapped front to back.
        if let Some(last) = self.free.last_mut()
            && last.first + last.count == run.first
        {
            last.count += run.count;
        } else {
            self.free.push(run);
        }
    }

    fn carve(&mut self, at: usize, wanted: u64) -> Run {
        let run = &mut self.free[at];
        let count = wanted.min(run.count);
        let carved = Run { first: run.first, count };
        run.first += count;
        run.count -= count;
        if run.count == 0 {
            self.free.swap_remove(at);
        }
        carved
    }
}
