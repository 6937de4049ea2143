//! Functions that run inside a micro-VM.

use ampoule_guest::{HostError, guest_function, host_function};

/// Says how the host greets.
#[host_function]
fn greeting() -> Result<String, HostError>;

/// Greets somebody, as the host would.
#[guest_function]
fn greet(name: String) -> Result<String, HostError> {
    Ok(format!("{}, {name}!", greeting()?))
}

/// Counts the words of a text.
#[guest_function]
fn count_words(text: String) -> u32 {
    u32::try_from(text.split_whitespace().count()).unwrap_or(u32::MAX)
}

ampoule_guest::main!();
