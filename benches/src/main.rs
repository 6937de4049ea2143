//! `bench`: how fast Ampoule's core is, beside what the machine allows, in the same run.
//!
//! - `product`: operations of the sandbox crate, each beside its floor from `ampoule-floors`.
//! - `compare`: runs both in turns, so that whatever else the machine does hits both alike.
//! - `report`: what comes out, as a table and as JSON for `benches/run.js`.
//!
//! A floor is a ratio's other half, not a goal: goals are in `docs/benchmarks.md`.
#![forbid(unsafe_code)]

mod compare;
mod effort;
mod guest;
mod machine;
mod product;
mod report;

use anyhow::{Context, Result, bail};
use effort::Effort;
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: bench [--quick | --smoke] [--describe] [--json FILE] [NAME ...]

  call      exit (floor), call of add(i32, i32)
  ping      shared memory between two spinning processors (floor)
  restore   copy (floor), restore after so many dirty pages
  memory    copy (floor), restore at so much memory in the image, or only allowed
  create    create (floor) at so many live VMs, from_snapshot and first call
  trace     a call with a span: tracing off, and traced
  snapshot  snapshot, fork, restore of another snapshot in place

  --quick     a fifth of the samples, at most 256 MiB of memory and 100 VMs
  --smoke     a few samples: shows that it works, says nothing about speed
  --describe  measure nothing, only say what the machine is
";

/// A benchmark: adds its measurements to the report.
type Benchmark = fn(&Effort, &mut Report) -> Result<()>;

const BENCHMARKS: &[(&str, Benchmark)] = &[
    ("call", product::call::measure),
    ("ping", product::call::ping),
    ("trace", product::trace::measure),
    ("restore", product::restore::against_pages),
    ("memory", product::restore::against_memory),
    ("create", product::create::measure),
    ("snapshot", product::snapshot::measure),
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut effort = Effort::FULL;
    let mut json = None;
    let mut names = Vec::new();
    let mut describe_only = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => effort = Effort::QUICK,
            "--smoke" => effort = Effort::SMOKE,
            "--json" => json = Some(PathBuf::from(arguments.next().context("--json FILE")?)),
            "--describe" => describe_only = true,
            "--help" | "-h" => {
                eprint!("{USAGE}");
                return Ok(());
            }
            name if BENCHMARKS.iter().any(|(known, _)| *known == name) => {
                names.push(name.to_owned());
            }
            unknown => bail!("unknown benchmark or option `{unknown}`\n{USAGE}"),
        }
    }
    let mut report = Report::new(machine::describe());
    for (name, measure) in BENCHMARKS {
        if describe_only {
            break;
        }
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            measure(&effort, &mut report).with_context(|| format!("benchmark `{name}`"))?;
        }
    }
    if let Some(path) = json {
        report.write(&path).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
