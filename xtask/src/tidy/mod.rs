//! `cargo xtask tidy`: the house rules as tests.
//!
//! Every rule is a function of the tracked files' text, so that its own tests need no repository.
//! A finding is one line: `path:line: what is wrong, what to do`.

mod abi;
mod code;
mod crates;
mod errors;
mod files;
mod generated;
mod markdown;
mod rust;
mod time;
mod typescript;

use crate::repository::{self, SourceFile};
use anyhow::{Result, bail};
use std::fmt;
use std::io::Write;

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Collects findings.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, file: &SourceFile, line: usize, message: impl Into<String>) {
        self.add_at(&file.path, line, message);
    }

    fn add_at(&mut self, path: &str, line: usize, message: impl Into<String>) {
        self.0.push(Finding { path: path.to_owned(), line, message: message.into() });
    }
}

/// A rule reads all files and adds what it finds.
type Rule = fn(&[SourceFile], &mut Findings);

const RULES: &[Rule] = &[
    abi::every_number_is_pinned,
    crates::edges_are_allowed,
    crates::lints_are_inherited,
    errors::codes_are_documented,
    files::are_not_too_long,
    files::name_no_machine,
    generated::is_fresh,
    markdown::examples_are_copies,
    markdown::links_resolve,
    markdown::pages_are_reachable,
    markdown::system_calls_are_current,
    rust::allows_have_reasons,
    rust::unsafe_is_contained,
    time::tests_do_not_wait_for_the_clock,
    typescript::imports_are_allowed,
    typescript::imports_have_no_cycle,
];

/// Runs every rule over the working tree; fails if one has a finding.
pub(crate) fn run() -> Result<()> {
    let files = repository::files(&repository::root())?;
    let mut findings = check(&files, RULES);
    findings.sort();
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

fn check(files: &[SourceFile], rules: &[Rule]) -> Vec<Finding> {
    let mut findings = Findings::default();
    for rule in rules {
        rule(files, &mut findings);
    }
    findings.0
}

/// What the rules' tests share.
#[cfg(test)]
mod testing {
    use super::{Rule, check};
    use crate::repository::SourceFile;

    /// The findings of `rule` over files given as (path, text), as printed.
    pub(super) fn findings(rule: Rule, files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<SourceFile> = files
            .iter()
            .map(|(path, text)| SourceFile { path: (*path).to_owned(), text: (*text).to_owned() })
            .collect();
        check(&files, &[rule]).iter().map(ToString::to_string).collect()
    }

    /// Asserts that `rule` has exactly one finding, at `place`, whose text contains `words`.
    #[track_caller]
    pub(super) fn assert_finding(rule: Rule, files: &[(&str, &str)], place: &str, words: &str) {
        let found = findings(rule, files);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with(&format!("{place}: ")), "{found:?}");
        assert!(found[0].contains(words), "{found:?}");
    }

    /// Asserts that `rule` has no finding.
    #[track_caller]
    pub(super) fn assert_clean(rule: Rule, files: &[(&str, &str)]) {
        assert_eq!(findings(rule, files), Vec::<String>::new());
    }
}
