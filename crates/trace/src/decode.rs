//! From the bytes of a batch to records.
//!
//! Pure functions, which verify a record before they look at it, never panic, and borrow its texts from
//! the bytes. Decoding takes time linear in the input and memory of at most 16 times its size: a field of
//! 20 bytes becomes one of 48, and shared parts, by which a small FlatBuffer can describe a huge one,
//! count each time they are used.

use ampoule_wire::trace::{Callsite, Field, FieldName, Kind, Level, Record, Value, schema};
use flatbuffers::{ForwardsUOffset, Vector, VerifierOptions};
use std::borrow::Cow;

/// Bytes of a record's size prefix.
const PREFIX: usize = 4;
/// Every record takes a multiple of this.
const ALIGNMENT: usize = 8;
/// Fields of a record, and names of a callsite.
const FIELDS_MAX: usize = 1024;

/// Bytes that are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset} of the batch: {what}")]
pub struct DecodeError {
    /// Where the record begins, from the start of what was given.
    pub offset: usize,
    /// What is wrong with it.
    pub what: String,
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
    read(record).map(|record| Some((record, rest))).map_err(|what| DecodeError { offset: 0, what })
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

fn read(bytes: &[u8]) -> Result<Record<'_>, String> {
    // The verifier reads the prefix and the root's offset without looking whether they are there.
    if bytes.len() < PREFIX + 8 {
        return Err(format!("{} bytes are no record", bytes.len()));
    }
    let options = VerifierOptions {
        max_depth: 8,
        max_tables: FIELDS_MAX + 2,
        max_apparent_size: 2 * bytes.len(),
        ..VerifierOptions::default()
    };
    let record = schema::size_prefixed_root_as_record_with_opts(&options, bytes)
        .map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())?;
    if let Some(from) = record.body_as_open_span() {
        return Ok(Record::OpenSpan {
            id: from.id(),
            parent: from.parent(),
            callsite: from.callsite(),
            tsc: from.tsc(),
            fields: fields(from.fields())?,
            truncated: from.truncated(),
        });
    }
    if let Some(from) = record.body_as_close_span() {
        return Ok(Record::CloseSpan { id: from.id(), tsc: from.tsc() });
    }
    if let Some(from) = record.body_as_event() {
        return Ok(Record::Event {
            span: from.span(),
            callsite: from.callsite(),
            tsc: from.tsc(),
            fields: fields(from.fields())?,
            truncated: from.truncated(),
        });
    }
    if let Some(from) = record.body_as_call_start() {
        return Ok(Record::CallStart { tsc: from.tsc() });
    }
    if let Some(from) = record.body_as_callsite() {
        return callsite(&from).map(Record::Callsite);
    }
    if let Some(from) = record.body_as_edit_span() {
        return Ok(Record::EditSpan {
            id: from.id(),
            fields: fields(from.fields())?,
            truncated: from.truncated(),
        });
    }
    Err(format!("unknown kind of record {}", record.body_type().0))
}

fn callsite<'a>(from: &schema::Callsite<'a>) -> Result<Callsite<'a>, String> {
    let names: Vec<&str> = from.fields().into_iter().flatten().collect();
    if names.len() > FIELDS_MAX {
        return Err(format!("{} names of fields, the limit is {FIELDS_MAX}", names.len()));
    }
    let (level, kind) = (from.level().0, from.kind().0);
    Ok(Callsite {
        id: from.id(),
        name: from.name().unwrap_or_default(),
        target: from.target().unwrap_or_default(),
        level: Level::from_wire(level).ok_or_else(|| format!("unknown level {level}"))?,
        kind: Kind::from_wire(kind).ok_or_else(|| format!("unknown kind {kind}"))?,
        file: from.file(),
        line: from.line(),
        fields: Cow::Owned(names),
    })
}

type FieldList<'a> = Option<Vector<'a, ForwardsUOffset<schema::Field<'a>>>>;

fn fields(list: FieldList<'_>) -> Result<Cow<'_, [Field<'_>]>, String> {
    list.into_iter()
        .flatten()
        .map(|from| field(&from))
        .collect::<Result<Vec<_>, _>>()
        .map(Cow::Owned)
}

fn field<'a>(from: &schema::Field<'a>) -> Result<Field<'a>, String> {
    let value = match from.type_() {
        schema::Type::Bool => Value::Bool(from.bits() != 0),
        schema::Type::Signed => Value::Signed(from.bits().cast_signed()),
        schema::Type::Unsigned => Value::Unsigned(from.bits()),
        schema::Type::Float => Value::Float(f64::from_bits(from.bits())),
        schema::Type::Text => Value::Text(from.text().unwrap_or_default()),
        schema::Type(other) => return Err(format!("unknown type of field {other}")),
    };
    let name = from.name().map_or(FieldName::Index(from.index()), FieldName::Text);
    Ok(Field { name, value })
}

#[cfg(test)]
mod tests;
