//! Functions that keep memory of a known content: what snapshots of a guest differ in.

use ampoule_guest::guest_function;
use std::cell::RefCell;

const PAGE: usize = 4096;

thread_local! {
    static HELD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Keeps this many pages from now on; every byte of one is its number's low byte.
#[guest_function]
fn hold_pages(pages: u32) -> usize {
    let filled = |page: u32| std::iter::repeat_n(page.to_le_bytes()[0], PAGE);
    let held: Vec<u8> = (0..pages).flat_map(filled).collect();
    HELD.replace(held);
    HELD.with_borrow(Vec::len)
}

/// Writes `value` into every `stride`-th page that is kept.
#[guest_function]
fn mark_pages(stride: usize, value: u8) {
    HELD.with_borrow_mut(|held| {
        held.iter_mut().step_by(stride.max(1).saturating_mul(PAGE)).for_each(|byte| *byte = value);
    });
}

/// A sum over every byte that is kept, weighted by its place.
#[guest_function]
fn sum_pages() -> u64 {
    HELD.with_borrow(|held| {
        let weighted =
            held.iter().zip(1_u64..).map(|(&byte, place)| place.wrapping_mul(byte.into()));
        weighted.fold(0, u64::wrapping_add)
    })
}
