//! What the fuzz targets run: one module for each way in which a guest's bytes reach host code.
//!
//! A module has `check`, which must not panic whatever it is given, and `seeds`, inputs that reach
//! deep. The targets in `fuzz_targets/` hand `check` to libFuzzer; the tests in `tests/` run it on
//! the seeds, on mutations of them, and on every input that once failed (`regressions/`), so that an
//! ordinary test run covers the same entry points.
#![forbid(unsafe_code)]

pub mod elf;
pub mod failure;
pub mod interface;
pub mod store;
pub mod system_calls;
pub mod trace;
pub mod trace_header;
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
    /// How many mutations of each seed an ordinary test run tries: what takes about a second.
    pub mutations: usize,
}

macro_rules! targets {
    ($($name:ident $mutations:literal)*) => {
        /// All fuzz targets.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            check: $name::check,
            seeds: $name::seeds,
            mutations: $mutations,
        }),*];
    };
}

targets! {
    elf 20_000
    failure 20_000
    interface 20_000
    store 4_000
    system_calls 2_000
    trace 20_000
    trace_header 20_000
    value 20_000
}
