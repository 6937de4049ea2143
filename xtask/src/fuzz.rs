//! `cargo xtask fuzz [--seconds N] [TARGET]...`: libFuzzer on everything a guest can hand over.
//!
//! cargo-fuzz needs compiler flags that only a nightly compiler takes. `RUSTC_BOOTSTRAP=1` makes the
//! stable one take them, for this task alone.

use crate::{process, repository};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How long a target runs when nothing is said.
const DEFAULT_SECONDS: u32 = 600;

/// Runs the targets named in `arguments`, or all.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let fuzz = repository::root().join("fuzz");
    if arguments == ["--entry-points"] {
        return test_entry_points(&fuzz);
    }
    let mut seconds = DEFAULT_SECONDS;
    let mut chosen = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(&argument) = arguments.next() {
        match argument {
            "--seconds" => {
                let value = arguments.next().context("--seconds needs a number")?;
                seconds = value.parse().with_context(|| format!("--seconds {value}"))?;
            }
            option if option.starts_with('-') => bail!("unknown option {option}"),
            target => chosen.push(target.to_owned()),
        }
    }
    let all = targets(&fuzz)?;
    if let Some(unknown) = chosen.iter().find(|target| !all.contains(target)) {
        bail!("there is no target {unknown}, only {}", all.join(", "));
    }
    if !process::exists("cargo-fuzz") {
        bail!("cargo-fuzz is missing: cargo install cargo-fuzz --locked");
    }
    process::run(test(&fuzz).env("AMPOULE_WRITE_SEEDS", fuzz.join("corpus")))?;
    for target in if chosen.is_empty() { all } else { chosen } {
        process::run(
            process::nested_cargo(&fuzz)
                .env("RUSTC_BOOTSTRAP", "1")
                .args(["fuzz", "run", "--fuzz-dir", ".", "--features", "libfuzzer"])
                .arg(&target)
                .args(["--", "-timeout=10", "-rss_limit_mb=2048"])
                .arg(format!("-max_total_time={seconds}")),
        )
        .with_context(|| {
            format!("target {target}: put the input into fuzz/regressions/{target}/ with the fix")
        })?;
    }
    Ok(())
}

/// The entry points on mutated seeds: an ordinary test run on stable Rust.
fn test_entry_points(fuzz: &Path) -> Result<()> {
    process::run(&mut test(fuzz))
}

fn test(fuzz: &Path) -> Command {
    // Beside the main workspace's build, whose dependencies are mostly the same.
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository::root().join("target"), PathBuf::from);
    let mut cargo = process::nested_cargo(fuzz);
    // Not `--locked`: a dependency added to a crate of the main workspace need not be repeated here.
    cargo.args(["test", "--target-dir"]).arg(target);
    cargo
}

/// The targets' names, from their sources.
fn targets(fuzz: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(fuzz.join("fuzz_targets"))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}
