//! Values: arguments and results as CBOR (RFC 8949).
//!
//! The subset: integers of 64 bits, and of up to 128 bits as bignums (tags 2 and 3 before at most 16
//! bytes), floats, `false`, `true`, `null` (and `undefined`, read as `null`), text, bytes, arrays, and
//! maps with distinct text keys; definite lengths only, no other tags, bounded depth and number of
//! items, nothing behind the one item. [`encode`] writes only that and [`validate()`] refuses
//! everything else.
//!
//! The serde mapping is that of JSON, so that a type's JSON Schema describes it: structs are maps,
//! enums are externally tagged, `Option::None` and `()` are `null`, integer map keys become text,
//! and types that have a readable form (addresses, UUIDs) use it. Beyond JSON there are bytes,
//! integers of up to 128 bits and all floats. An integer is accepted where a float is expected, because
//! JavaScript cannot tell `1` from `1.0`.

mod de;
mod ser;
mod validate;

pub use de::{Deserializer, decode};
pub use ser::{Serializer, encode};
pub use validate::{Limits, ValueError, ValueProblem, validate};

/// How deep arrays and maps may nest by default, on both sides.
pub const DEPTH_LIMIT: usize = 64;
/// Of how many items a value may be made at most: what a JavaScript process of the usual size can hold.
pub const ITEM_LIMIT: u64 = 4_000_000;
/// Bytes of an integer beyond 64 bits, at most.
const BIGNUM_BYTES: usize = 16;

/// Why a Rust value could not be encoded or decoded, in serde's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConversionError {
    message: String,
}

impl ConversionError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl serde::ser::Error for ConversionError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

impl serde::de::Error for ConversionError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

impl From<minicbor::decode::Error> for ConversionError {
    fn from(error: minicbor::decode::Error) -> Self {
        Self::new(error.to_string())
    }
}

#[cfg(test)]
mod tests;
