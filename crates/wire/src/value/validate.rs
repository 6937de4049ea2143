//! The gate for values that come from a guest: one pass, no recursion, bounded memory.

use super::bounds::{BIGNUM_BYTES, DEPTH_LIMIT, ITEM_LIMIT};
use minicbor::data::Type;
use minicbor::decode::Decoder;

/// Bounds of a value. The number of bytes is bounded by the message that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How deep arrays and maps may nest; a scalar has depth 0.
    pub depth: usize,
    /// Of how many items it may be made, itself included. What takes JavaScript about twice as long as
    /// a number counts twice: keys, byte strings, integers beyond 64 bits.
    pub items: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: DEPTH_LIMIT, items: ITEM_LIMIT }
    }
}

/// Bytes that are not a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct ValueError {
    /// Where in the payload.
    pub offset: usize,
    /// What is wrong there.
    pub what: ValueProblem,
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueProblem {
    /// The payload ends inside an item, or a length goes beyond its end.
    #[error("the payload ends inside an item")]
    Truncated,
    /// Bytes follow the item.
    #[error("bytes follow the value")]
    Trailing,
    /// A byte that starts no item, or a reserved length.
    #[error("malformed CBOR")]
    Malformed,
    /// Text that is not UTF-8.
    #[error("text that is not UTF-8")]
    InvalidUtf8,
    /// An array or map in more than `limit` others.
    #[error("arrays and maps nest deeper than {limit}")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// An item of indefinite length.
    #[error("an item of indefinite length")]
    IndefiniteLength,
    /// More items than allowed.
    #[error("it has more than {limit} items")]
    TooManyItems {
        /// The limit.
        limit: u64,
    },
    /// A tagged item other than an integer of more than 64 bits.
    #[error("a tagged item")]
    Tagged,
    /// A simple value other than `false`, `true`, `null` and `undefined`.
    #[error("an unknown simple value")]
    UnknownSimple,
    /// An integer below -2^63 without a tag, or one below -2^127 or above 2^128-1.
    #[error("an integer beyond its range")]
    IntegerRange,
    /// A map key that is not text.
    #[error("a map key that is not text")]
    KeyNotText,
    /// A key that stands twice in its map.
    #[error("a duplicate map key")]
    DuplicateKey,
}

/// An array or map of which items are still to come.
struct Open {
    /// Items left: values of an array, keys and values of a map.
    left: u64,
    /// For a map, where its keys start in the list of keys.
    keys: Option<usize>,
}

/// Checks that `payload` is exactly one value within `limits`.
///
/// Takes time linear in the payload, but for `n log n` in the keys of a map, and memory for the
/// keys of the maps that are open at one time.
///
/// # Errors
/// The first problem and where it is; for duplicate keys, the first one in the order of keys.
pub fn validate(payload: &[u8], limits: &Limits) -> Result<(), ValueError> {
    let mut decoder = Decoder::new(payload);
    let mut open: Vec<Open> = Vec::new();
    // Keys of all open maps, with their offsets; those of the innermost map are at the end.
    let mut keys: Vec<(&str, usize)> = Vec::new();
    let mut items_left = limits.items;

    loop {
        let offset = decoder.position();
        let fail = |what| Err(ValueError { offset, what });
        let kind = decoder.datatype().map_err(|error| classify(&error, offset))?;
        let in_key_position =
            open.last().is_some_and(|top| top.keys.is_some() && top.left.is_multiple_of(2));
        if in_key_position && !matches!(kind, Type::String | Type::StringIndef) {
            return fail(ValueProblem::KeyNotText);
        }
        let weighs_twice = in_key_position || matches!(kind, Type::Bytes | Type::Tag);
        items_left = match items_left.checked_sub(if weighs_twice { 2 } else { 1 }) {
            Some(left) => left,
            None => return fail(ValueProblem::TooManyItems { limit: limits.items }),
        };

        let mut opened = None;
        match kind {
            Type::Bool
            | Type::Null
            | Type::Undefined
            | Type::U8
            | Type::U16
            | Type::U32
            | Type::U64
            | Type::I8
            | Type::I16
            | Type::I32
            | Type::I64
            | Type::F16
            | Type::F32
            | Type::F64 => decoder.skip().map_err(|error| classify(&error, offset))?,
            Type::Bytes => drop(decoder.bytes().map_err(|error| classify(&error, offset))?),
            Type::String => {
                let text = decoder.str().map_err(|error| {
                    let what = classify(&error, offset).what;
                    let what = if what == ValueProblem::Malformed {
                        ValueProblem::InvalidUtf8
                    } else {
                        what
                    };
                    ValueError { offset, what }
                })?;
                if in_key_position {
                    keys.push((text, offset));
                }
            }
            Type::Array => {
                let count = decoder.array().map_err(|error| classify(&error, offset))?;
                opened = Some(Open { left: count.unwrap_or(0), keys: None });
            }
            Type::Map => {
                let pairs = decoder.map().map_err(|error| classify(&error, offset))?.unwrap_or(0);
                let Some(left) = pairs.checked_mul(2) else {
                    return fail(ValueProblem::Truncated);
                };
                opened = Some(Open { left, keys: Some(keys.len()) });
            }
            Type::ArrayIndef | Type::MapIndef | Type::BytesIndef | Type::StringIndef => {
                return fail(ValueProblem::IndefiniteLength);
            }
            Type::Tag => {
                if let Some(what) = skip_bignum(&mut decoder) {
                    return fail(what);
                }
            }
            Type::Simple => return fail(ValueProblem::UnknownSimple),
            Type::Int => return fail(ValueProblem::IntegerRange),
            Type::Break | Type::Unknown(_) => return fail(ValueProblem::Malformed),
        }

        if let Some(top) = open.last_mut() {
            top.left -= 1;
        }
        if let Some(container) = opened {
            if open.len() >= limits.depth {
                return fail(ValueProblem::TooDeep { limit: limits.depth });
            }
            // An item takes a byte at least: a longer claim need not be followed to its end.
            let available = u64::try_from(payload.len() - decoder.position()).unwrap_or(u64::MAX);
            if container.left > available {
                return fail(ValueProblem::Truncated);
            }
            if container.left > items_left {
                return fail(ValueProblem::TooManyItems { limit: limits.items });
            }
            open.push(container);
        }
        while let Some(top) = open.last()
            && top.left == 0
        {
            if let Some(start) = top.keys {
                let own = keys.get_mut(start..).unwrap_or_default();
                own.sort_unstable();
                if let Some(pair) = own.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                    let (_, offset) = pair[1];
                    return Err(ValueError { offset, what: ValueProblem::DuplicateKey });
                }
                keys.truncate(start);
            }
            open.pop();
        }
        if open.is_empty() {
            return match decoder.position() {
                end if end == payload.len() => Ok(()),
                end => Err(ValueError { offset: end, what: ValueProblem::Trailing }),
            };
        }
    }
}

/// Goes on behind an integer of up to 128 bits, or says what is wrong with what is there.
fn skip_bignum(decoder: &mut Decoder<'_>) -> Option<ValueProblem> {
    let (Ok(tag), Ok(Type::Bytes)) = (decoder.tag(), decoder.datatype()) else {
        return Some(ValueProblem::Tagged);
    };
    let is_negative = match tag.as_u64() {
        2 => false,
        3 => true,
        _ => return Some(ValueProblem::Tagged),
    };
    let Ok(bytes) = decoder.bytes() else {
        return Some(ValueProblem::Truncated);
    };
    let reaches_the_sign =
        bytes.len() == BIGNUM_BYTES && bytes.first().is_some_and(|first| first & 0x80 != 0);
    let is_beyond = bytes.len() > BIGNUM_BYTES || (is_negative && reaches_the_sign);
    is_beyond.then_some(ValueProblem::IntegerRange)
}

/// Tells a payload that is too short from one that is wrong.
fn classify(error: &minicbor::decode::Error, offset: usize) -> ValueError {
    let what =
        if error.is_end_of_input() { ValueProblem::Truncated } else { ValueProblem::Malformed };
    ValueError { offset, what }
}
