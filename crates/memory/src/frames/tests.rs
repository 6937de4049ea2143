use super::*;
use proptest::prelude::*;

/// Pages of the model's memory: a few blocks and a piece of one.
const LIMIT: u64 = 4 * BLOCK_FRAMES + 100;

/// An allocator as one would first write it: what each page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Fresh,
    Used,
    Free,
}

struct Model(Vec<Page>);

impl Model {
    fn pages(&self, run: Run) -> &[Page] {
        &self.0[usize::try_from(run.first).unwrap()..usize::try_from(run.end()).unwrap()]
    }

    fn set(&mut self, run: Run, page: Page) {
        for index in run.first..run.end() {
            self.0[usize::try_from(index).unwrap()] = page;
        }
    }

    fn count(&self, page: Page) -> u64 {
        self.0.iter().filter(|&&is| is == page).count() as u64
    }

    /// Runs of pages that are free.
    fn free(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (first, _) in (0..).zip(&self.0).filter(|(_, page)| **page == Page::Free) {
            match runs.last_mut() {
                Some(run) if run.end() == first => run.count += 1,
                _ => runs.push(Run { first, count: 1 }),
            }
        }
        runs
    }

    /// Whether a whole block that nobody uses starts at `from` or behind it.
    fn has_block(&self, from: u64) -> bool {
        (from.next_multiple_of(BLOCK_FRAMES)..LIMIT).step_by(512).any(|first| {
            let block = Run { first, count: BLOCK_FRAMES };
            block.end() <= LIMIT
                && (self.pages(block).iter().all(|page| *page == Page::Free)
                    || self.pages(block).iter().all(|page| *page == Page::Fresh))
        })
    }
}

#[derive(Debug, Clone)]
enum Act {
    Allocate(u64),
    Block {
        from: u64,
    },
    /// Gives back a part of what was handed out: which, from where, and how much of it.
    Release(usize, u64, u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => prop_oneof![1..4_u64, 1..700_u64].prop_map(Act::Allocate),
        1 => (0..LIMIT).prop_map(|from| Act::Block { from }),
        4 => (any::<usize>(), 0..700_u64, 1..700_u64)
            .prop_map(|(which, skip, count)| Act::Release(which, skip, count)),
    ]
}

proptest! {
    #[test]
    fn whatever_the_order_the_allocator_agrees_with_a_table_of_pages(
        acts in prop::collection::vec(act(), 1..120),
    ) {
        let mut allocator = FrameAllocator::new(LIMIT);
        let mut model = Model(vec![Page::Fresh; usize::try_from(LIMIT).unwrap()]);
        let mut held: Vec<Run> = Vec::new();
        for act in acts {
            match act {
                Act::Allocate(wanted) => {
                    let fits = model.free().iter().any(|run| run.count >= wanted)
                        || model.count(Page::Fresh) >= wanted;
                    match allocator.allocate(wanted) {
                        Some(run) => {
                            prop_assert!(run.count > 0 && run.count <= wanted);
                            prop_assert!(!fits || run.count == wanted, "{run:?} of {wanted}");
                            prop_assert!(!model.pages(run).contains(&Page::Used));
                            model.set(run, Page::Used);
                            held.push(run);
                        }
                        None => prop_assert_eq!(model.count(Page::Used), LIMIT),
                    }
                }
                Act::Block { from } => {
                    let before = allocator.high_water();
                    match allocator.allocate_block(from) {
                        Some(run) => {
                            prop_assert!(run.first >= from && run.first.is_multiple_of(512));
                            prop_assert_eq!(run.count, BLOCK_FRAMES);
                            prop_assert!(!model.pages(run).contains(&Page::Used));
                            if allocator.high_water() > before {
                                let skipped = run.first - before;
                                model.set(Run { first: before, count: skipped }, Page::Free);
                            }
                            model.set(run, Page::Used);
                            held.push(run);
                        }
                        None => prop_assert!(!model.has_block(from)),
                    }
                }
                Act::Release(which, skip, count) => {
                    if held.is_empty() {
                        continue;
                    }
                    let run = held.swap_remove(which % held.len());
                    let first = run.first + skip.min(run.count - 1);
                    let part = Run { first, count: count.min(run.end() - first) };
                    let around = [
                        Run { first: run.first, count: part.first - run.first },
                        Run { first: part.end(), count: run.end() - part.end() },
                    ];
                    held.extend(around.into_iter().filter(|rest| rest.count > 0));
                    allocator.release(part);
                    model.set(part, Page::Free);
                }
            }
            prop_assert_eq!(allocator.in_use(), model.count(Page::Used));
            prop_assert_eq!(allocator.available(), LIMIT - model.count(Page::Used));
            prop_assert_eq!(allocator.fresh(), model.count(Page::Fresh));
            prop_assert_eq!(allocator.free().collect::<Vec<_>>(), model.free());
        }
        // What is kept of it makes the same allocator.
        let (next, free) = (allocator.high_water(), model.free());
        let mut again = FrameAllocator::with(next, LIMIT, free.into_iter().rev().collect());
        for wanted in [1, 512, 3, 700, 2, 1] {
            prop_assert_eq!(again.allocate(wanted), allocator.allocate(wanted));
        }
    }
}

#[test]
fn what_was_given_back_in_pieces_is_one_run_again() {
    let mut allocator = FrameAllocator::new(10_000);
    let run = allocator.allocate(10_000).unwrap();
    for parity in [1, 0] {
        for first in (run.first + parity..run.end()).step_by(2) {
            allocator.release(Run { first, count: 1 });
        }
    }
    assert_eq!(allocator.free().count(), 1);
    assert_eq!(allocator.allocate(10_000), Some(run));
}
