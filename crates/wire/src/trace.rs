//! Trace records, which a guest appends to a batch: FlatBuffers by `schema/trace.fbs`.
//!
//! Here are the records and their [`Encoder`], for producers. What a host makes of a batch is the
//! business of the crate `ampoule-spans`. [`schema`] is what flatc makes, for the tests of both.

mod encode;
mod layout;
mod record;

pub use crate::generated::trace::ampoule::trace as schema;
pub use encode::{CLOSED_AT, Encoder};
pub use record::{Callsite, Field, FieldName, Kind, Level, Record, Value};

#[cfg(test)]
mod tests;
