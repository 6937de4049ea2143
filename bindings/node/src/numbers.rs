//! The numbers that stand for something at the border to JavaScript.
//!
//! napi-rs declares these enums to TypeScript, where `ts/internal/native/numbers.ts` has them as
//! constants under the same names; `tsc` refuses one that is missing there, or another.

use napi_derive::napi;

/// Kinds of steps.
#[napi]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The guest is initialised.
    Ready = 0,
    /// An export has returned; the value is the payload.
    Return = 1,
    /// An export has returned an error, which is the payload.
    GuestError = 2,
    /// The guest calls a host function; the arguments are the payload.
    HostCall = 3,
    /// The guest has written so much that it waits until that is taken.
    Output = 4,
    /// The guest waits for standard input.
    Input = 5,
    /// The program has ended; `exit` says how.
    Exited = 6,
    /// `stopped` says why.
    Stopped = 7,
    /// To be resumed with `Continue` after as many milliseconds as the length says.
    Sleep = 8,
    /// The sandbox is gone; its handle is void.
    Closed = 9,
    /// Nothing has happened.
    None = 10,
    /// A snapshot was taken; `takeSnapshot` opens a handle of it.
    Snapshot = 11,
    /// The sandbox is what it was at a snapshot.
    Restored = 12,
}

/// Where in a step's number its parts are.
#[napi]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepLayout {
    /// The bits of the kind.
    KindMask = 0xf,
    /// The bit that says that the guest has written output which has not been taken.
    OutputPending = 0x10,
    /// Below the host function of a `HostCall`, or the [`Condition`] of a step that ends something: 16 bits.
    FunctionShift = 5,
    /// What the length is multiplied by: of the payload in the staging buffer, of the input that is
    /// wanted, or milliseconds to sleep; 32 bits.
    LengthUnit = 0x20_0000,
}

/// What a step that ends something leaves the sandbox in, where its kind does not tell. 0: it does.
#[napi]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// A call was stopped, or a snapshot not taken, and the sandbox is ready.
    Ready = 1,
    /// A restore failed.
    Broken = 2,
}

/// How a step is answered.
#[napi]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumption {
    /// The host function has returned the staged value.
    HostReturn = 0,
    /// The host function has failed with the staged error.
    HostError = 1,
    /// The staged bytes are input.
    Input = 2,
    /// There is no more input.
    EndOfInput = 3,
    /// Nothing is to be said.
    Continue = 4,
}

/// Why a sandbox is stopped from outside.
#[napi]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// It was killed.
    Killed = 0,
    /// The signal of the call was.
    Aborted = 1,
    /// It is closed.
    Closed = 2,
}

/// A step as one number. What is too long has the largest length.
pub(crate) fn step(kind: Step, has_output: bool, function: u32, length: usize) -> f64 {
    const LENGTH_UNIT: f64 = StepLayout::LengthUnit as u32 as f64;
    let output = if has_output { StepLayout::OutputPending as u32 } else { 0 };
    let function = (function & 0xffff) << StepLayout::FunctionShift as u32;
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    f64::from(length).mul_add(LENGTH_UNIT, f64::from(kind as u32 | output | function))
}
