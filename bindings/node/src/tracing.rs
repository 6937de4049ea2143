//! Guest tracing: what the next call is to tell, and what it has told.

use crate::convert::number;
use crate::environment::sandbox;
use ampoule_sandbox::{CallTrace, Directives, Sandbox, TraceContext};
use napi::{Error, Result};
use napi_derive::napi;
use parking_lot::Mutex;
use std::sync::Arc;

/// Texts of directives by number, less one. A program has a few; one that makes up new ones for every call
/// gets new numbers for texts that were dropped.
static DIRECTIVES: Mutex<Vec<Arc<Directives>>> = Mutex::new(Vec::new());
/// Texts that are kept, of 2 KiB at most.
const DIRECTIVES_MAX: usize = 4096;

/// Unix time minus the monotonic clock (that of `process.hrtime`), as seconds and nanoseconds.
#[napi]
#[must_use]
pub fn wall_offset() -> Vec<f64> {
    const SECOND: i128 = 1_000_000_000;
    let offset = ampoule_sandbox::wall_offset();
    let float = |value: i128| i32::try_from(value).map_or(f64::NAN, f64::from);
    // Whole seconds fit into 53 bits for millions of years.
    let seconds = i64::try_from(offset.div_euclid(SECOND)).unwrap_or(i64::MAX);
    vec![number(seconds), float(offset.rem_euclid(SECOND))]
}

/// Keeps directives, and gives the number by which `traceNext` knows them.
#[napi]
pub fn trace_directives(text: String) -> Result<u32> {
    let directives =
        Directives::parse(&text).map_err(|error| Error::from_reason(error.to_string()))?;
    let mut kept = DIRECTIVES.lock();
    let known = kept.iter().position(|known| **known == directives);
    let at = known.unwrap_or(kept.len());
    if known.is_none() {
        if at >= DIRECTIVES_MAX {
            return Err(Error::from_reason(format!(
                "{DIRECTIVES_MAX} texts of directives are in use"
            )));
        }
        kept.push(Arc::new(directives));
    }
    u32::try_from(at + 1).map_err(|_| Error::from_reason("too many directives"))
}

/// Traces the next call of the sandbox, or its start, also one that is refused: by directives with a number,
/// within the span that `traceparent` names (empty: none). Number 0: nothing is traced, and the guest knows
/// that span alone. The offset is that of `wallOffset`.
#[napi]
pub fn trace_next(
    handle: i64,
    directives: u32,
    traceparent: String,
    offset_seconds: f64,
    offset_nanoseconds: f64,
) -> Result<()> {
    let at = usize::try_from(directives).ok().and_then(|number| number.checked_sub(1));
    let directives = match at {
        None => None,
        Some(at) => {
            let found = DIRECTIVES.lock().get(at).cloned();
            Some(found.ok_or_else(|| Error::from_reason("there are no such directives"))?)
        }
    };
    let context = if traceparent.is_empty() {
        TraceContext::default()
    } else {
        TraceContext::parse(&traceparent)
            .ok_or_else(|| Error::from_reason(format!("`{traceparent}` is no traceparent")))?
    };
    let wall_offset = whole(offset_seconds) * 1_000_000_000 + whole(offset_nanoseconds);
    let trace = CallTrace { directives, context, wall_offset };
    *sandbox(handle)?.notes.trace.borrow_mut() = Some(trace);
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "JavaScript's own clock gives whole numbers")]
const fn whole(value: f64) -> i128 {
    value as i128
}

/// Bytes of JSON behind which a slice ends.
const SLICE_BYTES: usize = 128 << 10;

/// The first `count` things that have happened in the traced call since the last time, as JSON, or fewer of
/// many bytes; `ts/internal/telemetry` reads it.
#[napi]
pub fn take_trace(handle: i64, count: u32) -> Result<String> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let take = |sandbox: &mut Sandbox| sandbox.take_trace_json(count, SLICE_BYTES);
    let taken = sandbox(handle)?.driver.inspect(take);
    Ok(taken.unwrap_or_else(|| "[]".to_owned()))
}

/// Gives up what `takeTrace` would bring, but for callsites, and counts it as dropped.
#[napi]
pub fn drop_trace(handle: i64) -> Result<()> {
    sandbox(handle)?.driver.inspect(Sandbox::drop_trace);
    Ok(())
}

/// Whether times of guests are exact on this processor.
#[napi]
#[must_use]
pub fn clock_is_invariant() -> bool {
    ampoule_sandbox::clock_is_invariant()
}

/// Whether CPU time inside the guest is counted although no limit asks for it.
#[napi]
pub fn measure_cpu_time(handle: i64, measures: bool) -> Result<()> {
    sandbox(handle)?.driver.inspect(|sandbox| sandbox.measure_cpu_time(measures));
    Ok(())
}
