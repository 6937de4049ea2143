//! The public error codes.

use super::code::numbered;
use super::finding::Findings;
use crate::repository::SourceFile;
use std::collections::HashSet;

const PREFIX: &str = "ERR_AMPOULE_";
const PAGE: &str = "docs/errors.md";

/// Every public error code that occurs anywhere is explained in `docs/errors.md`.
pub(super) fn codes_are_documented(files: &[SourceFile], findings: &mut Findings) {
    let page = files.iter().find(|file| file.path == PAGE);
    let documented: HashSet<&str> =
        page.into_iter().flat_map(|page| codes(&page.text)).map(|(_, code)| code).collect();
    let mut reported = HashSet::new();
    for file in files.iter().filter(|file| file.path != PAGE && !file.path.starts_with("xtask/")) {
        for (line, code) in codes(&file.text) {
            if !documented.contains(code) && reported.insert(code) {
                findings.add(file, line, format!("{code} is not explained, add it to {PAGE}"));
            }
        }
    }
}

/// (line, code) of every whole code in `text`; the bare prefix is none.
fn codes(text: &str) -> impl Iterator<Item = (usize, &str)> {
    numbered(text).flat_map(|(number, line)| {
        line.match_indices(PREFIX).filter_map(move |(at, _)| {
            let rest = &line[at..];
            let is_code = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            let end = rest.find(|c| !is_code(c)).unwrap_or(rest.len());
            (end > PREFIX.len()).then_some((number, &rest[..end]))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_clean, assert_finding};
    use super::codes_are_documented;

    #[test]
    fn a_code_is_explained_once_for_all() {
        let page = ("docs/errors.md", "## ERR_AMPOULE_TIMEOUT\n");
        assert_clean(
            codes_are_documented,
            &[page, ("ts/errors.ts", "'ERR_AMPOULE_TIMEOUT'; `ERR_AMPOULE_${name}`")],
        );
        assert_finding(
            codes_are_documented,
            &[page, ("ts/errors.ts", "\n'ERR_AMPOULE_TIME'; 'ERR_AMPOULE_TIME'")],
            "ts/errors.ts:2",
            "ERR_AMPOULE_TIME is not explained",
        );
    }
}
