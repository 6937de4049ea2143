//! A guest for pools: every visit looks for traces of earlier ones, leaves its own wherever a program
//! can, and then ends as it is told.

use crate::hosted::fetch_number;
use ampoule_guest::{Error, guest_function};
use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const PAGE_WORDS: usize = 512;
const STATIC_WORDS: usize = 6 * PAGE_WORDS;
const HEAP_WORDS: usize = 2 * PAGE_WORDS;

/// Zero at first, so that it lies in memory that the executable does not hold.
static ZEROED: [AtomicU64; STATIC_WORDS] = [const { AtomicU64::new(0) }; STATIC_WORDS];
/// Initialised, so that it comes from the executable.
static INITIALISED: [AtomicU64; PAGE_WORDS] = [const { AtomicU64::new(7) }; PAGE_WORDS];
static HEAP: Mutex<Vec<Vec<u64>>> = Mutex::new(Vec::new());
thread_local! {
    static NOTES: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Looks for traces of other visits: fails with an error of kind `Dirty` that lists them. Then leaves
/// `secret` in static memory, on the heap and on the stack, and ends as `end` says.
#[guest_function]
fn visit(secret: u64, end: &str) -> Result<u64, Error> {
    let traces = traces();
    if !traces.is_empty() {
        return Err(Error::new("Dirty", traces.join(", ")));
    }
    leave_traces(secret);
    match end {
        "return" => Ok(secret),
        "fail" => Err(Error::new("Asked", "told to fail")),
        "panic" => panic!("told to panic"),
        "exit" => std::process::exit(3),
        "abort" => std::process::abort(),
        "fault" => Ok(read_nothing()),
        "overflow" => Ok(overflow(0)),
        "exhaust" => Ok(exhaust()),
        "flood" => Ok(flood()),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "sleep" => {
            std::thread::sleep(std::time::Duration::from_secs(1000));
            Ok(secret)
        }
        "ask" => {
            let number = fetch_number(1)?;
            Ok(secret.wrapping_add(number.unsigned_abs().into()))
        }
        _ => Err(Error::new("Unknown", end)),
    }
}

fn traces() -> Vec<String> {
    let mut found = Vec::new();
    let mut look = |what: &str, clean: bool| {
        if !clean {
            found.push(what.to_owned());
        }
    };
    look("zeroed memory", ZEROED.iter().all(|word| word.load(Ordering::Relaxed) == 0));
    look("initialised memory", INITIALISED.iter().all(|word| word.load(Ordering::Relaxed) == 7));
    // Not just empty: a visit that was stopped while it held the lock would have left it locked.
    look("heap", HEAP.try_lock().is_ok_and(|heap| heap.is_empty()));
    look("notes", NOTES.try_with(|notes| notes.borrow().is_empty()).unwrap_or(false));
    found
}

fn leave_traces(secret: u64) {
    for word in ZEROED.iter().step_by(64).chain(INITIALISED.iter().step_by(64)) {
        word.store(secret, Ordering::Relaxed);
    }
    if let Ok(mut heap) = HEAP.lock() {
        heap.push(vec![secret; HEAP_WORDS]);
    }
    NOTES.with(|notes| notes.borrow_mut().push_str(&secret.to_string()));
    black_box([secret; PAGE_WORDS]);
}

fn read_nothing() -> u64 {
    let nowhere = black_box(std::ptr::null::<u64>());
    // SAFETY: none; the fault is what is asked for.
    unsafe { nowhere.read_volatile() }
}

fn overflow(depth: u64) -> u64 {
    let frame = black_box([depth; PAGE_WORDS]);
    match black_box(depth) {
        u64::MAX => 0,
        _ => overflow(depth + 1).wrapping_add(frame[0]),
    }
}

fn exhaust() -> u64 {
    let mut held = Vec::new();
    loop {
        held.push(vec![1_u64; 64 * PAGE_WORDS]);
        black_box(&held);
    }
}

fn flood() -> u64 {
    loop {
        print!("{}", "a line that says nothing\n".repeat(1000));
    }
}
