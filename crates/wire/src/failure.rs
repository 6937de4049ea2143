//! Failures that cross the channel: guest errors, host errors and aborts.
//!
//! Encoders shorten what is too long; decoders refuse it.

use crate::value::{Limits, ValueError, validate};
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

/// Bytes of a [`GuestError::kind`].
pub const KIND_LIMIT: usize = 256;
/// Bytes of a message.
pub const MESSAGE_LIMIT: usize = 64 << 10;
/// Bytes of an [`Abort::file`].
pub const FILE_LIMIT: usize = 4096;
/// Entries of an [`Abort::backtrace`].
pub const BACKTRACE_LIMIT: usize = 256;

/// An error that a function returned: a guest's (`Error`) or a host function's (`HostError`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestError {
    /// For programs: a name such as `NotFound`.
    pub kind: String,
    /// For people.
    pub message: String,
    /// One encoded value; its meaning depends on `kind`.
    pub data: Option<Vec<u8>>,
}

/// A guest gave up, usually because of a panic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Abort {
    /// What happened.
    pub message: String,
    /// Source file, if known.
    pub file: Option<String>,
    /// Line in `file`, from 1.
    pub line: Option<u32>,
    /// Column in `line`, from 1.
    pub column: Option<u32>,
    /// Addresses of the active call instructions, innermost first, as in the guest's memory.
    pub backtrace: Vec<u64>,
}

/// Bytes that are not a failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FailureError {
    /// Not a value at all.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// Not a map.
    #[error("a failure must be a map")]
    NotAMap,
    /// A field that must be there is not.
    #[error("the field `{field}` is missing")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// A field of another type.
    #[error("the field `{field}` must be {expected}")]
    WrongType {
        /// Its name.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A field that is longer than allowed.
    #[error("the field `{field}` has {length} bytes or items, the limit is {limit}")]
    TooLong {
        /// Its name.
        field: &'static str,
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
}

impl GuestError {
    /// The payload of an `Error` or `HostError` message.
    ///
    /// `data` must be one encoded value; it is not looked into.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        write(|encoder| {
            encoder.map(if self.data.is_some() { 3 } else { 2 })?;
            encoder.str("kind")?.str(shorten(&self.kind, KIND_LIMIT))?;
            encoder.str("message")?.str(shorten(&self.message, MESSAGE_LIMIT))?;
            if let Some(data) = &self.data {
                encoder.str("data")?.writer_mut().extend_from_slice(data);
            }
            Ok(())
        })
    }

    /// Reads the payload of an `Error` or `HostError` message; unknown fields are ignored.
    ///
    /// # Errors
    /// [`FailureError`], for anything that is not a value within `limits` or not a guest error.
    pub fn decode(payload: &[u8], limits: &Limits) -> Result<Self, FailureError> {
        let (mut kind, mut message, mut data) = (None, None, None);
        fields(payload, limits, |key, decoder| {
            match key {
                "kind" => kind = Some(text(decoder, "kind", KIND_LIMIT)?),
                "message" => message = Some(text(decoder, "message", MESSAGE_LIMIT)?),
                "data" => {
                    let start = decoder.position();
                    skip(decoder)?;
                    data = payload.get(start..decoder.position()).map(<[u8]>::to_vec);
                }
                _ => skip(decoder)?,
            }
            Ok(())
        })?;
        Ok(Self {
            kind: kind.ok_or(FailureError::Missing { field: "kind" })?,
            message: message.ok_or(FailureError::Missing { field: "message" })?,
            data,
        })
    }
}

impl Abort {
    /// The payload of an `Abort` message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let optional = [self.file.is_some(), self.line.is_some(), self.column.is_some()];
        let present = optional.iter().map(|&is_there| u64::from(is_there)).sum::<u64>();
        write(|encoder| {
            encoder.map(2 + present)?;
            encoder.str("message")?.str(shorten(&self.message, MESSAGE_LIMIT))?;
            if let Some(file) = &self.file {
                encoder.str("file")?.str(shorten(file, FILE_LIMIT))?;
            }
            if let Some(line) = self.line {
                encoder.str("line")?.u32(line)?;
            }
            if let Some(column) = self.column {
                encoder.str("column")?.u32(column)?;
            }
            let frames = &self.backtrace[..self.backtrace.len().min(BACKTRACE_LIMIT)];
            encoder.str("backtrace")?.array(u64::try_from(frames.len()).unwrap_or(0))?;
            for &address in frames {
                encoder.u64(address)?;
            }
            Ok(())
        })
    }

    /// Reads the payload of an `Abort` message; unknown fields are ignored.
    ///
    /// # Errors
    /// [`FailureError`], for anything that is not a value within `limits` or not an abort.
    pub fn decode(payload: &[u8], limits: &Limits) -> Result<Self, FailureError> {
        let mut message = None;
        let mut abort = Self::default();
        fields(payload, limits, |key, decoder| {
            match key {
                "message" => message = Some(text(decoder, "message", MESSAGE_LIMIT)?),
                "file" => abort.file = Some(text(decoder, "file", FILE_LIMIT)?),
                "line" => abort.line = Some(number(decoder, "line")?),
                "column" => abort.column = Some(number(decoder, "column")?),
                "backtrace" => abort.backtrace = addresses(decoder)?,
                _ => skip(decoder)?,
            }
            Ok(())
        })?;
        abort.message = message.ok_or(FailureError::Missing { field: "message" })?;
        Ok(abort)
    }
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

/// Runs `body` over a new vector, to which writing cannot fail.
fn write(body: impl FnOnce(&mut Encoder<Vec<u8>>) -> Written) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    // The only possible error is the vector's, and that type has no value.
    let written = body(&mut encoder);
    debug_assert!(written.is_ok());
    encoder.into_writer()
}

/// The longest beginning of `text` that has at most `limit` bytes.
fn shorten(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// Validates `payload` and hands each entry of its map to `field`, which must consume the value.
fn fields(
    payload: &[u8],
    limits: &Limits,
    mut field: impl FnMut(&str, &mut Decoder<'_>) -> Result<(), FailureError>,
) -> Result<(), FailureError> {
    validate(payload, limits)?;
    let mut decoder = Decoder::new(payload);
    let Ok(Some(entries)) = decoder.map() else {
        return Err(FailureError::NotAMap);
    };
    for _ in 0..entries {
        let key = decoder.str().map_err(|_| FailureError::NotAMap)?;
        field(key, &mut decoder)?;
    }
    Ok(())
}

// The helpers below run on validated bytes: what fails is a type, never the encoding.

fn skip(decoder: &mut Decoder<'_>) -> Result<(), FailureError> {
    decoder.skip().map_err(|_| FailureError::NotAMap)
}

fn text(
    decoder: &mut Decoder<'_>,
    field: &'static str,
    limit: usize,
) -> Result<String, FailureError> {
    match decoder.str() {
        Ok(text) if text.len() <= limit => Ok(text.to_owned()),
        Ok(text) => Err(FailureError::TooLong { field, length: text.len(), limit }),
        Err(_) => Err(FailureError::WrongType { field, expected: "text" }),
    }
}

fn number(decoder: &mut Decoder<'_>, field: &'static str) -> Result<u32, FailureError> {
    decoder.u32().map_err(|_| FailureError::WrongType { field, expected: "a 32-bit number" })
}

fn addresses(decoder: &mut Decoder<'_>) -> Result<Vec<u64>, FailureError> {
    let field = "backtrace";
    let wrong = FailureError::WrongType { field, expected: "an array of addresses" };
    if !matches!(decoder.datatype(), Ok(Type::Array)) {
        return Err(wrong);
    }
    let Ok(Some(length)) = decoder.array() else {
        return Err(wrong);
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > BACKTRACE_LIMIT {
        return Err(FailureError::TooLong { field, length, limit: BACKTRACE_LIMIT });
    }
    (0..length).map(|_| decoder.u64().map_err(|_| wrong.clone())).collect()
}

#[cfg(test)]
mod tests;
