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

mod bounds;
mod de;
mod error;
mod ser;
mod validate;

pub use bounds::{DEPTH_LIMIT, ITEM_LIMIT};
pub use de::{Deserializer, decode};
pub use error::ConversionError;
pub use ser::{Serializer, encode};
pub use validate::{Limits, ValueError, ValueProblem, validate};

#[cfg(test)]
mod tests;
