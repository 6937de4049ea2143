//! Guest tracing on the host: what a guest says about what it does, made into spans.
//!
//! ```text
//!   header ──> transport ──> bytes ──> decode ──> records ──> Assembler ──> entries
//!   (channel)  what is new             FlatBuffers            ids, parents, times (Timeline)
//! ```
//!
//! - [`Transport`] tells which part of a published batch has not been read yet.
//! - [`decode()`] is a pure function of bytes.
//! - [`Timeline`] turns values of the time-stamp counter into time, [`Calibration`] measures its frequency.
//! - [`Assembler`] keeps the open spans of a sandbox from batch to batch and writes down what happened as
//!   [`TraceEntry`]s, in order.
//!
//! Everything from a guest is an allegation: what is malformed, unknown or too much is counted and left
//! out, and never fails a call. Knows neither a VM nor a guest's memory.
#![forbid(unsafe_code)]

mod assemble;
mod attributes;
mod callsite;
mod closed;
mod decode;
mod entry;
mod error;
mod json;
mod table;
mod time;
mod transport;

pub use assemble::{Assembler, Ending, Limits};
pub use attributes::{Attribute, AttributeValue, FieldInfo, Otel, SpanKind};
pub use callsite::CallsiteInfo;
pub use decode::{DecodeError, decode, decode_record};
pub use entry::{Counts, TraceEntry};
pub use error::TraceError;
pub use json::to_json;
pub use time::{Calibration, ClockPair, TimeError, Timeline};
pub use transport::{Published, Transport, TransportError, Unread};
