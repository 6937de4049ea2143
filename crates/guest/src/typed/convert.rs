//! What the macros' code calls to convert arguments and results.
//!
//! The macros see names of types and not what they stand for. To treat `Vec<u8>`, `Result` and
//! error types with details specially they rely on method resolution: of several traits with a
//! method of the same name, the one is taken whose `Self` type needs the least adjustment. Each
//! family below says how it has to be called.

use crate::bytes::Bytes;
use crate::error::ErrorDetails;
use crate::typed::schema::{self, Direction};
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
    label = "cannot come from the host",
    note = "it must be `serde::Deserialize` and `schemars::JsonSchema`, and borrow nothing but at \
            the top level (`&str`, `&[T]`, `&T`)"
)]
pub trait FromHost: DeserializeOwned + JsonSchema {}

impl<T: DeserializeOwned + JsonSchema> FromHost for T {}

/// What goes to the host; for the compiler's message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot go to the host",
    label = "cannot go to the host",
    note = "it must be `serde::Serialize` and `schemars::JsonSchema`: derive both"
)]
pub trait ToHost: Serialize + JsonSchema {}

impl<T: Serialize + JsonSchema + ?Sized> ToHost for T {}

/// What the host is told about; for the compiler's message.
#[diagnostic::on_unimplemented(
    message = "the host cannot be told what `{Self}` is",
    label = "has no description",
    note = "it must be `schemars::JsonSchema`: derive it"
)]
pub trait Described: JsonSchema {}

impl<T: JsonSchema + ?Sized> Described for T {}

/// What a guest function's error must be; for the compiler's message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a guest function",
    label = "cannot be an error",
    note = "it must be `std::fmt::Display`, which gives the error its message; with \
            `ampoule_guest::ErrorDetails` it has a kind and data, too"
)]
pub trait ErrorToHost: Display {}

impl<E: Display + ?Sized> ErrorToHost for E {}

/// A value that will cross the boundary. `(&Slot::<T>::new()).read(..)` and `.schema(..)`.
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
        <Bytes as serde::Deserialize>::deserialize(from).map(Vec::from)
    }

    fn schema(&self, direction: Direction) -> String {
        schema::bytes(direction)
    }
}

/// A [`Slot`] for anything else. Here and below the last trait of a family is there for every type and
/// its method asks for what is needed: then the compiler speaks of the type, and not of how it was
/// looked for.
pub trait ValueSlot<T> {
    /// Reads the value.
    ///
    /// # Errors
    /// If it is something else.
    fn read(&self, from: &mut Deserializer<'_>) -> Result<T, ConversionError>
    where
        T: FromHost;
    /// The type's JSON Schema.
    fn schema(&self, direction: Direction) -> String
    where
        T: Described;
}

impl<T> ValueSlot<T> for &Slot<T> {
    fn read(&self, from: &mut Deserializer<'_>) -> Result<T, ConversionError>
    where
        T: FromHost,
    {
        T::deserialize(from)
    }

    fn schema(&self, direction: Direction) -> String
    where
        T: Described,
    {
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
pub trait OutgoingValue<T: ?Sized> {
    /// Appends the encoded value.
    ///
    /// # Errors
    /// If it has no encoded form.
    fn write(&self, out: &mut Vec<u8>) -> Result<(), ConversionError>
    where
        T: ToHost;
}

impl<T: ?Sized> OutgoingValue<T> for &Outgoing<'_, T> {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), ConversionError>
    where
        T: ToHost,
    {
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
pub trait FallibleResult<T> {
    /// The type's JSON Schema.
    fn schema(&self) -> String
    where
        T: ToHost;
}

impl<T, E> FallibleResult<T> for &ResultType<Result<T, E>> {
    fn schema(&self) -> String
    where
        T: ToHost,
    {
        schema::of::<T>(Direction::ToHost)
    }
}

/// [`ResultType`] anything else.
pub trait PlainResult<T: ?Sized> {
    /// The type's JSON Schema.
    fn schema(&self) -> String
    where
        T: ToHost;
}

impl<T: ?Sized> PlainResult<T> for ResultType<T> {
    fn schema(&self) -> String
    where
        T: ToHost,
    {
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
pub trait FailedWithMessage<E: ?Sized> {
    /// The error as it is sent.
    fn to_guest_error(&self) -> GuestError
    where
        E: ErrorToHost;
}

impl<E: ?Sized> FailedWithMessage<E> for &Failed<'_, E> {
    fn to_guest_error(&self) -> GuestError
    where
        E: ErrorToHost,
    {
        GuestError { kind: "Error".to_owned(), message: self.0.to_string(), data: None }
    }
}
