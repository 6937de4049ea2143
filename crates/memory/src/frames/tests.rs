use super::*;
use proptest::prelude::*;

const BLOCK_FRAMES: u64 = Block::PAGES.get();
/// Pages of the model's memory: a few blocks and a piece of one.
const LIMIT: u64 = 4 * BLOCK_FRAMES + 100;

const fn run(first: u64, count: u64) -> Run {
    Run { first: Frame::new(first), count: PageCount::new(count) }
}

/// The numbers of its first frame and of the one behind its last.
const fn numbers(run: Run) -> std::ops::Range<u64> {
    run.first.get()..run.end().get()
}

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
        let std::ops::Range { start, end } = numbers(run);
        &self.0[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()]
    }

    fn set(&mut self, run: Run, page: Page) {
        for index in numbers(run) {
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
                Some(run) if run.end().get() == first => run.count += PageCount::ONE,
                _ => runs.push(run(first, 1)),
            }
        }
        runs
    }

    /// Whether a whole block that nobody uses starts at `from` or behind it.
    fn has_block(&self, from: u64) -> bool {
        (from.next_multiple_of(BLOCK_FRAMES)..LIMIT).step_by(512).any(|first| {
            let block = run(first, BLOCK_FRAMES);
            block.end().get() <= LIMIT
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
        let limit = Frame::new(LIMIT);
        let mut allocator = FrameAllocator::new(limit);
        let mut model = Model(vec![Page::Fresh; usize::try_from(LIMIT).unwrap()]);
        let mut held: Vec<Run> = Vec::new();
        for act in acts {
            match act {
                Act::Allocate(wanted) => {
                    let fits = model.free().iter().any(|run| run.count.get() >= wanted)
                        || model.count(Page::Fresh) >= wanted;
                    match allocator.allocate(PageCount::new(wanted)) {
                        Some(run) => {
                            let count = run.count.get();
                            prop_assert!(count > 0 && count <= wanted);
                            prop_assert!(!fits || count == wanted, "{run:?} of {wanted}");
                            prop_assert!(!model.pages(run).contains(&Page::Used));
                            model.set(run, Page::Used);
                            held.push(run);
                        }
                        None => prop_assert_eq!(model.count(Page::Used), LIMIT),
                    }
                }
                Act::Block { from } => {
                    let before = allocator.high_water();
                    match allocator.allocate_block(Frame::new(from)) {
                        Some(run) => {
                            let first = run.first.get();
                            prop_assert!(first >= from && first.is_multiple_of(512));
                            prop_assert_eq!(run.count.get(), BLOCK_FRAMES);
                            prop_assert!(!model.pages(run).contains(&Page::Used));
                            if allocator.high_water() > before {
                                model.set(Run::between(before, run.first), Page::Free);
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
                    let whole = held.swap_remove(which % held.len());
                    let std::ops::Range { start, end } = numbers(whole);
                    let first = start + skip.min(end - start - 1);
                    let part = run(first, count.min(end - first));
                    let around = [
                        Run::between(whole.first, part.first),
                        Run::between(part.end(), whole.end()),
                    ];
                    held.extend(around.into_iter().filter(|rest| rest.count > PageCount::ZERO));
                    allocator.release(part);
                    model.set(part, Page::Free);
                }
            }
            prop_assert_eq!(allocator.in_use().get(), model.count(Page::Used));
            prop_assert_eq!(allocator.available().get(), LIMIT - model.count(Page::Used));
            prop_assert_eq!(allocator.fresh().get(), model.count(Page::Fresh));
            prop_assert_eq!(allocator.free().collect::<Vec<_>>(), model.free());
        }
        // What is kept of it makes the same allocator.
        let (next, free) = (allocator.high_water(), model.free());
        let mut again = FrameAllocator::with(next, limit, free.into_iter().rev().collect());
        for wanted in [1, 512, 3, 700, 2, 1].map(PageCount::new) {
            prop_assert_eq!(again.allocate(wanted), allocator.allocate(wanted));
        }
    }
}

#[test]
fn what_was_given_back_in_pieces_is_one_run_again() {
    let mut allocator = FrameAllocator::new(Frame::new(10_000));
    let all = allocator.allocate(PageCount::new(10_000)).unwrap();
    for parity in [1, 0] {
        for first in numbers(all).skip(parity).step_by(2) {
            allocator.release(run(first, 1));
        }
    }
    assert_eq!(allocator.free().count(), 1);
    assert_eq!(allocator.allocate(PageCount::new(10_000)), Some(all));
}
