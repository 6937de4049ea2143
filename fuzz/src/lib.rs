//! What the fuzz targets run: one module for each way in which a guest's bytes reach host code.
//!
//! A module has `check`, which must not panic whatever it is given, and `seeds`, inputs that reach
//! deep. The targets in `fuzz_targets/` hand `check` to libFuzzer; the tests in `tests/` run it on
//! the seeds, on mutations of them, and on every input that once failed (`regressions/`), so that an
//! ordinary test run covers the same entry points.
#![forbid(unsafe_code)]

pub mod failure;
pub mod interface;
pub mod value;

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, also of its binary and its directories.
    pub name: &'static str,
    /// Runs the code under test; panics if it misbehaves.
    pub check: fn(&[u8]),
    /// Inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All fuzz targets.
pub const TARGETS: &[Target] = &[
    Target { name: "failure", check: failure::check, seeds: failure::seeds },
    Target { name: "interface", check: interface::check, seeds: interface::seeds },
    Target { name: "value", check: value::check, seeds: value::seeds },
];
