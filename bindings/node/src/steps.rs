//! Steps: starting, calling, resuming, and the numbers that say what came of it.
//!
//! A step is one number: kind in 4 bits, "output is pending" in 1, the host function (or what the end
//! left the sandbox in) in 16, and a length in 32: of the payload in the staging buffer, of the input wanted, or milliseconds to sleep.

use crate::config::budget;
use crate::environment::{self, Entry, entry, put, with_staged};
use crate::report::NativeFailure;
use crate::snapshots;
use ampoule_host::{Caller, Report};
use ampoule_sandbox::{CallError, Failure, Resumption, Sandbox, State, Step, StopRequest};
use napi::bindgen_prelude::{JsObjectValue as _, Object};
use napi::{Env, Result};
use napi_derive::napi;

mod kind {
    pub(super) const READY: u32 = 0;
    pub(super) const RETURN: u32 = 1;
    pub(super) const GUEST_ERROR: u32 = 2;
    pub(super) const HOST_CALL: u32 = 3;
    pub(super) const OUTPUT: u32 = 4;
    pub(super) const INPUT: u32 = 5;
    pub(super) const EXITED: u32 = 6;
    pub(super) const STOPPED: u32 = 7;
    pub(super) const SLEEP: u32 = 8;
    pub(super) const CLOSED: u32 = 9;
    pub(super) const NONE: u32 = 10;
    pub(super) const SNAPSHOT: u32 = 11;
    pub(super) const RESTORED: u32 = 12;
}

/// What a step that ends something says in the place of a function: the state of the sandbox, where
/// the kind of the step does not tell.
mod condition {
    /// A call was stopped, or a snapshot not taken, and the sandbox is ready.
    pub(super) const READY: u32 = 1;
    /// A restore failed.
    pub(super) const BROKEN: u32 = 2;
}

const OUTPUT_PENDING: u32 = 1 << 4;
const FUNCTION_SHIFT: u32 = 5;
const LENGTH_FACTOR: f64 = 2_097_152.0;

fn number(kind: u32, length: usize) -> f64 {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    f64::from(length).mul_add(LENGTH_FACTOR, f64::from(kind))
}

/// Makes the virtual machine and starts the guest. `false`: refused, `stopped` says why.
#[napi]
pub fn start_async(handle: i64, timeout_ms: f64, cpu_time_ms: f64) -> Result<bool> {
    let entry = entry(handle)?;
    let trace = entry.trace.take();
    let budget = budget(timeout_ms, cpu_time_ms);
    Ok(accepted(&entry, entry.driven.start_traced(budget, trace)))
}

/// Calls an export with the staged arguments on a runner. `false`: refused, `stopped` says why.
#[napi]
pub fn call_async(
    handle: i64,
    function_id: u32,
    length: u32,
    timeout_ms: f64,
    cpu_time_ms: f64,
) -> Result<bool> {
    let entry = entry(handle)?;
    let budget = budget(timeout_ms, cpu_time_ms);
    let trace = entry.trace.take();
    let begun =
        with_staged(length, |bytes| entry.driven.call(function_id, bytes, budget, trace.as_ref()));
    Ok(accepted(&entry, begun))
}

/// Resumes on a runner, with the staged payload. `false`: refused, `stopped` says why.
#[napi]
pub fn resume_async(handle: i64, resumption: u32, length: u32) -> Result<bool> {
    let entry = entry(handle)?;
    Ok(accepted(
        &entry,
        with_staged(length, |bytes| entry.driven.resume(resume_with(resumption, bytes))),
    ))
}

/// Takes a snapshot on a runner. `false`: refused, `stopped` says why.
#[napi]
pub fn snapshot_async(handle: i64) -> Result<bool> {
    let entry = entry(handle)?;
    Ok(accepted(&entry, entry.driven.snapshot()))
}

/// Goes back on a runner; 0 stands for what the sandbox was made from. `false`: refused, `stopped`
/// says why.
#[napi]
pub fn restore_async(handle: i64, snapshot: i64) -> Result<bool> {
    let entry = entry(handle)?;
    let snapshot = snapshots::find(snapshot)?;
    Ok(accepted(&entry, entry.driven.restore(snapshot)))
}

/// Goes back on this thread.
#[napi]
pub fn restore_sync(handle: i64, snapshot: i64) -> Result<f64> {
    let entry = entry(handle)?;
    let snapshot = snapshots::find(snapshot)?;
    Ok(match entry.driven.restore_here(snapshot.as_ref()) {
        Ok(()) => ended(&entry, kind::RESTORED),
        Err(failure) => {
            *entry.refusal.borrow_mut() = Some(failure);
            ended(&entry, kind::STOPPED)
        }
    })
}

/// Whether `restoreSync` would keep this thread for microseconds only.
#[napi]
pub fn restores_cheaply(handle: i64, snapshot: i64) -> Result<bool> {
    let snapshot = snapshots::find(snapshot)?;
    Ok(entry(handle)?.driven.restores_cheaply(snapshot.as_ref()))
}

/// The JavaScript of this thread.
struct JavaScript<'env>(&'env Env);

impl Caller for JavaScript<'_> {
    /// Whether `worker.terminate()` or the end of the process waits for this thread. Node.js tells nobody
    /// who is inside native code, but from then on refuses whatever could run JavaScript.
    fn is_gone(&self) -> bool {
        let asked = self.0.run_in_scope(|| Object::new(self.0)?.has_named_property("constructor"));
        asked.is_err()
    }
}

/// Calls an export with the staged arguments on this thread, up to the next step.
#[napi]
pub fn call_sync(
    env: &Env,
    handle: i64,
    function_id: u32,
    length: u32,
    timeout_ms: f64,
    cpu_time_ms: f64,
) -> Result<f64> {
    let entry = entry(handle)?;
    let budget = budget(timeout_ms, cpu_time_ms);
    let trace = entry.trace.take();
    let step = with_staged(length, |bytes| {
        entry.driven.call_here(function_id, bytes, budget, trace.as_ref(), &JavaScript(env))
    });
    Ok(came_to(&entry, step))
}

/// Resumes on this thread, with the staged payload, up to the next step.
#[napi]
pub fn resume_sync(env: &Env, handle: i64, resumption: u32, length: u32) -> Result<f64> {
    let entry = entry(handle)?;
    let step = with_staged(length, |bytes| {
        entry.driven.resume_here(resume_with(resumption, bytes), &JavaScript(env))
    });
    Ok(came_to(&entry, step))
}

const fn resume_with(resumption: u32, payload: &[u8]) -> Resumption<'_> {
    match resumption {
        0 => Resumption::HostReturn(payload),
        1 => Resumption::HostError(payload),
        2 => Resumption::Input(payload),
        3 => Resumption::EndOfInput,
        _ => Resumption::Continue,
    }
}

fn accepted(entry: &Entry, result: std::result::Result<(), CallError>) -> bool {
    *entry.refusal.borrow_mut() = result.as_ref().err().map(refused);
    result.is_ok()
}

fn came_to(entry: &Entry, result: std::result::Result<Step, CallError>) -> f64 {
    match result {
        Ok(step) => describe(entry, step),
        Err(error) => {
            *entry.refusal.borrow_mut() = Some(refused(&error));
            number(kind::STOPPED, 0)
        }
    }
}

/// A sandbox that was stopped between two calls is refused for that reason, and not for another.
fn refused(error: &CallError) -> Failure {
    match error {
        CallError::Poisoned(stop) => stop.failure(),
        _ => error.failure(),
    }
}

/// The step that the step handler was told of; its payload goes into the staging buffer.
#[napi]
pub fn take_step(handle: i64) -> Result<f64> {
    let Ok(entry) = entry(handle) else { return Ok(number(kind::NONE, 0)) };
    match entry.driven.take_step() {
        None => Ok(number(kind::NONE, 0)),
        Some(Report::Closed) => {
            environment::remove(handle);
            Ok(number(kind::CLOSED, 0))
        }
        Some(Report::Step(step)) => Ok(describe(&entry, step)),
        Some(Report::Refused(failure)) => {
            *entry.refusal.borrow_mut() = Some(failure);
            Ok(ended(&entry, kind::STOPPED))
        }
        Some(Report::Snapshot(snapshot)) => {
            *entry.snapshot.borrow_mut() = Some(snapshot);
            Ok(ended(&entry, kind::SNAPSHOT))
        }
        Some(Report::Restored) => Ok(ended(&entry, kind::RESTORED)),
    }
}

/// A step without payload that ends something.
fn ended(entry: &Entry, kind: u32) -> f64 {
    let told = entry.driven.inspect(|sandbox| {
        let output = if sandbox.has_output() { OUTPUT_PENDING } else { 0 };
        output | condition_of(sandbox, kind) << FUNCTION_SHIFT
    });
    number(kind | told.unwrap_or(0), 0)
}

fn condition_of(sandbox: &Sandbox, kind: u32) -> u32 {
    match sandbox.state() {
        State::Ready if kind == kind::STOPPED => condition::READY,
        State::Broken(_) => condition::BROKEN,
        _ => 0,
    }
}

/// Encodes a step and brings its payload over.
fn describe(entry: &Entry, step: Step) -> f64 {
    let (mut has_output, mut broken) = (false, 0);
    let length = entry.driven.inspect(|sandbox| {
        has_output = sandbox.has_output();
        match step {
            Step::Return | Step::GuestError | Step::HostCall { .. } => {
                broken = condition_of(sandbox, kind::RETURN) << FUNCTION_SHIFT;
                put(sandbox.message());
                let length = sandbox.message().len();
                sandbox.forget_message();
                length
            }
            _ => 0,
        }
    });
    let length = length.unwrap_or(0);
    let flag = if has_output { OUTPUT_PENDING } else { 0 };
    match step {
        Step::Ready => number(kind::READY | flag, 0),
        Step::Return => number(kind::RETURN | flag | broken, length),
        Step::GuestError => number(kind::GUEST_ERROR | flag | broken, length),
        Step::HostCall { function } => {
            number(kind::HOST_CALL | flag | (function & 0xffff) << FUNCTION_SHIFT, length)
        }
        Step::Output => number(kind::OUTPUT | flag, 0),
        Step::Input { wanted } => number(kind::INPUT | flag, wanted),
        Step::Sleep { duration } => {
            // Rounded up: the guest must not wake early.
            let milliseconds = duration.as_nanos().div_ceil(1_000_000);
            number(kind::SLEEP | flag, usize::try_from(milliseconds).unwrap_or(usize::MAX))
        }
        Step::Exited { code, signal } => {
            *entry.exit.borrow_mut() = (code, signal.unwrap_or(0));
            number(kind::EXITED | flag, 0)
        }
        Step::Stopped => ended(entry, kind::STOPPED),
        // Stays within the executor.
        Step::Preempted => number(kind::NONE, 0),
    }
}

/// Why the sandbox stopped, or why it did not accept the last operation.
#[napi]
pub fn stopped(handle: i64) -> Result<NativeFailure> {
    let entry = entry(handle)?;
    let refusal = entry.refusal.borrow_mut().take();
    Ok(refusal.or_else(|| entry.driven.failure()).map_or_else(NativeFailure::unknown, Into::into))
}

/// Stops a sandbox of any thread. Reasons: 0 killed, 1 aborted, 2 closed.
#[napi]
pub fn kill(handle: i64, reason: u32) {
    if let Some(control) = environment::control(handle) {
        control.stop(match reason {
            1 => StopRequest::Aborted,
            2 => StopRequest::Closed,
            _ => StopRequest::Killed,
        });
    }
}

/// Whether a stop was asked for that has not been acted on.
#[napi]
#[must_use]
pub fn is_stopping(handle: i64) -> bool {
    environment::control(handle).is_some_and(|control| control.stop_is_pending())
}

/// Ends and frees a sandbox; the step handler is told, and `takeStep` then says `closed`.
#[napi]
pub fn close(handle: i64) -> Result<()> {
    entry(handle)?.driven.close();
    Ok(())
}
