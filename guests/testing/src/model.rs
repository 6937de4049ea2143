//! A state that a test models: words of memory, and a place in a file.

use ampoule_guest::{Error, guest_function};
use std::cell::RefCell;
use std::fs::File;
use std::io::Read;

#[derive(Default)]
struct Model {
    words: Vec<u32>,
    file: Option<File>,
    /// What the last read of the file brought.
    last: u32,
}

thread_local! {
    static MODEL: RefCell<Model> = RefCell::default();
}

/// Makes the memory `length` words long; new ones are 0.
#[guest_function]
fn model_resize(length: u32) {
    MODEL.with_borrow_mut(|model| {
        model.words.resize(length as usize, 0);
        model.words.shrink_to_fit();
    });
}

/// Writes `count` words from `at` on, each the next of a sequence that begins with `seed`.
#[guest_function]
fn model_write(at: u32, count: u32, seed: u32) -> Result<(), Error> {
    MODEL.with_borrow_mut(|model| {
        let range = at as usize..(at as usize).saturating_add(count as usize);
        let words = model.words.get_mut(range).ok_or_else(|| Error::new("Range", "too far"))?;
        let mut next = seed;
        for word in words {
            next = step(next);
            *word = next;
        }
        Ok(())
    })
}

/// Reads `count` bytes of `/data/file`, which stays open, and gives their sum.
#[guest_function]
fn model_read(count: u32) -> Result<u32, std::io::Error> {
    MODEL.with_borrow_mut(|model| {
        if model.file.is_none() {
            model.file = Some(File::open("/data/file")?);
        }
        let Some(file) = &mut model.file else { return Ok(0) };
        let mut bytes = vec![0; count as usize];
        let length = file.read(&mut bytes)?;
        model.last = bytes[..length].iter().map(|&byte| u32::from(byte)).sum();
        Ok(model.last)
    })
}

/// A hash of the whole state.
#[guest_function]
fn model_hash() -> u32 {
    MODEL.with_borrow(|model| {
        let hash = model.words.iter().fold(model.words.len() as u32 ^ model.last, |hash, word| {
            (hash ^ word).wrapping_mul(0x0100_0193).rotate_left(5)
        });
        step(hash ^ 1)
    })
}

/// Marsaglia's xorshift; never 0 for a number other than 0.
const fn step(mut word: u32) -> u32 {
    word ^= word << 13;
    word ^= word >> 17;
    word ^ word << 5
}
