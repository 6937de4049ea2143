//! The Node.js binding: converts between JavaScript and the crates `host` and `sandbox` and does nothing else.
//!
//! No defaults and no policy live here. Failures cross as data (`Failure`), and one TypeScript
//! function throws. Payloads cross through one staging buffer for each JavaScript thread
//! ([`staging`]), steps as one number ([`steps`]); `ts/internal/native/native.ts` is the other side.
#![deny(unsafe_code)]

pub mod config;
pub mod contents;
mod convert;
pub mod environment;
pub mod numbers;
pub mod report;
pub mod sandbox;
pub mod snapshots;
mod staging;
pub mod steps;
pub mod store;
pub mod tracing;
