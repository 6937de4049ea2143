//! Guest SDK: write functions that run inside an Ampoule sandbox.
//!
//! A guest is an ordinary Rust program whose functions carry attributes:
//!
//! ```
//! use ampoule_guest::{HostError, guest_function, host_function};
//!
//! /// A user, as the host knows it.
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct User {
//!     name: String,
//! }
//!
//! #[host_function]
//! fn fetch_user(id: u32) -> Result<User, HostError>;
//!
//! /// Greets a user.
//! #[guest_function]
//! fn greet(id: u32) -> Result<String, HostError> {
//!     Ok(format!("Hello {}", fetch_user(id)?.name))
//! }
//!
//! ampoule_guest::main!();
//! ```
//!
//! - Parameters are anything that is [`serde::Deserialize`] and [`schemars::JsonSchema`], results
//!   anything that is [`serde::Serialize`] and [`schemars::JsonSchema`]. `Vec<u8>` and `&[u8]` are
//!   bytes; inside other types use [`Bytes`].
//! - `Result::Err` becomes a typed error on the host's side. The error type must be `Display`; with
//!   [`ErrorDetails`] it also has a kind and data. [`Error`] is a ready-made one.
//! - A panic that is not caught ends the guest; the host sees message, place and backtrace.
//! - A function remains an ordinary function, for `cargo test` and for others to call.
//!
//! Started on plain Linux the program offers `describe`, which prints its interface as JSON, and
//! `call <function> [<json argument>...]`. Host functions then fail with a [`HostError`].
//!
//! Spans and events of the `tracing` crate and records of the `log` crate appear in the host's trace,
//! see [`trace`].
//!
//! A guest whose functions are known only at run time, such as an interpreter, implements
//! [`serve::Functions`] instead.
//!
//! A sandbox is one thread on one virtual CPU. A call makes no system call by itself and leaves the
//! virtual machine once.
#![deny(unsafe_code)]

mod bytes;
#[expect(unsafe_code, reason = "the SDK's one entry to the machine")]
mod channel;
mod error;
pub mod serve;
#[cfg_attr(
    not(feature = "tracing"),
    expect(dead_code, reason = "much of it is for the `tracing` crate's spans")
)]
pub mod trace;
mod typed;

pub use ampoule_guest_macros::{guest_function, host_function};
pub use bytes::Bytes;
pub use error::{Error, ErrorData, ErrorDetails, HostError};

/// Defines `main`: `main!()`, or `main!(prepare)` with a function that runs once, before the guest
/// is ready and before its image is taken.
///
/// `prepare` takes nothing and returns nothing or `Result<(), E>` with `E: Display`; an error or a
/// panic there makes creating the sandbox fail with its text. It cannot call host functions.
///
/// (There is no attribute `#[ampoule_guest::main]` beside it: an attribute and a `!` macro cannot
/// have one name.)
#[macro_export]
macro_rules! main {
    () => {
        $crate::main!(|| ());
    };
    ($prepare:expr) => {
        fn main() -> ::std::process::ExitCode {
            $crate::__private::run($prepare, $crate::__private::build_id!())
        }
    };
}

/// For the macros' code only; changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::serve::{invalid_result, write_argument_count};
    pub use crate::typed::convert::{
        BytesResult, BytesSlot, Failed, FailedWithDetails, FailedWithMessage, FallibleResult,
        Outgoing, OutgoingBytes, OutgoingValue, PlainResult, ResultType, Returned, Slot,
        SplitPlain, SplitResult, ValueSlot,
    };
    pub use crate::typed::host::{HostOutcome, call};
    pub use crate::typed::init::InitOutcome;
    pub use crate::typed::registry::{ArgumentSource, Export, Import, ImportEntry, Signature, run};
    pub use crate::typed::schema::Direction;
    pub use ampoule_wire::failure::GuestError;
    pub use inventory;

    /// Package and version of the guest, unless its build sets `AMPOULE_BUILD_ID`.
    #[doc(hidden)]
    #[macro_export]
    macro_rules! __build_id {
        () => {
            match ::std::option_env!("AMPOULE_BUILD_ID") {
                ::std::option::Option::Some(id) => id,
                ::std::option::Option::None => ::std::concat!(
                    ::std::env!("CARGO_PKG_NAME"),
                    " ",
                    ::std::env!("CARGO_PKG_VERSION")
                ),
            }
        };
    }
    pub use __build_id as build_id;
}
