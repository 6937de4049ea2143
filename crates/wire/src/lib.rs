//! Messages between guest and host: checked encoding and decoding.
//!
//! - [`value`]: arguments and results, a bounded subset of CBOR.
//! - [`failure`]: guest errors, host errors and aborts.
//! - [`interface`]: what a guest exports and imports, FlatBuffers by `schema/interface.fbs`.
//! - [`trace`]: what a guest tells about what it does, FlatBuffers by `schema/trace.fbs`.
//!
//! Everything that is decoded is an allegation of the other side: decoders are bounded, never panic
//! and copy what they keep. Knows neither the channel that carries the bytes nor a VM.
#![deny(unsafe_code)]

pub mod failure;
pub mod interface;
pub mod trace;
pub mod value;

mod generated;
