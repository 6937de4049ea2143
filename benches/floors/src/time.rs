//! Timing.

use anyhow::Result;
use std::time::{Duration, Instant};

/// Times `operation` alone, `samples` times, in microseconds; `before` runs, untimed, ahead of each.
///
/// # Errors
/// The first that `before` or `operation` returns.
pub fn sample<S>(
    samples: usize,
    state: &mut S,
    mut before: impl FnMut(&mut S) -> Result<()>,
    mut operation: impl FnMut(&mut S) -> Result<()>,
) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(samples);
    // The first one finds caches that another contestant filled, and does not count.
    for index in 0..=samples {
        before(state)?;
        let start = Instant::now();
        operation(state)?;
        let time = start.elapsed();
        if index > 0 {
            times.push(microseconds(time));
        }
    }
    Ok(times)
}

/// A duration in microseconds.
#[must_use]
pub fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
