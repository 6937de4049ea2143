//! Steps: starting, calling, resuming, and the numbers that say what came of it.
//!
//! A step is one number: kind in 4 bits, "output is pending" in 1, the host function (or what the end
//! left the sandbox in) in 16, and a length in 32 ([`numbers::StepLayout`]).

use crate::convert::budget;
use crate::environment::{SandboxHere, put, sandbox, with_owner, with_staged};
use crate::numbers::{self, Condition, StopReason};
use crate::report::NativeFailure;
use crate::snapshots;
use ampoule_host::registry;
use ampoule_host::{Caller, Report};
use ampoule_sandbox::{CallError, Failure, Resumption, Sandbox, State, Step, StopRequest};
use napi::bindgen_prelude::{JsObjectValue as _, Object};
use napi::{Env, Result};
use napi_derive::napi;

/// Makes the virtual machine and starts the guest. `false`: refused, `stopped` says why.
#[napi]
pub fn start_async(handle: i64, timeout_ms: f64, cpu_time_ms: f64) -> Result<bool> {
    let here = sandbox(handle)?;
    let trace = here.notes.trace.take();
    let budget = budget(timeout_ms, cpu_time_ms);
    Ok(accepted(&here, here.driver.start_traced(budget, trace)))
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
    let here = sandbox(handle)?;
    let budget = budget(timeout_ms, cpu_time_ms);
    let trace = here.notes.trace.take();
    let begun =
        with_staged(length, |bytes| here.driver.call(function_id, bytes, budget, trace.as_ref()));
    Ok(accepted(&here, begun))
}

/// Resumes on a runner, with the staged payload. `false`: refused, `stopped` says why.
#[napi]
pub fn resume_async(handle: i64, resumption: numbers::Resumption, length: u32) -> Result<bool> {
    let here = sandbox(handle)?;
    Ok(accepted(
        &here,
        with_staged(length, |bytes| here.driver.resume(resume_with(resumption, bytes))),
    ))
}

/// Takes a snapshot on a runner. `false`: refused, `stopped` says why.
#[napi]
pub fn snapshot_async(handle: i64) -> Result<bool> {
    let here = sandbox(handle)?;
    Ok(accepted(&here, here.driver.snapshot()))
}

/// Goes back on a runner; 0 stands for what the sandbox was made from. `false`: refused, `stopped`
/// says why.
#[napi]
pub fn restore_async(handle: i64, snapshot: i64) -> Result<bool> {
    let here = sandbox(handle)?;
    let snapshot = snapshots::find(snapshot)?;
    Ok(accepted(&here, here.driver.restore(snapshot)))
}

/// Goes back on this thread.
#[napi]
pub fn restore_sync(handle: i64, snapshot: i64) -> Result<f64> {
    let here = sandbox(handle)?;
    let snapshot = snapshots::find(snapshot)?;
    Ok(match here.driver.restore_here(snapshot.as_ref()) {
        Ok(()) => ended(&here, numbers::Step::Restored),
        Err(failure) => {
            *here.notes.refusal.borrow_mut() = Some(failure);
            ended(&here, numbers::Step::Stopped)
        }
    })
}

/// Whether `restoreSync` would keep this thread for microseconds only.
#[napi]
pub fn restores_cheaply(handle: i64, snapshot: i64) -> Result<bool> {
    let snapshot = snapshots::find(snapshot)?;
    Ok(sandbox(handle)?.driver.restores_cheaply(snapshot.as_ref()))
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
    let here = sandbox(handle)?;
    let budget = budget(timeout_ms, cpu_time_ms);
    let trace = here.notes.trace.take();
    let step = with_staged(length, |bytes| {
        here.driver.call_here(function_id, bytes, budget, trace.as_ref(), &JavaScript(env))
    });
    Ok(came_to(&here, step))
}

/// Resumes on this thread, with the staged payload, up to the next step.
#[napi]
pub fn resume_sync(
    env: &Env,
    handle: i64,
    resumption: numbers::Resumption,
    length: u32,
) -> Result<f64> {
    let here = sandbox(handle)?;
    let step = with_staged(length, |bytes| {
        here.driver.resume_here(resume_with(resumption, bytes), &JavaScript(env))
    });
    Ok(came_to(&here, step))
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

fn accepted(here: &SandboxHere, result: std::result::Result<(), CallError>) -> bool {
    *here.notes.refusal.borrow_mut() = result.as_ref().err().map(CallError::cause);
    result.is_ok()
}

fn came_to(here: &SandboxHere, result: std::result::Result<Step, CallError>) -> f64 {
    match result {
        Ok(step) => describe(here, step),
        Err(error) => {
            *here.notes.refusal.borrow_mut() = Some(error.cause());
            plain(numbers::Step::Stopped)
        }
    }
}

/// The step that the step handler was told of; its payload goes into the staging buffer.
#[napi]
pub fn take_step(handle: i64) -> Result<f64> {
    let Ok(here) = sandbox(handle) else { return Ok(plain(numbers::Step::None)) };
    match here.driver.take_step() {
        None => Ok(plain(numbers::Step::None)),
        Some(Report::Closed) => {
            with_owner(|owner| owner.remove(handle));
            Ok(plain(numbers::Step::Closed))
        }
        Some(Report::Step(step)) => Ok(describe(&here, step)),
        Some(Report::Refused(failure)) => {
            *here.notes.refusal.borrow_mut() = Some(failure);
            Ok(ended(&here, numbers::Step::Stopped))
        }
        Some(Report::Snapshot(snapshot)) => {
            *here.notes.snapshot.borrow_mut() = Some(snapshot);
            Ok(ended(&here, numbers::Step::Snapshot))
        }
        Some(Report::Restored) => Ok(ended(&here, numbers::Step::Restored)),
    }
}

/// A step that says nothing but its kind.
fn plain(kind: numbers::Step) -> f64 {
    numbers::step(kind, false, 0, 0)
}

/// A step without payload that ends something.
fn ended(here: &SandboxHere, kind: numbers::Step) -> f64 {
    let told = here.driver.inspect(|sandbox| (sandbox.has_output(), condition_of(sandbox, kind)));
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
fn describe(here: &SandboxHere, step: Step) -> f64 {
    let (mut has_output, mut condition) = (false, 0);
    let length = here.driver.inspect(|sandbox| {
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
            *here.notes.exit.borrow_mut() = (code, signal.unwrap_or(0));
            number(numbers::Step::Exited, 0, 0)
        }
        Step::Stopped => ended(here, numbers::Step::Stopped),
        // Stays within the executor.
        Step::Preempted => plain(numbers::Step::None),
    }
}

/// Why the sandbox stopped, or why it did not accept the last operation.
#[napi]
pub fn stopped(handle: i64) -> Result<NativeFailure> {
    let here = sandbox(handle)?;
    let refusal = here.notes.refusal.borrow_mut().take();
    Ok(refusal.or_else(|| here.driver.failure()).unwrap_or_else(Failure::unknown).into())
}

/// Stops a sandbox of any thread.
#[napi]
pub fn kill(handle: i64, reason: StopReason) {
    if let Some(control) = registry::control(handle) {
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
    registry::control(handle).is_some_and(|control| control.stop_is_pending())
}

/// Ends and frees a sandbox; the step handler is told, and `takeStep` then says `closed`.
#[napi]
pub fn close(handle: i64) -> Result<()> {
    sandbox(handle)?.driver.close();
    Ok(())
}
