//! What the rules' tests share.

use super::finding::{Rule, check};
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
