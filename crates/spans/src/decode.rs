//! From the bytes of a batch to records.
//!
//! Pure functions, which check all that they look at ([`crate::table`]), never panic, and borrow texts from
//! the bytes. Decoding takes time linear in the input and memory of at most 12 times its size: a field takes
//! at least 8 bytes of twice the record's length, and becomes one of 48.

use crate::table::{Buffer, Malformed, Table};
use ampoule_wire::trace::{Callsite, Field, FieldName, Kind, Level, Record, Value};
use std::borrow::Cow;

/// Bytes of a record's size prefix.
const PREFIX: usize = 4;
/// Every record takes a multiple of this.
const ALIGNMENT: usize = 8;

/// Bytes that are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset} of the batch: {what}")]
pub struct DecodeError {
    /// Where the record begins, from the start of what was given.
    pub offset: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// All records of `bytes`, and the rest: the beginning of a record that is not complete.
///
/// # Errors
/// [`DecodeError`] for the first record that is malformed.
pub fn decode(bytes: &[u8]) -> Result<(Vec<Record<'_>>, &[u8]), DecodeError> {
    let mut records = Vec::new();
    let mut rest = bytes;
    loop {
        let offset = bytes.len() - rest.len();
        match decode_record(rest) {
            Ok(Some((record, behind))) => {
                records.push(record);
                rest = behind;
            }
            Ok(None) => return Ok((records, rest)),
            Err(error) => return Err(DecodeError { offset: offset + error.offset, ..error }),
        }
    }
}

/// The first record of `bytes` and what follows it; `None` when it is not complete.
///
/// # Errors
/// [`DecodeError`]; [`skip`] leads behind such a record.
pub fn decode_record(bytes: &[u8]) -> Result<Option<(Record<'_>, &[u8])>, DecodeError> {
    let Some((record, rest)) = split(bytes) else { return Ok(None) };
    let read = read(record).map(|record| Some((record, rest)));
    read.map_err(|what| DecodeError { offset: 0, what })
}

/// What follows the first record of `bytes`, whatever that is; `None` when it is not complete.
pub(crate) fn skip(bytes: &[u8]) -> Option<&[u8]> {
    split(bytes).map(|(_, rest)| rest)
}

/// The bytes of the first record without its padding, and what follows.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let prefix = u32::from_le_bytes(*bytes.first_chunk::<PREFIX>()?);
    let size = usize::try_from(prefix).ok()?.checked_add(PREFIX)?;
    let padded = size.checked_next_multiple_of(ALIGNMENT)?;
    let rest = bytes.get(padded..)?;
    Some((bytes.get(..size)?, rest))
}

fn read(bytes: &[u8]) -> Result<Record<'_>, Malformed> {
    use slot::{callsite, close_span, edit_span, event, link_span, open_span};

    let buffer = Buffer::new(bytes);
    let record = buffer.table(PREFIX)?;
    let body = record.table(slot::record::BODY)?.ok_or("a record without a body")?;
    Ok(match record.u8(slot::record::TYPE)? {
        slot::record::CALL_START => Record::CallStart { tsc: body.u64(slot::call_start::TSC)? },
        slot::record::CALLSITE => {
            let level = body.u8(callsite::LEVEL)?;
            Record::Callsite(Callsite {
                id: body.u32(callsite::ID)?,
                name: body.text(callsite::NAME)?.unwrap_or_default(),
                target: body.text(callsite::TARGET)?.unwrap_or_default(),
                level: Level::from_wire(level).ok_or("an unknown level")?,
                kind: Kind::from_wire(body.u8(callsite::KIND)?).ok_or("an unknown kind")?,
                file: body.text(callsite::FILE)?,
                line: body.u32(callsite::LINE)?,
                fields: Cow::Owned(body.texts(callsite::FIELDS)?),
            })
        }
        slot::record::OPEN_SPAN => Record::OpenSpan {
            id: body.u64(open_span::ID)?,
            parent: body.u64(open_span::PARENT)?,
            callsite: body.u32(open_span::CALLSITE)?,
            tsc: body.u64(open_span::TSC)?,
            fields: fields(body, open_span::FIELDS)?,
            truncated: body.bool(open_span::TRUNCATED)?,
            closed: body.u64(open_span::CLOSED)?,
        },
        slot::record::EDIT_SPAN => Record::EditSpan {
            id: body.u64(edit_span::ID)?,
            fields: fields(body, edit_span::FIELDS)?,
            truncated: body.bool(edit_span::TRUNCATED)?,
        },
        slot::record::CLOSE_SPAN => Record::CloseSpan {
            id: body.u64(close_span::ID)?,
            tsc: body.u64(close_span::TSC)?,
            unwinding: body.bool(close_span::UNWINDING)?,
        },
        slot::record::LINK_SPAN => {
            Record::LinkSpan { id: body.u64(link_span::ID)?, from: body.u64(link_span::FROM)? }
        }
        slot::record::EVENT => Record::Event {
            span: body.u64(event::SPAN)?,
            callsite: body.u32(event::CALLSITE)?,
            tsc: body.u64(event::TSC)?,
            fields: fields(body, event::FIELDS)?,
            truncated: body.bool(event::TRUNCATED)?,
        },
        _ => return Err("an unknown kind of record"),
    })
}

fn fields<'a>(body: Table<'_, 'a>, slot: usize) -> Result<Cow<'a, [Field<'a>]>, Malformed> {
    body.tables(slot, field).map(Cow::Owned)
}

fn field<'a>(from: Table<'_, 'a>) -> Result<Field<'a>, Malformed> {
    use slot::field;

    let value = match from.u8(field::TYPE)? {
        field::BOOL => Value::Bool(from.u64(field::BITS)? != 0),
        field::SIGNED => Value::Signed(from.u64(field::BITS)?.cast_signed()),
        field::UNSIGNED => Value::Unsigned(from.u64(field::BITS)?),
        field::FLOAT => Value::Float(f64::from_bits(from.u64(field::BITS)?)),
        field::TEXT => Value::Text(from.text(field::TEXT_SLOT)?.unwrap_or_default()),
        _ => return Err("an unknown type of field"),
    };
    let name = match from.text(field::NAME)? {
        Some(name) => FieldName::Text(name),
        None => FieldName::Index(from.u16(field::INDEX)?),
    };
    Ok(Field { name, value })
}

/// Numbers of the fields of `schema/trace.fbs`, in its order (a union takes two), and of its variants. The
/// tests compare them with what flatc makes of the schema.
mod slot {
    pub(super) mod record {
        pub(crate) const TYPE: usize = 0;
        pub(crate) const BODY: usize = 1;
        pub(crate) const CALL_START: u8 = 1;
        pub(crate) const CALLSITE: u8 = 2;
        pub(crate) const OPEN_SPAN: u8 = 3;
        pub(crate) const EDIT_SPAN: u8 = 4;
        pub(crate) const CLOSE_SPAN: u8 = 5;
        pub(crate) const EVENT: u8 = 6;
        pub(crate) const LINK_SPAN: u8 = 7;
    }
    pub(super) mod field {
        pub(crate) const INDEX: usize = 0;
        pub(crate) const NAME: usize = 1;
        pub(crate) const TYPE: usize = 2;
        pub(crate) const BITS: usize = 3;
        pub(crate) const TEXT_SLOT: usize = 4;
        pub(crate) const BOOL: u8 = 0;
        pub(crate) const SIGNED: u8 = 1;
        pub(crate) const UNSIGNED: u8 = 2;
        pub(crate) const FLOAT: u8 = 3;
        pub(crate) const TEXT: u8 = 4;
    }
    pub(super) mod call_start {
        pub(crate) const TSC: usize = 0;
    }
    pub(super) mod callsite {
        pub(crate) const ID: usize = 0;
        pub(crate) const NAME: usize = 1;
        pub(crate) const TARGET: usize = 2;
        pub(crate) const LEVEL: usize = 3;
        pub(crate) const KIND: usize = 4;
        pub(crate) const FILE: usize = 5;
        pub(crate) const LINE: usize = 6;
        pub(crate) const FIELDS: usize = 7;
    }
    pub(super) mod open_span {
        pub(crate) const ID: usize = 0;
        pub(crate) const PARENT: usize = 1;
        pub(crate) const CALLSITE: usize = 2;
        pub(crate) const TSC: usize = 3;
        pub(crate) const FIELDS: usize = 4;
        pub(crate) const TRUNCATED: usize = 5;
        pub(crate) const CLOSED: usize = 6;
    }
    pub(super) mod edit_span {
        pub(crate) const ID: usize = 0;
        pub(crate) const FIELDS: usize = 1;
        pub(crate) const TRUNCATED: usize = 2;
    }
    pub(super) mod close_span {
        pub(crate) const ID: usize = 0;
        pub(crate) const TSC: usize = 1;
        pub(crate) const UNWINDING: usize = 2;
    }
    pub(super) mod link_span {
        pub(crate) const ID: usize = 0;
        pub(crate) const FROM: usize = 1;
    }
    pub(super) mod event {
        pub(crate) const SPAN: usize = 0;
        pub(crate) const CALLSITE: usize = 1;
        pub(crate) const TSC: usize = 2;
        pub(crate) const FIELDS: usize = 3;
        pub(crate) const TRUNCATED: usize = 4;
    }
}

#[cfg(test)]
mod tests;
