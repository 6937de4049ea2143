//! Errors in both directions: what a guest function returns, and what a host function failed with.

use ampoule_wire::failure::GuestError;
use ampoule_wire::value;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// One encoded value that goes along with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorData(pub(crate) Vec<u8>);

impl ErrorData {
    /// Encodes `value`; `None` if it has no encoded form (see [`ampoule_wire::value::encode`]).
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Option<Self> {
        let mut bytes = Vec::new();
        value::encode(value, &mut bytes).ok().map(|()| Self(bytes))
    }

    /// Decodes the value; `None` if it is not a `T`.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self) -> Option<T> {
        value::decode(&self.0).ok()
    }
}

/// Optional for a guest function's error type: what the host can tell errors apart by.
///
/// Every error type that is `Display` will do; without this trait its kind is `"Error"`.
///
/// ```
/// use ampoule_guest::{ErrorData, ErrorDetails};
/// use std::fmt;
///
/// struct OutOfStock {
///     left: u32,
/// }
///
/// impl fmt::Display for OutOfStock {
///     fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
///         write!(formatter, "only {} left", self.left)
///     }
/// }
///
/// impl ErrorDetails for OutOfStock {
///     fn kind(&self) -> String {
///         "OutOfStock".to_owned()
///     }
///
///     fn data(&self) -> Option<ErrorData> {
///         ErrorData::new(&self.left)
///     }
/// }
///
/// assert_eq!(OutOfStock { left: 3 }.data().and_then(|data| data.get()), Some(3));
/// ```
pub trait ErrorDetails: fmt::Display {
    /// A name for programs, such as `NotFound`: `error.kind` in TypeScript.
    fn kind(&self) -> String {
        "Error".to_owned()
    }

    /// Anything else that the host should know: `error.data` in TypeScript.
    fn data(&self) -> Option<ErrorData> {
        None
    }
}

/// A ready-made error type for guest functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: String,
    message: String,
    data: Option<ErrorData>,
}

impl Error {
    /// An error without data.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into(), data: None }
    }

    /// Adds data; leaves it out if it has no encoded form.
    #[must_use]
    pub fn with_data<T: Serialize + ?Sized>(self, data: &T) -> Self {
        Self { data: ErrorData::new(data), ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl ErrorDetails for Error {
    fn kind(&self) -> String {
        self.kind.clone()
    }

    fn data(&self) -> Option<ErrorData> {
        self.data.clone()
    }
}

/// A host function failed, or could not be called.
///
/// Returned by a guest function unchanged, the host recognises it and gives the user's own error as
/// the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostError {
    function: &'static str,
    /// Whether the host function itself failed, rather than the call to it.
    from_host: bool,
    kind: String,
    message: String,
    data: Option<ErrorData>,
}

impl HostError {
    /// What the host answered.
    pub(crate) fn from_host(function: &'static str, error: GuestError) -> Self {
        let GuestError { kind, message, data } = error;
        Self { function, from_host: true, kind, message, data: data.map(ErrorData) }
    }

    /// What went wrong on this side.
    pub(crate) fn local(function: &'static str, kind: &str, message: String) -> Self {
        Self { function, from_host: false, kind: kind.to_owned(), message, data: None }
    }

    pub(crate) fn with_data(self, data: Option<ErrorData>) -> Self {
        Self { data, ..self }
    }

    /// The host function's name.
    #[must_use]
    pub fn function(&self) -> &'static str {
        self.function
    }

    /// A name for programs: of the error that the host function threw, or one of the SDK's own
    /// `MessageTooLarge`, `NotServing` (not in a sandbox, or not in a call), `Reentrant`,
    /// `InvalidArgument` (not encodable) and `InvalidResult` (not of the declared type).
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the host gave along, if it is a `T`.
    #[must_use]
    pub fn data<T: DeserializeOwned>(&self) -> Option<T> {
        self.data.as_ref()?.get()
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "host function `{}`: {}", self.function, self.message)
    }
}

impl std::error::Error for HostError {}

/// Keeps what lets the host recognise its own error.
impl From<HostError> for Error {
    fn from(error: HostError) -> Self {
        Self {
            kind: ErrorDetails::kind(&error),
            message: error.to_string(),
            data: ErrorDetails::data(&error),
        }
    }
}

impl ErrorDetails for HostError {
    fn kind(&self) -> String {
        if self.from_host { "HostError".to_owned() } else { self.kind.clone() }
    }

    fn data(&self) -> Option<ErrorData> {
        if !self.from_host {
            return self.data.clone();
        }
        of_host_function(self.function, &self.kind, self.data.as_ref())
    }
}

/// The data by which the host recognises the error of a host function.
pub(crate) fn of_host_function(
    function: &str,
    kind: &str,
    data: Option<&ErrorData>,
) -> Option<ErrorData> {
    // {"function", "kind", "data"}, in which `data` is encoded already.
    let mut bytes = Vec::new();
    value::encode(&HostErrorHead { function, kind }, &mut bytes).ok()?;
    // A map of two entries becomes one of three: the head of a short map is 0xa0 + entries.
    *bytes.first_mut()? += 1;
    value::encode("data", &mut bytes).ok()?;
    match data {
        Some(ErrorData(data)) => bytes.extend_from_slice(data),
        None => value::encode(&(), &mut bytes).ok()?,
    }
    Some(ErrorData(bytes))
}

#[derive(Serialize)]
struct HostErrorHead<'a> {
    function: &'a str,
    kind: &'a str,
}
