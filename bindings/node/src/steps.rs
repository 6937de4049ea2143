//! Steps: starting, calling, resuming, and the numbers that say what came of it.
//!
//! A step is one number: kind in 4 bits, "output is pending" in 1, the host function (or what the end
//! left the sandbox in) in 16, and a length in 32 ([`numbers::StepLayout`]).

use crate::config::budget;
use crate::environment::{self, Entry, entry, put, with_staged};
use crate::numbers::{self, Condition, StopReason};
use crate::report::NativeFailure;
use crate::snapshots;
use ampoule_host::{Caller, Report};
use ampoule_sandbox::{CallError, Failure, Resumption, Sandbox, State, Step, StopRequest};
use napi::bindgen_prelude::{JsObjectValue as _, Object};
use napi::{Env, Result};
use napi_derive::napi;

/// Makes the virtual machine and starts the guest. `false`: refused, `stopped` says why.
#[napi]
pub fn start_async(handle: i64, timeout_ms: f64, cpu_time_ms: f64) -> Result<bool> {
    let entry = entry(handle)?;
    let trace = entry.trace.take();
    let budget = budget(timeout_ms, cpu_time_ms);
    Ok(accepted(&entry, entry.driver.start_traced(budget, trace)))
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
        with_staged(length, |bytes| entry.driver.call(function_id, bytes, budget, trace.as_ref()));
    Ok(accepted(&entry, begun))
}

/// Resumes on a runner, with the staged payload. `false`: refused, `stopped` says why.
#[napi]
pub fn resume_async(handle: i64, resumption: numbers::Resumption, length: u32) -> Result<bool> {
    let entry = entry(handle)?;
    Ok(accepted(
        &entry,
        with_staged(length, |bytes| entry.driver.resume(resume_with(resumption, bytes))),
    ))
}

/// Takes a snapshot on a runner. `false`: refused, `stopped` says why.
#[napi]
pub fn snapshot_async(handle: i64) -> Result<bool> {
    let entry = entry(handle)?;
    Ok(accepted(&entry, entry.driver.snapshot()))
}

/// Goes back on a runner; 0 stands for what the sandbox was made from. `false`: refused, `stopped`
/// says why.
#[napi]
pub fn restore_async(handle: i64, snapshot: i64) -> Result<bool> {
    let entry = entry(handle)?;
    let snapshot = snapshots::find(snapshot)?;
    Ok(accepted(&entry, entry.driver.restore(snapshot)))
}

/// Goes back on this thread.
#[napi]
pub fn restore_sync(handle: i64, snapshot: i64) -> Result<f64> {
    let entry = entry(handle)?;
    let snapshot = snapshots::find(snapshot)?;
    Ok(match entry.driver.restore_here(snapshot.as_ref()) {
        Ok(()) => ended(&entry, numbers::Step::Restored),
        Err(failure) => {
            *entry.refusal.borrow_mut() = Some(failure);
            ended(&entry, numbers::Step::Stopped)
        }
    })
}

/// Whether `restoreSync` would keep this thread for microseconds only.
#[napi]
pub fn restores_cheaply(handle: i64, snapshot: i64) -> Result<bool> {
    let snapshot = snapshots::find(snapshot)?;
    Ok(entry(handle)?.driver.restores_cheaply(snapshot.as_ref()))
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
        entry.driver.call_here(function_id, bytes, budget, trace.as_ref(), &JavaScript(env))
    });
    Ok(came_to(&entry, step))
}

/// Resumes on this thread, with the staged payload, up to the next step.
#[napi]
pub fn resume_sync(
    env: &Env,
    handle: i64,
    resumption: numbers::Resumption,
    length: u32,
) -> Result<f64> {
    let entry = entry(handle)?;
    let step = with_staged(length, |bytes| {
        entry.driver.resume_here(resume_with(resumption, bytes), &JavaScript(env))
    });
    Ok(came_to(&entry, step))
}

const fn resume_with(resumption: numbers::Resumption, payload: &[u8]) -> Resumption<'_> {
    match resumption {
        numbers::Resumption::HostReturn => Resumption::HostReturn(payload),
        numbers::Resumption::HostError => Resumption::HostError(payload),
        numbers::Resumption::Input => Resumption::Input(payload),
        numbers::Resumption::EndOfInput => Resumption::EndOfInput,
        numbers::Resumption::Continue => Resumption::Continue,
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
            plain(numbers::Step::Stopped)
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
    let Ok(entry) = entry(handle) else { return Ok(plain(numbers::Step::None)) };
    match entry.driver.take_step() {
        None => Ok(plain(numbers::Step::None)),
        Some(Report::Closed) => {
            environment::remove(handle);
            Ok(plain(numbers::Step::Closed))
        }
        Some(Report::Step(step)) => Ok(describe(&entry, step)),
        Some(Report::Refused(failure)) => {
            *entry.refusal.borrow_mut() = Some(failure);
            Ok(ended(&entry, numbers::Step::Stopped))
        }
        Some(Report::Snapshot(snapshot)) => {
            *entry.snapshot.borrow_mut() = Some(snapshot);
            Ok(ended(&entry, numbers::Step::Snapshot))
        }
        Some(Report::Restored) => Ok(ended(&entry, numbers::Step::Restored)),
    }
}

/// A step that says nothing but its kind.
fn plain(kind: numbers::Step) -> f64 {
    numbers::step(kind, false, 0, 0)
}

/// A step without payload that ends something.
fn ended(entry: &Entry, kind: numbers::Step) -> f64 {
    let told = entry.driver.inspect(|sandbox| (sandbox.has_output(), condition_of(sandbox, kind)));
    let (has_output, condition) = told.unwrap_or_default();
    numbers::step(kind, has_output, condition, 0)
}

/// The [`Condition`] that a step says, or 0.
fn condition_of(sandbox: &Sandbox, kind: numbers::Step) -> u32 {
    match sandbox.state() {
        State::Ready if kind == numbers::Step::Stopped => Condition::Ready as u32,
        State::Broken(_) => Condition::Broken as u32,
        _ => 0,
    }
}

/// Encodes a step and brings its payload over.
fn describe(entry: &Entry, step: Step) -> f64 {
    let (mut has_output, mut condition) = (false, 0);
    let length = entry.driver.inspect(|sandbox| {
        has_output = sandbox.has_output();
        match step {
            Step::Return | Step::GuestError | Step::HostCall { .. } => {
                condition = condition_of(sandbox, numbers::Step::Return);
                put(sandbox.message());
                let length = sandbox.message().len();
                sandbox.forget_message();
                length
            }
            _ => 0,
        }
    });
    let length = length.unwrap_or(0);
    let number = |kind, function, length| numbers::step(kind, has_output, function, length);
    match step {
        Step::Ready => number(numbers::Step::Ready, 0, 0),
        Step::Return => number(numbers::Step::Return, condition, length),
        Step::GuestError => number(numbers::Step::GuestError, condition, length),
        Step::HostCall { function } => number(numbers::Step::HostCall, function, length),
        Step::Output => number(numbers::Step::Output, 0, 0),
        Step::Input { wanted } => number(numbers::Step::Input, 0, wanted),
        Step::Sleep { duration } => {
            // Rounded up: the guest must not wake early.
            let milliseconds = duration.as_nanos().div_ceil(1_000_000);
            number(numbers::Step::Sleep, 0, usize::try_from(milliseconds).unwrap_or(usize::MAX))
        }
        Step::Exited { code, signal } => {
            *entry.exit.borrow_mut() = (code, signal.unwrap_or(0));
            number(numbers::Step::Exited, 0, 0)
        }
        Step::Stopped => ended(entry, numbers::Step::Stopped),
        // Stays within the executor.
        Step::Preempted => plain(numbers::Step::None),
    }
}

/// Why the sandbox stopped, or why it did not accept the last operation.
#[napi]
pub fn stopped(handle: i64) -> Result<NativeFailure> {
    let entry = entry(handle)?;
    let refusal = entry.refusal.borrow_mut().take();
    Ok(refusal.or_else(|| entry.driver.failure()).map_or_else(NativeFailure::unknown, Into::into))
}

/// Stops a sandbox of any thread.
#[napi]
pub fn kill(handle: i64, reason: StopReason) {
    if let Some(control) = environment::control(handle) {
        control.stop(match reason {
            StopReason::Killed => StopRequest::Killed,
            StopReason::Aborted => StopRequest::Aborted,
            StopReason::Closed => StopRequest::Closed,
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
    entry(handle)?.driver.close();
    Ok(())
}
