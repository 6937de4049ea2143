//! Files and folders of this repository that pages and comments name.

use super::code::numbered;
use super::finding::Findings;
use crate::repository::SourceFile;
use std::collections::BTreeSet;

/// Top folders whose contents are named by their path from the root.
const FOLDERS: &[&str] = &[
    "__tests__",
    "benches",
    "bindings",
    "crates",
    "docs",
    "fuzz",
    "guests",
    "schema",
    "scripts",
    "templates",
    "ts",
    "xtask",
];

/// Every path that a page or a comment names is there: what moves, or is renamed, takes its mentions
/// along.
pub(super) fn named_files_exist(files: &[SourceFile], findings: &mut Findings) {
    let mut known = BTreeSet::new();
    for file in files {
        let ends = file.path.match_indices('/').map(|(at, _)| at).chain([file.path.len()]);
        known.extend(ends.map(|end| &file.path[..end]));
    }
    for file in files.iter().filter(|file| !file.is_generated()) {
        for (line, text) in numbered(&file.text) {
            for path in prose(file.extension(), text).map_or_else(Vec::new, named) {
                if !known.contains(path) {
                    findings.add(file, line, format!("names {path}, which is not there"));
                }
            }
        }
    }
}

/// What of a line is for people.
fn prose<'a>(extension: &str, line: &'a str) -> Option<&'a str> {
    match extension {
        "md" => Some(line),
        "rs" | "ts" | "js" | "c" | "h" => {
            let start = line.trim_start();
            let block = start.starts_with("* ") || start.starts_with("/*");
            if block { Some(start) } else { line.find("//").map(|at| &line[at..]) }
        }
        _ => None,
    }
}

/// The paths in `text` that begin with one of the folders, without placeholders.
fn named(text: &str) -> Vec<&str> {
    let is_path = |c: char| c.is_alphanumeric() || "_-./*<>{}$[]".contains(c);
    text.split(|c| !is_path(c))
        .map(|word| word.trim_end_matches(['.', '/']))
        .filter(|word| {
            let folder = word.split_once('/').map(|(folder, _)| folder);
            folder.is_some_and(|folder| FOLDERS.contains(&folder))
                && !word.contains(['*', '<', '{', '$', '['])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_clean, assert_finding};
    use super::named_files_exist;

    const THERE: (&str, &str) = ("crates/a/src/b.rs", "");

    #[test]
    fn a_name_of_what_has_moved_is_a_finding() {
        let page = ("docs/a.md", "\nIn `crates/a/src/c.rs`, and in crates/a/src/b.rs.");
        assert_finding(named_files_exist, &[THERE, page], "docs/a.md:2", "names crates/a/src/c.rs");
        // In two parts, because this file is checked too.
        let comment = ["f(); /", "/ see crates/b"].concat();
        let comment = ("ts/a.ts", comment.as_str());
        assert_finding(named_files_exist, &[THERE, comment], "ts/a.ts:1", "names crates/b");
        let block = ("ts/a.ts", "/**\n * See `ts/b.ts`.\n */");
        assert_finding(named_files_exist, &[block], "ts/a.ts:2", "names ts/b.ts");
    }

    #[test]
    fn folders_placeholders_and_code_are_fine() {
        let page =
            ("docs/a.md", "`crates/a/`, (crates/a/src), crates/*/src, crates/<name>, x/crates/c");
        let code = ("crates/a/src/d.rs", "let path = \"crates/c\";");
        assert_clean(named_files_exist, &[THERE, page, code]);
    }
}
