//! Failures: errors in the form that the public API shows.
//!
//! - `code`: every code that this side can give, once.
//! - `stop`, `operation`, `store`: what each reason to stop and each error of an operation is in public.
//!
//! **Invariant:** messages say what was wrong, in terms of the guest and the host. What to do about it is
//! worded by whoever knows options and commands (`ts/internal/failures.ts`); here it is data: the option in
//! the details, and a [`Remedy`].

pub(crate) mod code;
mod operation;
mod stop;
mod store;
#[cfg(test)]
mod tests;

pub use code::Code;

use serde_json::{Map, Value};

/// An error as the public API shows it: a stable code, a message, and details by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it is.
    pub code: Code,
    /// What was wrong. Where something can be done about it that only the caller knows how to word, this ends
    /// such that it can be said behind it.
    pub message: String,
    /// A JSON object.
    pub details: Value,
    /// What can be done about it, for the caller to word.
    pub remedy: Option<Remedy>,
}

/// What can be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The limit can be raised, by the option of the [`Code`].
    RaiseLimit,
    /// A diagnosis of the host tells more.
    DiagnoseHost,
}

impl Remedy {
    /// The remedy as a word, for those who word it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::RaiseLimit => "raise-limit",
            Self::DiagnoseHost => "diagnose-host",
        }
    }
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Value::Object(Map::new()), remedy: None }
    }

    /// A limit was reached: `name` is that of its `value` in the details, by its unit.
    pub(crate) fn of_limit(
        code: Code,
        message: impl Into<String>,
        (name, value): (&str, u64),
    ) -> Self {
        let mut failure = Self::new(code, message).detail(name, value);
        if let Some(option) = code.option() {
            failure = failure.detail("option", option);
        }
        Self { remedy: Some(Remedy::RaiseLimit), ..failure }
    }

    /// For a question that has no answer: nothing has failed.
    #[must_use]
    pub fn unknown() -> Self {
        Self::new(Code::Hypervisor, "the sandbox stopped without a reason")
    }

    pub(crate) fn with(self, details: Value) -> Self {
        Self { details, ..self }
    }

    /// Adds one detail.
    pub(crate) fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Value::Object(details) = &mut self.details {
            details.insert(name.to_owned(), value.into());
        }
        self
    }

    pub(crate) fn remedied_by(self, remedy: Remedy) -> Self {
        Self { remedy: Some(remedy), ..self }
    }
}
