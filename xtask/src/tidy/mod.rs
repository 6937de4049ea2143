//! `cargo xtask tidy`: the house rules as tests.
//!
//! Every rule is a function of the tracked files' text, so that its own tests need no repository.
//! A finding is one line: `path:line: what is wrong, what to do`.

mod abi;
mod circles;
mod code;
mod crates;
mod errors;
mod files;
mod finding;
mod generated;
mod imports;
mod markdown;
mod paths;
mod rust;
#[cfg(test)]
mod testing;
mod time;
mod typescript;

pub(crate) use circles::print as print_circles;

use crate::repository;
use anyhow::{Result, bail};
use finding::{Rule, check};
use std::io::Write;

const RULES: &[Rule] = &[
    abi::every_number_is_pinned,
    circles::are_listed,
    crates::edges_are_allowed,
    crates::edges_are_drawn,
    crates::lints_are_inherited,
    errors::codes_are_documented,
    errors::codes_are_written_once,
    errors::the_core_words_no_remedy,
    files::are_not_too_long,
    files::name_no_machine,
    generated::is_fresh,
    markdown::examples_are_copies,
    markdown::links_resolve,
    markdown::pages_are_reachable,
    markdown::system_calls_are_current,
    paths::named_files_exist,
    rust::allows_have_reasons,
    rust::unsafe_is_contained,
    time::tests_do_not_wait_for_the_clock,
    typescript::imports_are_allowed,
];

/// Runs every rule over the working tree; fails if one has a finding.
pub(crate) fn run() -> Result<()> {
    let files = repository::files(&repository::root())?;
    let findings = check(&files, RULES);
    let mut out = std::io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    if !findings.is_empty() {
        bail!("tidy: {} findings in {} files checked", findings.len(), files.len());
    }
    writeln!(out, "tidy: {} files are in order", files.len())?;
    Ok(())
}
