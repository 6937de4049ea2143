//! Functions that call the host.

use crate::echo::Shape;
use ampoule_guest::{Bytes, Error, HostError, guest_function, host_function};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A user, as the host knows it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct User {
    id: u32,
    name: String,
}

/// Gives the number that belongs to an id.
#[host_function]
pub(crate) fn fetch_number(id: i32) -> Result<i32, HostError>;

/// Gives a user, or none.
#[host_function]
fn fetch_user(id: u32) -> Result<Option<User>, HostError>;

/// Takes a line for the log.
#[host_function]
fn log_line(line: &str) -> Result<(), HostError>;

/// Changes bytes.
#[host_function]
fn transform(bytes: &[u8]) -> Result<Vec<u8>, HostError>;

/// Takes one of each kind of argument.
#[host_function]
fn describe_values(
    number: i64,
    float: f64,
    shape: &Shape,
    optional: Option<String>,
    bytes: Bytes,
) -> Result<String, HostError>;

/// `fetch_number(0)`, for other modules.
pub(crate) fn ask_host() -> Result<i32, HostError> {
    fetch_number(0)
}

/// The sum of `fetch_number(0)` to `fetch_number(count - 1)`.
#[guest_function]
fn sum_via_host(count: i32) -> Result<i64, HostError> {
    (0..count).map(|id| fetch_number(id).map(i64::from)).sum()
}

/// Greets the user, whom the host knows.
#[guest_function]
fn greet_user(id: u32) -> Result<String, HostError> {
    Ok(match fetch_user(id)? {
        Some(User { name, .. }) => format!("Hello {name}"),
        None => "Hello stranger".to_owned(),
    })
}

/// Calls `log_line`.
#[guest_function]
fn log_via_host(line: String) -> Result<(), HostError> {
    log_line(&line)
}

/// Calls `transform`.
#[guest_function]
fn transform_via_host(bytes: Vec<u8>) -> Result<Vec<u8>, HostError> {
    transform(&bytes)
}

/// Calls `transform` with bytes of a given number.
#[guest_function]
fn send_to_host(length: u32) -> Result<usize, HostError> {
    transform(&vec![7; length as usize]).map(|bytes| bytes.len())
}

/// Calls `describe_values` with fixed values.
#[guest_function]
fn describe_via_host() -> Result<String, HostError> {
    describe_values(i64::MIN, 0.5, &Shape::Empty, None, Bytes(vec![1, 2, 3]))
}

/// Calls `fetch_number` and turns its failure into text: `<kind>: <message>`.
#[guest_function]
fn host_error_handled(id: i32) -> String {
    match fetch_number(id) {
        Ok(number) => number.to_string(),
        Err(error) => format!("{}: {}", error.kind(), error.message()),
    }
}

/// Calls `fetch_number` and passes its failure on as it is.
#[guest_function]
fn host_error_unhandled(id: i32) -> Result<i32, HostError> {
    fetch_number(id)
}

/// Calls `fetch_number` and wraps its failure into an error of kind `Wrapped`.
#[guest_function]
fn host_error_wrapped(id: i32) -> Result<i32, Error> {
    fetch_number(id).map_err(|error| Error::new("Wrapped", format!("no number: {error}")))
}

/// Ignores the failure of one host call and makes another: what it gives is the second's.
#[guest_function]
fn host_error_ignored(failing: i32, good: i32) -> Result<i32, HostError> {
    let _ = fetch_number(failing);
    fetch_number(good)
}

/// Panics because a host call failed.
#[guest_function]
fn host_error_unwrapped(id: i32) -> i32 {
    fetch_number(id).expect("the host knows the number")
}
