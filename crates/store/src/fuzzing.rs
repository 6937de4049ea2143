//! Entry points for fuzzing: each takes the bytes of a file and must return.

use crate::layout;

/// An index.
pub fn index(bytes: &[u8]) {
    let _ = layout::decode_index(bytes);
}

/// A manifest.
pub fn manifest(bytes: &[u8]) {
    let _ = layout::decode_manifest(bytes);
}
