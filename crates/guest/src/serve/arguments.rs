//! The arguments of a call, and refusing them.

use crate::channel::{Channel, Claim, Received};
use crate::error::ErrorData;
use crate::serve::panics::abort;
use ampoule_wire::failure::GuestError;
use ampoule_wire::value::{self, ConversionError, Deserializer};
use serde::Serialize;

/// Where the arguments of a call stand. To be read before anything calls a host function, whose answer
/// replaces them.
#[derive(Debug)]
pub struct CallArguments<'a>(Place<'a>);

#[derive(Debug)]
enum Place<'a> {
    Channel(&'static Channel, Received),
    Memory(&'a [u8]),
}

impl CallArguments<'static> {
    /// Those that were received last.
    pub(crate) fn received(channel: &'static Channel, call: Received) -> Self {
        Self(Place::Channel(channel, call))
    }
}

impl<'a> CallArguments<'a> {
    /// The encoded array `payload`, for tests.
    #[must_use]
    pub const fn of(payload: &'a [u8]) -> Self {
        Self(Place::Memory(payload))
    }

    /// Runs `read` over the encoded arguments: an array, as the host made it. [`Arguments`] checks it and
    /// takes it apart. Host functions cannot be called meanwhile.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn read<T>(
        self,
        read: impl FnOnce(&[u8]) -> Result<T, GuestError>,
    ) -> Result<T, GuestError> {
        match self.0 {
            Place::Channel(channel, call) => {
                let Some(claim) = Claim::take(channel) else {
                    abort(channel, "the channel is in use outside a call".to_owned())
                };
                read(claim.payload(call))
            }
            Place::Memory(payload) => read(payload),
        }
    }
}

/// The arguments of one call, one after the other.
#[derive(Debug)]
pub struct Arguments<'a> {
    deserializer: Deserializer<'a>,
    function: &'a str,
    left: u64,
}

impl<'a> Arguments<'a> {
    /// Checks the encoded arguments of `function` and opens their array.
    ///
    /// # Errors
    /// Kind `InvalidArgument`.
    pub fn new(function: &'a str, payload: &'a [u8]) -> Result<Self, GuestError> {
        value::validate(payload, &value::Limits::default())
            .map_err(|error| refused(function, None, &error.to_string()))?;
        let mut deserializer = Deserializer::new(payload);
        let left =
            deserializer.array().map_err(|error| refused(function, None, &error.to_string()))?;
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
                    .map_err(|error| refused(function, Some(name), &error.to_string()))
            }
            None => read(&mut Deserializer::new(&[0xf6]))
                .map_err(|_| refused(function, Some(name), "it is missing")),
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
                Err(refused(self.function, None, &format!("there are {left} arguments too many")))
            }
        }
    }
}

/// What the host takes for a refusal of its arguments rather than for an error of the function, which
/// did not run.
#[derive(Serialize)]
struct Refusal<'a> {
    function: &'a str,
    parameter: Option<&'a str>,
    refused: &'a str,
}

fn refused(function: &str, parameter: Option<&str>, why: &str) -> GuestError {
    let what = match parameter {
        Some(name) => format!("argument `{name}` of `{function}`"),
        None => format!("arguments of `{function}`"),
    };
    let refusal = Refusal { function, parameter, refused: why };
    GuestError {
        kind: "InvalidArgument".to_owned(),
        message: format!("{what}: {why}"),
        data: ErrorData::new(&refusal).map(|ErrorData(data)| data),
    }
}

/// A result that has no encoded form.
#[must_use]
pub fn invalid_result(function: &str, error: &ConversionError) -> GuestError {
    let message = format!("the result of `{function}` cannot be sent: {error}");
    GuestError { kind: "InvalidResult".to_owned(), message, data: None }
}
