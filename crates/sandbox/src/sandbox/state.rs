//! What a sandbox is doing, why it stops to do it, and with what it goes on.

use crate::failure::Failure;
use crate::stop::Stop;
use std::time::Duration;

/// What a sandbox is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing has run.
    New,
    /// Initialised; a function can be called.
    Ready,
    /// To be run: initialising or in a call.
    Busy,
    /// Waits for [`Sandbox::resume`](super::Sandbox::resume).
    Waiting(Wait),
    /// A plain program ended.
    Ended,
    /// The guest cannot run any more.
    Poisoned(Stop),
    /// A restore failed half-way, for this reason: only another one leads back.
    Broken(Failure),
}

/// What a waiting sandbox waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The result of a host function.
    HostCall,
    /// Standard input.
    Input,
    /// The driver to go on: output was drained, or time has passed.
    Driver,
}

/// Why [`Sandbox::run`](super::Sandbox::run) returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Initialised; [`Sandbox::interface`](super::Sandbox::interface) tells what can be called.
    Ready,
    /// The function returned; its result is in [`Sandbox::message`](super::Sandbox::message), one valid CBOR item.
    Return,
    /// The function returned an error; [`Sandbox::message`](super::Sandbox::message) holds it, a valid failure.
    GuestError,
    /// Run this import with the arguments in [`Sandbox::message`](super::Sandbox::message), one valid CBOR
    /// item, and resume with its result.
    HostCall {
        /// Index into the interface's imports, which it does not exceed.
        function: u32,
    },
    /// Much output has come together: take it, then resume with [`Resumption::Continue`].
    Output,
    /// The guest reads standard input: resume with [`Resumption::Input`] or
    /// [`Resumption::EndOfInput`].
    Input {
        /// Bytes it can take now.
        wanted: usize,
    },
    /// Resume with [`Resumption::Continue`] after this time.
    Sleep {
        /// How long.
        duration: Duration,
    },
    /// The time slice is over; [`Sandbox::run`](super::Sandbox::run) goes on. Only on an executor's runner.
    Preempted,
    /// A plain program ended.
    Exited {
        /// Its exit status; 128 + signal when a signal ended it, as a shell shows it.
        code: i32,
        /// The signal that ended it.
        signal: Option<u8>,
    },
    /// The sandbox is poisoned; [`Sandbox::state`](super::Sandbox::state) tells why.
    Stopped,
}

/// What a waiting sandbox goes on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resumption<'a> {
    /// The import's result, one CBOR item.
    HostReturn(&'a [u8]),
    /// The import's failure, an encoded `GuestError`.
    HostError(&'a [u8]),
    /// Bytes of standard input; not empty.
    Input(&'a [u8]),
    /// Standard input has ended.
    EndOfInput,
    /// Nothing: just go on.
    Continue,
}

impl State {
    /// The state as one word, for messages.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Ready => "ready",
            Self::Busy => "running",
            Self::Waiting(_) => "waiting",
            Self::Ended => "ended",
            Self::Poisoned(_) => "poisoned",
            Self::Broken(_) => "broken",
        }
    }
}
