//! What `main!` takes.

use std::fmt::Display;

/// What an init function may return.
#[diagnostic::on_unimplemented(
    message = "an init function returns nothing or `Result<(), E>` with `E: Display`, not `{Self}`"
)]
pub trait InitOutcome {
    /// The failure as text.
    ///
    /// # Errors
    /// The init function's own.
    fn into_result(self) -> Result<(), String>;
}

impl InitOutcome for () {
    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: Display> InitOutcome for Result<(), E> {
    fn into_result(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}
