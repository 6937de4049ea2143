//! Looking at a sandbox: its interface, its output, its counters.

use crate::convert::count;
use crate::environment::sandbox;
use ampoule_sandbox::{OutputStream, Statistics};
use napi::bindgen_prelude::Uint8Array;
use napi::{Error, Result};
use napi_derive::napi;

/// How a program ended.
#[napi(object, object_from_js = false)]
pub struct NativeExit {
    /// Exit status.
    pub code: i32,
    /// The signal that ended it, or 0.
    pub signal: u32,
}

/// Counters of one sandbox since it was made.
#[napi(object, object_from_js = false)]
#[derive(Default)]
pub struct NativeStatistics {
    /// Calls of guest functions.
    pub calls: f64,
    /// Calls of host functions.
    pub host_calls: f64,
    /// Times the virtual CPU was left.
    pub exits: f64,
    /// Of those, what the host asked for.
    pub interruptions: f64,
    /// Of those, page faults that gave fresh memory.
    pub page_faults: f64,
    /// Times a guest was initialised here, 0 or 1.
    pub initialisations: f64,
    /// Times the sandbox went back to a snapshot.
    pub restores: f64,
    /// Pages copied back by that.
    pub restored_pages: f64,
    /// Restores that gave all memory back instead.
    pub wholesale_restores: f64,
    /// By name, with whether the personality knows the call.
    pub system_calls: Vec<NativeSystemCall>,
    /// Payload bytes to the guest.
    pub bytes_to_guest: f64,
    /// Payload bytes from the guest.
    pub bytes_from_guest: f64,
    /// Bytes of output.
    pub output_bytes: f64,
    /// Time inside the guest.
    pub guest_time_ms: f64,
    /// CPU time inside the guest, as far as it was measured.
    pub cpu_time_ms: f64,
    /// Bytes of trace records that the guest published.
    pub trace_bytes: f64,
    /// Trace records that were read.
    pub trace_events: f64,
    /// Of those and others, what was left out.
    pub trace_dropped: f64,
    /// Guest memory in use.
    pub memory_bytes: f64,
}

/// How often a system call was made.
#[napi(object, object_from_js = false)]
pub struct NativeSystemCall {
    /// Its name.
    pub name: String,
    /// How often.
    pub count: f64,
    /// Whether the personality knows it.
    pub answered: bool,
}

impl From<Statistics> for NativeStatistics {
    fn from(from: Statistics) -> Self {
        Self {
            calls: count(from.calls),
            host_calls: count(from.host_calls),
            exits: count(from.exits),
            interruptions: count(from.interruptions),
            page_faults: count(from.page_faults),
            initialisations: count(from.initialisations),
            restores: count(from.restores),
            restored_pages: count(from.restored_pages),
            wholesale_restores: count(from.wholesale_restores),
            system_calls: from
                .system_calls
                .into_iter()
                .map(|call| NativeSystemCall {
                    name: call.name.into(),
                    count: count(call.count),
                    answered: call.answered,
                })
                .collect(),
            bytes_to_guest: count(from.bytes_to_guest),
            bytes_from_guest: count(from.bytes_from_guest),
            output_bytes: count(from.output_bytes),
            guest_time_ms: from.guest_time.as_secs_f64() * 1000.0,
            cpu_time_ms: from.cpu_time.as_secs_f64() * 1000.0,
            trace_bytes: count(from.trace_bytes),
            trace_events: count(from.trace_events),
            trace_dropped: count(from.trace_dropped),
            memory_bytes: count(from.memory_bytes),
        }
    }
}

/// What the guest exports and imports, as JSON.
#[napi]
pub fn interface_json(handle: i64) -> Result<String> {
    sandbox(handle)?
        .driver
        .inspect(|sandbox| sandbox.interface().map(|interface| interface.to_json()))
        .flatten()
        .ok_or_else(|| Error::from_reason("the guest is not ready"))
}

/// Bytes of the largest message: what was asked for, rounded up; 0 while nobody can tell.
#[napi]
pub fn message_bytes(handle: i64) -> Result<f64> {
    let bytes = sandbox(handle)?.driver.inspect(|sandbox| sandbox.message_bytes());
    Ok(count(bytes.unwrap_or(0)))
}

/// Takes what the guest wrote to stream 1 or 2.
#[napi]
pub fn take_output(handle: i64, stream: u32) -> Result<Uint8Array> {
    let stream = if stream == 2 { OutputStream::Stderr } else { OutputStream::Stdout };
    let bytes = sandbox(handle)?.driver.inspect(|sandbox| sandbox.take_output(stream));
    Ok(bytes.unwrap_or_default().into())
}

/// How the program ended, after an `exited` step.
#[napi]
pub fn exit(handle: i64) -> Result<NativeExit> {
    let (code, signal) = *sandbox(handle)?.notes.exit.borrow();
    Ok(NativeExit { code, signal: u32::from(signal) })
}

/// Exits, milliseconds of CPU time, restores and restored pages, as in [`statistics`]: what is reported of
/// every call. All counters as an object take half as long as a call.
#[napi]
pub fn counters(handle: i64) -> Result<Option<Vec<f64>>> {
    Ok(sandbox(handle)?.driver.inspect(|sandbox| {
        let counters = sandbox.counters();
        vec![
            count(counters.exits),
            counters.cpu_time.as_secs_f64() * 1000.0,
            count(counters.restores),
            count(counters.restored_pages),
        ]
    }))
}

/// The counters; absent while the sandbox runs or before it exists.
#[napi]
pub fn statistics(handle: i64) -> Result<Option<NativeStatistics>> {
    Ok(sandbox(handle)?.driver.inspect(|sandbox| sandbox.statistics().into()))
}
