//! What a rule finds.

use crate::repository::SourceFile;
use std::fmt;

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
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
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, file: &SourceFile, line: usize, message: impl Into<String>) {
        self.add_at(&file.path, line, message);
    }

    pub(super) fn add_at(&mut self, path: &str, line: usize, message: impl Into<String>) {
        self.0.push(Finding { path: path.to_owned(), line, message: message.into() });
    }

    /// What was found, by path and line.
    pub(super) fn sorted(mut self) -> Vec<Finding> {
        self.0.sort();
        self.0
    }
}

/// A rule reads all files and adds what it finds.
pub(super) type Rule = fn(&[SourceFile], &mut Findings);

/// What `rules` find in `files`.
pub(super) fn check(files: &[SourceFile], rules: &[Rule]) -> Vec<Finding> {
    let mut findings = Findings::default();
    for rule in rules {
        rule(files, &mut findings);
    }
    findings.sorted()
}
