//! Pages of guest-physical memory, and runs of them.

use crate::address::{Block, PhysicalAddress};
use crate::count::PageCount;
use ampoule_abi::layout::PAGE_SIZE;

/// A page of guest-physical memory, by its number from guest-physical zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Frame(u64);

impl Frame {
    /// The first one of all.
    pub(crate) const ZERO: Self = Self(0);

    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    pub(crate) const fn address(self) -> PhysicalAddress {
        PhysicalAddress::new(self.0 * PAGE_SIZE)
    }

    pub(crate) const fn plus(self, count: PageCount) -> Self {
        Self(self.0 + count.get())
    }

    pub(crate) const fn checked_sub(self, count: PageCount) -> Option<Self> {
        match self.0.checked_sub(count.get()) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Frames from `first`, which is not behind it.
    pub(crate) const fn since(self, first: Self) -> PageCount {
        PageCount::new(self.0 - first.0)
    }

    /// Frames from `first`; none when that is behind it.
    pub(crate) const fn saturating_since(self, first: Self) -> PageCount {
        PageCount::new(self.0.saturating_sub(first.0))
    }

    /// The first multiple of a block's number of frames that is not before it.
    pub(crate) const fn next_block(self) -> Self {
        Self(self.0.next_multiple_of(Block::PAGES.get()))
    }

    /// The last multiple of a block's number of frames that is not behind it.
    pub(crate) const fn this_block(self) -> Self {
        Self(self.0 & !(Block::PAGES.get() - 1))
    }
}

impl PhysicalAddress {
    /// The page that holds it.
    pub(crate) const fn frame(self) -> Frame {
        Frame(self.get() / PAGE_SIZE)
    }
}

/// A run of guest-physical pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: Frame,
    pub(crate) count: PageCount,
}

impl Run {
    /// The frames from `first` up to `end`, which is not before it.
    pub(crate) const fn between(first: Frame, end: Frame) -> Self {
        Self { first, count: end.since(first) }
    }

    pub(crate) const fn one(frame: Frame) -> Self {
        Self { first: frame, count: PageCount::ONE }
    }

    pub(crate) const fn start(self) -> PhysicalAddress {
        self.first.address()
    }

    pub(crate) const fn bytes(self) -> u64 {
        self.count.bytes()
    }

    pub(crate) const fn end(self) -> Frame {
        self.first.plus(self.count)
    }

    /// How many of its first frames lie before `end`.
    pub(crate) fn before(self, end: Frame) -> PageCount {
        end.saturating_since(self.first).min(self.count)
    }

    /// Adds `frame` to the last of `runs` when it is the next one, else as a run of its own. Returns whether
    /// it is one of its own.
    pub(crate) fn append(runs: &mut Vec<Self>, frame: Frame) -> bool {
        match runs.last_mut() {
            Some(run) if run.end() == frame => {
                run.count += PageCount::ONE;
                false
            }
            _ => {
                runs.push(Self::one(frame));
                true
            }
        }
    }

    /// The runs in order, those that lie at most `gap` frames apart as one.
    pub(crate) fn merged(mut runs: Vec<Self>, gap: PageCount) -> Vec<Self> {
        runs.sort_unstable_by_key(|run| run.first);
        runs.dedup_by(|next, run| {
            let joins = next.first <= run.end().plus(gap);
            if joins {
                *run = Self::between(run.first, run.end().max(next.end()));
            }
            joins
        });
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn run(first: u64, count: u64) -> Run {
        Run { first: Frame::new(first), count: PageCount::new(count) }
    }

    #[test]
    fn runs_that_touch_or_nearly_do_become_one() {
        let merged = |gap| Run::merged(vec![run(20, 2), run(1, 3), run(4, 1), run(8, 9)], gap);
        assert_eq!(merged(PageCount::ZERO), [run(1, 4), run(8, 9), run(20, 2)]);
        assert_eq!(merged(PageCount::new(3)), [run(1, 21)]);
        let mut runs = Vec::new();
        let own = [5, 6, 8].map(|number| Run::append(&mut runs, Frame::new(number)));
        assert_eq!((own, runs), ([true, false, true], vec![run(5, 2), run(8, 1)]));
    }

    #[test]
    fn the_part_of_a_run_before_a_frame_is_counted() {
        for (end, count) in [(0, 0), (5, 0), (6, 1), (8, 3), (100, 3)] {
            assert_eq!(run(5, 3).before(Frame::new(end)), PageCount::new(count), "before {end}");
        }
    }
}
