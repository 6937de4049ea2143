//! The public error codes, and who words what can be done about an error.

use super::code::{Blank, Language, blanked, numbered};
use super::files::first_test_line;
use super::finding::Findings;
use crate::repository::SourceFile;
use std::collections::HashSet;

const PREFIX: &str = "ERR_AMPOULE_";
const PAGE: &str = "docs/errors.md";
/// Where the codes that the Rust side can give are written out.
const CODES: &str = "crates/sandbox/src/failure/code.rs";
/// What belongs into the wording of a remedy: commands of ours, and the raising of an option.
const REMEDIES: &[&str] = &["npx ", "raise `"];

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

/// The Rust side writes a code out where all of them stand, and nowhere else.
pub(super) fn codes_are_written_once(files: &[SourceFile], findings: &mut Findings) {
    for file in core(files).filter(|file| file.path != CODES) {
        for (line, text) in
            outside_of_tests(file, &blanked(&file.text, Language::Rust, Blank::Comments))
        {
            if text.contains(&format!("\"{PREFIX}")) {
                findings.add(file, line, format!("a public error code, use `Code` ({CODES})"));
            }
        }
    }
}

/// What can be done about an error is worded where options and commands are known: not in Rust.
pub(super) fn the_core_words_no_remedy(files: &[SourceFile], findings: &mut Findings) {
    for file in core(files) {
        for (line, text) in
            outside_of_tests(file, &blanked(&file.text, Language::Rust, Blank::Comments))
        {
            if let Some(words) = REMEDIES.iter().find(|words| text.contains(**words)) {
                let words = words.trim();
                findings.add(
                    file,
                    line,
                    format!(
                        "`{words}`: an option or a command, word it in ts/internal/failures.ts"
                    ),
                );
            }
        }
    }
}

/// Sources of the core and the binding.
fn core(files: &[SourceFile]) -> impl Iterator<Item = &SourceFile> {
    let is_core = |file: &&SourceFile| {
        file.extension() == "rs"
            && (file.path.starts_with("crates/") || file.path.starts_with("bindings/"))
    };
    files.iter().filter(is_core)
}

/// The numbered lines of `text`, which is that of `file` or made of it, before its tests.
fn outside_of_tests<'a>(
    file: &SourceFile,
    text: &'a str,
) -> impl Iterator<Item = (usize, &'a str)> {
    let tests = first_test_line(file);
    numbered(text).take_while(move |&(line, _)| line < tests)
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
    use super::{codes_are_documented, codes_are_written_once, the_core_words_no_remedy};

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

    #[test]
    fn a_code_is_written_once() {
        let text = "fn f() -> &'static str {\n    \"ERR_AMPOULE_TIMEOUT\"\n}\n";
        let with_tests =
            format!("// \"ERR_AMPOULE_TIMEOUT\"\n#[cfg(test)]\nmod tests {{ {text} }}");
        assert_finding(
            codes_are_written_once,
            &[("crates/host/src/a.rs", text)],
            "crates/host/src/a.rs:2",
            "use `Code`",
        );
        assert_clean(
            codes_are_written_once,
            &[
                (super::CODES, text),
                ("crates/host/src/a.rs", &with_tests),
                ("crates/host/tests/a.rs", text),
                ("xtask/src/a.rs", text),
            ],
        );
    }

    #[test]
    fn remedies_are_worded_in_typescript() {
        for words in ["run `npx ampoule doctor`", "too much; raise `memory`"] {
            let text = format!("// {words}\nlet text = \"{words}\";\n");
            assert_finding(
                the_core_words_no_remedy,
                &[("bindings/node/src/a.rs", &text)],
                "bindings/node/src/a.rs:2",
                "word it in ts/internal/failures.ts",
            );
            assert_clean(the_core_words_no_remedy, &[("ts/internal/failures.ts", &text)]);
        }
    }
}
