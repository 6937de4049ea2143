//! The guest of the benchmarks: functions whose work is known, so that what is timed is the way to
//! them and back.

use ampoule_guest::{Error, HostError, guest_function, host_function};
use std::cell::RefCell;
use std::hint::black_box;

const PAGE: usize = 4096;
const MIB: usize = 1 << 20;

thread_local! {
    /// Memory that stays between calls and is in every snapshot.
    static HELD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Gives back a number.
#[host_function]
fn tick(number: i32) -> Result<i32, HostError>;

/// Adds two numbers.
#[guest_function]
fn add(left: i32, right: i32) -> i32 {
    left.wrapping_add(right)
}

/// Adds two numbers in a span of two fields.
#[guest_function]
fn traced(left: i32, right: i32) -> i32 {
    tracing::info_span!("add", left, right).in_scope(|| left.wrapping_add(right))
}

/// Calls the host so many times, and gives the last answer.
#[guest_function]
fn ticks(count: i32) -> Result<i32, HostError> {
    (0..count).try_fold(0, |_, number| tick(number))
}

/// The number of bytes that it is given.
#[guest_function]
fn take_bytes(bytes: &[u8]) -> usize {
    bytes.len()
}

/// So many bytes.
#[guest_function]
fn give_bytes(length: u32) -> Vec<u8> {
    vec![1; length as usize]
}

/// Allocates so many MiB for good and writes to every page, so that none is a hole of an image.
#[guest_function]
fn hold(mib: u64) -> Result<(), Error> {
    let length = usize::try_from(mib)
        .ok()
        .and_then(|mib| mib.checked_mul(MIB))
        .ok_or_else(|| Error::new("TooLarge", format!("{mib} MiB")))?;
    let mut memory = vec![0_u8; length];
    for (number, page) in memory.chunks_mut(PAGE).enumerate() {
        page[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
    }
    HELD.set(memory);
    Ok(())
}

/// Writes a byte to each of so many pages of the memory held: `step` pages from one to the next, or
/// evenly spread over all of it where `step` is 0. Gives the number of pages written.
#[guest_function]
fn dirty(pages: u32, step: u32) -> u32 {
    HELD.with_borrow_mut(|held| {
        let available = held.len() / PAGE;
        let pages = (pages as usize).min(available);
        let step = match step as usize {
            0 => available / pages.max(1),
            step => step,
        };
        for number in 0..pages {
            let at = number * step % available * PAGE + 16;
            held[at] = held[at].wrapping_add(1);
        }
        black_box(held);
        pages as u32
    })
}

ampoule_guest::main!();
