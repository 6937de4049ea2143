//! Calls from the guest to the host.

use crate::channel::{Channel, Claim, Received, TooLarge, current};
use crate::error::{ErrorData, of_host_function};
use crate::serve::panics::abort;
use crate::trace;
use ampoule_abi::channel::{GuestMessage, HostMessage};
use ampoule_wire::failure::GuestError;
use ampoule_wire::value::{self, ConversionError, Deserializer, Limits};
use serde::Serialize;

/// A host function gave no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostCallError {
    /// It failed.
    Failed(GuestError),
    /// It could not be called, or its result not be read.
    Local {
        /// As described at [`crate::HostError::kind`].
        kind: &'static str,
        /// What went wrong.
        message: String,
        /// Numbers that belong to it.
        data: Option<ErrorData>,
    },
}

impl HostCallError {
    /// The error of a guest function that the failed call of `function` has ended. The host recognises its own
    /// error in it, and gives the user's as the cause.
    #[must_use]
    pub fn into_guest_error(self, function: &str) -> GuestError {
        let (kind, message, data) = match self {
            Self::Failed(GuestError { kind, message, data }) => {
                let data = of_host_function(function, &kind, data.map(ErrorData).as_ref());
                ("HostError".to_owned(), message, data)
            }
            Self::Local { kind, message, data } => (kind.to_owned(), message, data),
        };
        let message = format!("host function `{function}`: {message}");
        GuestError { kind, message, data: data.map(|ErrorData(data)| data) }
    }

    fn local(kind: &'static str, message: String) -> Self {
        Self::Local { kind, message, data: None }
    }
}

/// Calls the host function at `index` among the imports: encodes the arguments, an array, by `write`, and
/// decodes the answer by `read`. Leaves the virtual machine once.
///
/// # Errors
/// [`HostCallError`].
pub fn call_host<T>(
    index: u32,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), ConversionError>,
    read: impl FnOnce(&mut Deserializer<'_>) -> Result<T, ConversionError>,
) -> Result<T, HostCallError> {
    let channel = current::in_call().ok_or_else(not_in_call)?;
    let mut arguments = Vec::new();
    write(&mut arguments).map_err(invalid_argument)?;
    let (claim, answer) = exchange(channel, index, arguments)?;
    read(&mut Deserializer::new(claim.payload(answer))).map_err(invalid_answer)
}

/// Asks the host, and gives a result that was validated. Not generic, as all that can be: it is there once for
/// all host functions.
fn exchange(
    channel: &'static Channel,
    index: u32,
    arguments: Vec<u8>,
) -> Result<(Claim<'static>, Received), HostCallError> {
    let claim = Claim::take(channel).ok_or_else(|| {
        let what = "called while the SDK converts a value of another call";
        HostCallError::local("Reentrant", what.to_owned())
    })?;
    channel.post_from(GuestMessage::HostCall, index, &arguments, trace::current_span()).map_err(
        |error| HostCallError::Local {
            kind: "MessageTooLarge",
            message: error.to_string(),
            data: sizes(error),
        },
    )?;
    drop(arguments);

    let answer = claim.exchange().unwrap_or_else(|error| abort(channel, error.to_string()));
    let payload = claim.payload(answer);
    let invalid = |error: String| HostCallError::local("InvalidResult", error);
    match answer.kind {
        HostMessage::HostReturn => match value::validate(payload, &Limits::default()) {
            Ok(_) => Ok((claim, answer)),
            Err(error) => Err(invalid(error.to_string())),
        },
        HostMessage::HostError => match GuestError::decode(payload, &Limits::default()) {
            Ok(error) => Err(HostCallError::Failed(error)),
            Err(error) => Err(invalid(error.to_string())),
        },
        HostMessage::Call => {
            abort(channel, "protocol: a call while the guest waits for an answer".to_owned())
        }
    }
}

fn not_in_call() -> HostCallError {
    HostCallError::local("NotServing", current::why_not_in_call().to_owned())
}

fn invalid_argument(error: ConversionError) -> HostCallError {
    HostCallError::local("InvalidArgument", error.to_string())
}

fn invalid_answer(error: ConversionError) -> HostCallError {
    HostCallError::local("InvalidResult", error.to_string())
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
