//! What the macros' code calls to convert arguments and results.
//!
//! The macros see names of types and not what they stand for. To treat `Vec<u8>`, `Result` and
//! error types with details specially they rely on method resolution: of several traits with a
//! method of the same name, the one is taken whose `Self` type needs the least adjustment. Each
//! family below says how it has to be called.

use crate::error::ErrorDetails;
use crate::schema::{self, Direction};
use ampoule_wire::failure::GuestError;
use ampoule_wire::value::{self, ConversionError, Deserializer};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::Cell;
use std::convert::Infallible;
use std::fmt::Display;
use std::marker::PhantomData;

/// What a parameter must be; for the compiler's message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot come from the host",
    note = "it must be `serde::Deserialize` and `schemars::JsonSchema`, and borrow nothing but at \
            the top level (`&str`, `&[T]`, `&T`)"
)]
pub trait FromHost: DeserializeOwned + JsonSchema {}

impl<T: DeserializeOwned + JsonSchema> FromHost for T {}

/// What goes to the host; for the compiler's message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot go to the host",
    note = "it must be `serde::Serialize` and `schemars::JsonSchema`"
)]
pub trait ToHost: Serialize + JsonSchema {}

impl<T: Serialize + JsonSchema + ?Sized> ToHost for T {}

/// For the compiler's message, at the place of the type.
pub const fn assert_from_host<T: FromHost>() {}

/// For the compiler's message, at the place of the type.
pub const fn assert_to_host<T: ToHost + ?Sized>() {}

/// The arguments of one call.
#[derive(Debug)]
pub struct Arguments<'de> {
    deserializer: Deserializer<'de>,
    function: &'static str,
    left: u64,
}

impl<'de> Arguments<'de> {
    /// Checks the payload and opens its array.
    pub(crate) fn new(function: &'static str, payload: &'de [u8]) -> Result<Self, GuestError> {
        value::validate(payload, &value::Limits::default())
            .map_err(|error| invalid(format!("arguments of `{function}`: {error}")))?;
        let mut deserializer = Deserializer::new(payload);
        let left = deserializer
            .array()
            .map_err(|error| invalid(format!("arguments of `{function}`: {error}")))?;
        Ok(Self { deserializer, function, left })
    }

    /// Reads the next argument; one that is not there reads as `null`.
    ///
    /// # Errors
    /// Kind `InvalidArgument`, with both names.
    pub fn next<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Deserializer<'_>) -> Result<T, ConversionError>,
    ) -> Result<T, GuestError> {
        let function = self.function;
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                read(&mut self.deserializer)
                    .map_err(|error| invalid(format!("argument `{name}` of `{function}`: {error}")))
            }
            None => read(&mut Deserializer::new(&[0xf6]))
                .map_err(|_| invalid(format!("argument `{name}` of `{function}` is missing"))),
        }
    }

    /// Checks that there are no more.
    ///
    /// # Errors
    /// Kind `InvalidArgument`.
    pub fn finish(self) -> Result<(), GuestError> {
        match self.left {
            0 => Ok(()),
            left => {
                Err(invalid(format!("`{}` was given {left} arguments too many", self.function)))
            }
        }
    }
}

fn invalid(message: String) -> GuestError {
    GuestError { kind: "InvalidArgument".to_owned(), message, data: None }
}

/// A value that will come from the host. `(&Slot::<T>::new()).read(..)` and `.schema(..)`.
#[derive(Debug)]
pub struct Slot<T>(PhantomData<T>);

impl<T> Slot<T> {
    /// A slot for a `T`.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "only the macros' code uses it")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// A [`Slot`] for bytes.
pub trait BytesSlot {
    /// Reads the value.
    ///
    /// # Errors
    /// If it is something else.
    fn read(&self, from: &mut Deserializer<'_>) -> Result<Vec<u8>, ConversionError>;
    /// The type's JSON Schema.
    fn schema(&self, direction: Direction) -> String;
}

impl BytesSlot for Slot<Vec<u8>> {
    fn read(&self, from: &mut Deserializer<'_>) -> Result<Vec<u8>, ConversionError> {
        <crate::Bytes as serde::Deserialize>::deserialize(from).map(Vec::from)
    }

    fn schema(&self, direction: Direction) -> String {
        schema::bytes(direction)
    }
}

/// A [`Slot`] for anything else.
pub trait ValueSlot<T> {
    /// Reads the value.
    ///
    /// # Errors
    /// If it is something else.
    fn read(&self, from: &mut Deserializer<'_>) -> Result<T, ConversionError>;
    /// The type's JSON Schema.
    fn schema(&self, direction: Direction) -> String;
}

impl<T: FromHost> ValueSlot<T> for &Slot<T> {
    fn read(&self, from: &mut Deserializer<'_>) -> Result<T, ConversionError> {
        T::deserialize(from)
    }

    fn schema(&self, direction: Direction) -> String {
        schema::of::<T>(direction)
    }
}

/// A value to be sent. `(&Outgoing(&value)).write(..)`, and `.schema(..)` on a
/// [`Outgoing`] of a type in [`ResultType`].
#[derive(Debug)]
pub struct Outgoing<'a, T: ?Sized>(pub &'a T);

/// [`Outgoing`] bytes.
pub trait OutgoingBytes {
    /// Appends the encoded value.
    ///
    /// # Errors
    /// None.
    fn write(&self, out: &mut Vec<u8>) -> Result<(), ConversionError>;
}

impl OutgoingBytes for Outgoing<'_, Vec<u8>> {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), ConversionError> {
        Outgoing(self.0.as_slice()).write(out)
    }
}

impl OutgoingBytes for Outgoing<'_, [u8]> {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), ConversionError> {
        serde::Serializer::serialize_bytes(&mut value::Serializer::new(out), self.0)
    }
}

/// [`Outgoing`] anything else.
pub trait OutgoingValue {
    /// Appends the encoded value.
    ///
    /// # Errors
    /// If it has no encoded form.
    fn write(&self, out: &mut Vec<u8>) -> Result<(), ConversionError>;
}

impl<T: Serialize + ?Sized> OutgoingValue for &Outgoing<'_, T> {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), ConversionError> {
        value::encode(self.0, out)
    }
}

/// The JSON Schema of what is sent. `(&&&ResultType::<T>::new()).schema()`; a `Result`'s is that of
/// its `Ok` type.
#[derive(Debug)]
pub struct ResultType<T: ?Sized>(PhantomData<T>);

impl<T: ?Sized> ResultType<T> {
    /// The type `T`.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "only the macros' code uses it")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// [`ResultType`] bytes.
pub trait BytesResult {
    /// The type's JSON Schema.
    fn schema(&self) -> String;
}

impl BytesResult for &&ResultType<Vec<u8>> {
    fn schema(&self) -> String {
        schema::bytes(Direction::ToHost)
    }
}

impl<E> BytesResult for &&ResultType<Result<Vec<u8>, E>> {
    fn schema(&self) -> String {
        schema::bytes(Direction::ToHost)
    }
}

/// [`ResultType`] `Result`.
pub trait FallibleResult {
    /// The type's JSON Schema.
    fn schema(&self) -> String;
}

impl<T: ToHost, E> FallibleResult for &ResultType<Result<T, E>> {
    fn schema(&self) -> String {
        schema::of::<T>(Direction::ToHost)
    }
}

/// [`ResultType`] anything else.
pub trait PlainResult {
    /// The type's JSON Schema.
    fn schema(&self) -> String;
}

impl<T: ToHost + ?Sized> PlainResult for ResultType<T> {
    fn schema(&self) -> String {
        schema::of::<T>(Direction::ToHost)
    }
}

/// What a guest function returned. `(&Returned::new(value)).split()`.
pub struct Returned<T>(Cell<Option<T>>);

impl<T> Returned<T> {
    /// Holds `value` until it is split.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self(Cell::new(Some(value)))
    }
}

/// [`Returned`] a `Result`.
pub trait SplitResult<T, E> {
    /// The value. Once only.
    ///
    /// # Errors
    /// The function's own.
    fn split(&self) -> Option<Result<T, E>>;
}

impl<T, E> SplitResult<T, E> for Returned<Result<T, E>> {
    fn split(&self) -> Option<Result<T, E>> {
        self.0.take()
    }
}

/// [`Returned`] a plain value.
pub trait SplitPlain<T> {
    /// The value. Once only.
    ///
    /// # Errors
    /// None.
    fn split(&self) -> Option<Result<T, Infallible>>;
}

impl<T> SplitPlain<T> for &Returned<T> {
    fn split(&self) -> Option<Result<T, Infallible>> {
        self.0.take().map(Ok)
    }
}

/// A guest function's error. `(&Failed(&error)).to_guest_error()`.
#[derive(Debug)]
pub struct Failed<'a, E: ?Sized>(pub &'a E);

/// [`Failed`] with details.
pub trait FailedWithDetails {
    /// The error as it is sent.
    fn to_guest_error(&self) -> GuestError;
}

impl<E: ErrorDetails + ?Sized> FailedWithDetails for Failed<'_, E> {
    fn to_guest_error(&self) -> GuestError {
        GuestError {
            kind: self.0.kind(),
            message: self.0.to_string(),
            data: self.0.data().map(|data| data.0),
        }
    }
}

/// [`Failed`] without details.
pub trait FailedWithMessage {
    /// The error as it is sent.
    fn to_guest_error(&self) -> GuestError;
}

impl<E: Display + ?Sized> FailedWithMessage for &Failed<'_, E> {
    fn to_guest_error(&self) -> GuestError {
        GuestError { kind: "Error".to_owned(), message: self.0.to_string(), data: None }
    }
}

/// A result that has no encoded form.
#[must_use]
pub fn invalid_result(function: &str, error: &ConversionError) -> GuestError {
    let message = format!("the result of `{function}` cannot be sent: {error}");
    GuestError { kind: "InvalidResult".to_owned(), message, data: None }
}
