//! The producer against a host in ordinary memory.

mod batches;
mod host;
mod levels;
mod logs;
mod spans;
mod start;
mod values;
