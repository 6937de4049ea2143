//! Development tasks, run as `cargo xtask <task>`.
//!
//! Each task is a module. What a task needs from outside (a compiler, `flatc`, `git`) it runs as a
//! program and names in its failure message together with the remedy.
#![forbid(unsafe_code)]

mod codegen;
mod documents;
mod fuzz;
mod guests;
mod process;
mod repository;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <task>

tasks:
  guests    build every guest: the Rust ones and those of guests/fixtures/c
  codegen   regenerate code from schemas (needs flatc)
  docs      write the list of system calls and fill the pages' examples
  tidy      check the house rules; one line for each finding
  circles [PATH]
            print the circles of files, or those below a path, with every edge
  fuzz [--seconds N] [TARGET]...
            run libFuzzer (needs cargo-fuzz); --entry-points: the targets' ordinary tests
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["guests"] => guests::build_all(),
        ["codegen"] => codegen::run(),
        ["docs"] => documents::run(),
        ["tidy"] => tidy::run(),
        ["circles"] => tidy::print_circles(""),
        ["circles", path] => tidy::print_circles(path),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        [] | ["help" | "--help" | "-h"] => {
            eprint!("{USAGE}");
            return ExitCode::from(if arguments.is_empty() { 2 } else { 0 });
        }
        unknown => {
            eprint!("unknown task `{}`\n{USAGE}", unknown.join(" "));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
