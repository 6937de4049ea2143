//! Calls from the guest to the host.

use crate::channel::{Channel, Claim, TooLarge};
use crate::error::{ErrorData, HostError};
use crate::registry::Import;
use crate::{serve, trace};
use ampoule_abi::channel::{GuestMessage, HostMessage};
use ampoule_wire::failure::{Abort, GuestError};
use ampoule_wire::value::{self, ConversionError, Deserializer, Limits};
use serde::Serialize;

/// What a `#[host_function]` must return; for the compiler's message.
#[diagnostic::on_unimplemented(
    message = "a host function returns `Result<T, HostError>` and not `{Self}`",
    note = "the host may always fail"
)]
pub trait HostOutcome {
    /// The host function's result.
    type Value;
    /// Makes the outcome.
    fn from_result(result: Result<Self::Value, HostError>) -> Self;
}

impl<T> HostOutcome for Result<T, HostError> {
    type Value = T;

    fn from_result(result: Self) -> Self {
        result
    }
}

/// Calls a host function: encodes the arguments by `write`, decodes the answer by `read`.
///
/// # Errors
/// As described at [`HostError::kind`].
pub fn call<T>(
    import: &'static Import,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), ConversionError>,
    read: impl FnOnce(&mut Deserializer<'_>) -> Result<T, ConversionError>,
) -> Result<T, HostError> {
    let fail = |kind: &str, message: String| HostError::local(import.name, kind, message);

    let channel = serve::channel_in_call()
        .ok_or_else(|| fail("NotServing", serve::why_not_in_call().to_owned()))?;
    let mut arguments = Vec::new();
    write(&mut arguments).map_err(|error| fail("InvalidArgument", error.to_string()))?;
    let claim = Claim::take(channel).ok_or_else(|| {
        fail("Reentrant", "called while the SDK converts a value of another call".to_owned())
    })?;
    channel
        .post_from(GuestMessage::HostCall, import.id(), &arguments, trace::current_span())
        .map_err(|error| fail("MessageTooLarge", error.to_string()).with_data(sizes(error)))?;
    drop(arguments);

    let answer = claim.exchange().unwrap_or_else(|error| give_up(channel, error.to_string()));
    let payload = claim.payload(answer);
    match answer.kind {
        HostMessage::HostReturn => {
            let invalid = |error: String| fail("InvalidResult", error);
            value::validate(payload, &Limits::default())
                .map_err(|error| invalid(error.to_string()))?;
            read(&mut Deserializer::new(payload)).map_err(|error| invalid(error.to_string()))
        }
        HostMessage::HostError => match GuestError::decode(payload, &Limits::default()) {
            Ok(error) => Err(HostError::from_host(import.name, error)),
            Err(error) => Err(fail("InvalidResult", error.to_string())),
        },
        HostMessage::Call => {
            give_up(channel, "protocol: a call while the guest waits for an answer".to_owned())
        }
    }
}

/// `{size, limit}` of a message that is too large.
pub(crate) fn sizes(error: TooLarge) -> Option<ErrorData> {
    #[derive(Serialize)]
    struct Sizes {
        size: usize,
        limit: usize,
    }
    ErrorData::new(&Sizes { size: error.size, limit: error.limit })
}

/// Appends the head of an array of `count` arguments.
///
/// # Errors
/// None in practice; the encoder's.
pub fn write_argument_count(count: usize, out: &mut Vec<u8>) -> Result<(), ConversionError> {
    let empty: [(); 0] = [];
    let start = out.len();
    value::encode(&empty, out)?;
    // An array of up to 23 items has a head of one byte, 0x80 + items; of up to 255 two.
    match u8::try_from(count) {
        Ok(count) if count < 24 => out[start] += count,
        Ok(count) => {
            out[start] = 0x98;
            out.push(count);
        }
        Err(_) => return Err(serde::ser::Error::custom("too many arguments")),
    }
    Ok(())
}

fn give_up(channel: &Channel, message: String) -> ! {
    channel.give_up(&Abort { message, ..Abort::default() })
}
