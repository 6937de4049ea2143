//! How large values may be.

/// How deep arrays and maps may nest by default, on both sides.
pub const DEPTH_LIMIT: usize = 64;
/// Of how many items a value may be made at most: what a JavaScript process of the usual size can hold.
pub const ITEM_LIMIT: u64 = 4_000_000;
/// Bytes of an integer beyond 64 bits, at most.
pub(super) const BIGNUM_BYTES: usize = 16;
