//! Acts that keep the host busy: one request each, as large and as unwieldy as a guest can make it.

use crate::raw::{load, store};
use crate::system_calls::{
    FIXED, MADVISE, MMAP, MREMAP, NANOSLEEP, NO_FILE, PRIVATE_ANONYMOUS, READ_WRITE, call,
};
use ampoule_guest::guest_function;
use std::hint::black_box;

const READ: u64 = 0;
const OPEN: u64 = 2;
const MPROTECT: u64 = 10;
const MUNMAP: u64 = 11;
const SYSINFO: u64 = 99;
const GETRANDOM: u64 = 318;

const NO_RESERVE: u64 = 0x4000;
const PAGE: u64 = 4096;
/// Where what is moved lies, by turns. Beyond 512 GiB, as a large heap of Go's would.
const PLACES: [u64; 2] = [0x2000_0000_0000, 0x3000_0000_0000];

/// Maps a third of the memory at the first of the places, touches all of it, and gives every second page
/// back; the bytes of it.
fn pieces() -> u64 {
    let mut info = black_box([0_u64; 14]);
    call(SYSINFO, &[info.as_mut_ptr() as u64]);
    let bytes = (info[4] / 3).next_multiple_of(2 * PAGE);
    let flags = PRIVATE_ANONYMOUS | FIXED | NO_RESERVE;
    call(MMAP, &[PLACES[0], bytes, READ_WRITE, flags, NO_FILE, 0]);
    for page in (0..bytes).step_by(4096) {
        store(PLACES[0] + page, 1);
    }
    for page in (0..bytes).step_by(8192) {
        call(MADVISE, &[PLACES[0] + page, PAGE, 4]);
    }
    bytes
}

/// TIMEOUT: moves memory that has fallen into pieces to and fro for ever.
#[guest_function]
fn move_pieces() -> u64 {
    let bytes = pieces();
    loop {
        for [from, to] in [PLACES, [PLACES[1], PLACES[0]]] {
            call(MREMAP, &[from, bytes, bytes, 3, to]);
        }
    }
}

/// TIMEOUT: takes the right to write to memory that has fallen into pieces, and gives it back, for ever.
#[guest_function]
fn protect_pieces() -> u64 {
    let bytes = pieces();
    loop {
        call(MPROTECT, &[PLACES[0], bytes, 1]);
        call(MPROTECT, &[PLACES[0], bytes, READ_WRITE]);
    }
}

/// TIMEOUT: fills memory that has fallen into pieces, and empties it again, for ever.
#[guest_function]
fn fill_pieces() -> u64 {
    let bytes = pieces();
    let zero = call(OPEN, &[c"/dev/zero".as_ptr() as u64, 0]) as u64;
    loop {
        call(READ, &[zero, PLACES[0], bytes]);
        call(MADVISE, &[PLACES[0], bytes, 4]);
    }
}

/// TIMEOUT: draws as many random bytes as one call gives, for ever.
#[guest_function]
fn draw_for_ever() -> u64 {
    loop {
        draw();
    }
}

/// survives: draws as many random bytes as one call gives; gives their number.
#[guest_function]
fn draw() -> u64 {
    const BYTES: u64 = 8 << 20;
    let start = call(MMAP, &[0, BYTES, READ_WRITE, PRIVATE_ANONYMOUS, NO_FILE, 0]) as u64;
    let drawn = call(GETRANDOM, &[start, BYTES, 0]) as u64;
    black_box(load(start));
    call(MUNMAP, &[start, BYTES]);
    drawn
}

/// TIMEOUT: sleeps for ever, each time so briefly that waiting for it would hardly pay.
#[guest_function]
fn sleep_briefly() -> u64 {
    let time: [u64; 2] = black_box([0, 900_000]);
    loop {
        call(NANOSLEEP, &[time.as_ptr() as u64, 0]);
    }
}

/// survives: reserves all addresses that there are and gives them back; gives how many of the two failed,
/// which is to be 0.
#[guest_function]
fn reserve_everything() -> usize {
    const HOST_END: u64 = ampoule_abi::layout::HOST_END;
    let bytes = ampoule_abi::layout::USER_END - HOST_END;
    let flags = PRIVATE_ANONYMOUS | FIXED | NO_RESERVE;
    let results = [
        call(MMAP, &[HOST_END, bytes, READ_WRITE, flags, NO_FILE, 0]),
        call(MUNMAP, &[HOST_END, bytes]),
    ];
    results.iter().filter(|&&result| result < 0).count()
}
