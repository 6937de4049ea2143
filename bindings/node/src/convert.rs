//! Numbers of JavaScript and those of the core.

use ampoule_sandbox::Budget;
use napi::{Error, Result};
use std::time::Duration;

/// A size as the core has it.
pub(crate) fn unsigned(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| Error::from_reason(format!("{value} is negative")))
}

/// A count as a JavaScript number, exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "no counter gets to 2^53")]
pub(crate) const fn number(value: i64) -> f64 {
    value as f64
}

/// A count as a JavaScript number, exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "no counter gets to 2^53")]
pub(crate) const fn count(value: u64) -> f64 {
    value as f64
}

/// Milliseconds as JavaScript has them; infinity is no limit.
pub(crate) fn budget(timeout_ms: f64, cpu_time_ms: f64) -> Budget {
    // Infinity, and whatever else is no duration, is none.
    let limit = |milliseconds: f64| Duration::try_from_secs_f64(milliseconds / 1000.0).ok();
    Budget { wall: limit(timeout_ms), cpu: limit(cpu_time_ms) }
}
