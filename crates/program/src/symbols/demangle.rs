//! Making a mangled name readable, with a bound on the work.
//!
//! A name in Rust's `v0` form may refer back to its own parts, so that what it stands for doubles with
//! every few bytes (RFC 2603, "Compression"). What bounds the work is where it is written: between two
//! pieces of output the demangler goes along the name once at most, forwards or from reference to earlier
//! reference, because everything in the grammar that has two parts writes something between them.

use std::fmt::{self, Write};

/// Longest name that is read, and longest one that is shown.
pub(super) const NAME_MAX: usize = 512;

/// Pieces of output after which a name is cut: more than any that is not longer than [`NAME_MAX`] is made of.
pub(super) const PIECES_MAX: usize = NAME_MAX;

/// A name to be shown.
#[derive(Debug)]
pub(super) struct Demangled {
    /// At most [`NAME_MAX`] bytes, without control characters.
    pub(super) text: String,
    /// Bytes of the name that were gone along, at most.
    pub(super) steps: usize,
    /// With more steps it would have been the same.
    pub(super) is_final: bool,
}

/// The function's name for `raw`, as far as it can be told in about `steps_max` steps.
pub(super) fn demangle(raw: &[u8], steps_max: usize) -> Demangled {
    let name = String::from_utf8_lossy(raw);
    let pieces_max = (steps_max / name.len().max(1)).min(PIECES_MAX);
    let mut shown = Shown { text: String::new(), pieces: 0, pieces_max, is_full: false };
    let is_final = if pieces_max > 0 {
        // The alternate form leaves out the hash. An error is the end of `shown`.
        let written = write!(shown, "{:#}", rustc_demangle::demangle(&name));
        written.is_ok() || shown.is_full || pieces_max == PIECES_MAX
    } else {
        shown.push(&name);
        false
    };
    Demangled { text: shown.text, steps: name.len() * (shown.pieces + 1), is_final }
}

/// Output that ends where no more is shown.
struct Shown {
    text: String,
    pieces: usize,
    pieces_max: usize,
    is_full: bool,
}

impl Shown {
    fn push(&mut self, piece: &str) {
        for character in piece.chars() {
            // A symbol's name has none, and a terminal would obey them.
            let character =
                if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
            if self.text.len() + character.len_utf8() > NAME_MAX {
                self.is_full = true;
                return;
            }
            self.text.push(character);
        }
    }
}

impl Write for Shown {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.pieces += 1;
        self.push(piece);
        if self.is_full || self.pieces >= self.pieces_max { Err(fmt::Error) } else { Ok(()) }
    }
}
