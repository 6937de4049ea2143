//! Host functions that the macros declare.

use crate::error::HostError;
use crate::serve::{HostCallError, call_host};
use crate::typed::registry::Import;
use ampoule_wire::value::{ConversionError, Deserializer};

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
    call_host(import.id(), write, read).map_err(|error| named(import, error))
}

fn named(import: &'static Import, error: HostCallError) -> HostError {
    match error {
        HostCallError::Failed(error) => HostError::from_host(import.name, error),
        HostCallError::Local { kind, message, data } => {
            HostError::local(import.name, kind, message).with_data(data)
        }
    }
}
