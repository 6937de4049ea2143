//! Rules for files of any kind.

use super::code::numbered;
use super::finding::Findings;
use crate::repository::SourceFile;

/// The most lines of a source file.
const LINES_MAX: usize = 600;

/// Extensions of what counts as a source file.
const SOURCES: &[&str] = &["rs", "ts", "mts", "cts", "js", "mjs", "cjs", "c", "h", "sh", "S"];

/// No source file is so long that nobody reads it.
pub(super) fn are_not_too_long(files: &[SourceFile], findings: &mut Findings) {
    for file in files.iter().filter(|file| !file.is_generated()) {
        let lines = file.text.lines().count();
        if SOURCES.contains(&file.extension()) && lines > LINES_MAX {
            let message = format!("{lines} lines, split the file by concern ({LINES_MAX} at most)");
            findings.add(file, LINES_MAX + 1, message);
        }
    }
}

/// Hosts of package registries; written in two parts, because this file is checked too.
const REGISTRIES: &[(&str, &str)] = &[
    ("crates", ".io"),
    ("npmjs", ".org"),
    ("npmjs", ".com"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("deb.debian", ".org"),
];

/// No file names a directory of one developer's machine or a package registry's host: the first is
/// nowhere else, and where packages come from is a setting of the machine.
pub(super) fn name_no_machine(files: &[SourceFile], findings: &mut Findings) {
    for file in files {
        let tests_start = first_test_line(file);
        for (line, text) in numbered(&file.text) {
            if names_path(text, "work") {
                findings.add(file, line, "a path of one machine, derive it from the repository's");
            }
            let is_test = line >= tests_start || file.path.starts_with("guests/");
            if names_path(text, "tmp") && !is_test {
                findings.add(file, line, "a fixed temporary path, ask the system for one");
            }
            // Cargo writes its index's address into every lock file.
            let is_lock = file.path.ends_with("Cargo.lock");
            for (name, domain) in REGISTRIES.iter().filter(|_| !is_lock) {
                let host = format!("{name}{domain}");
                if text.contains(&host) {
                    findings.add(
                        file,
                        line,
                        format!("names the registry host {host}, leave it out"),
                    );
                }
            }
        }
    }
}

/// Number of the first line that is test code; past the end where there is none.
pub(super) fn first_test_line(file: &SourceFile) -> usize {
    if file.is_test() {
        return 1;
    }
    numbered(&file.text)
        .find(|(_, line)| line.starts_with("#[cfg(test)]"))
        .map_or(usize::MAX, |(line, _)| line)
}

/// Whether `line` has an absolute path into the top directory `directory`.
fn names_path(line: &str, directory: &str) -> bool {
    let path = format!("/{directory}/");
    line.match_indices(&path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "./_-}$*".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_clean, assert_finding};
    use super::{are_not_too_long, name_no_machine};

    #[test]
    fn a_long_source_is_a_finding() {
        let long = "x\n".repeat(601);
        assert_finding(are_not_too_long, &[("ts/a.ts", &long)], "ts/a.ts:601", "601 lines");
        assert_clean(are_not_too_long, &[("ts/a.ts", &long[2..]), ("docs/a.md", &long)]);
        assert_clean(are_not_too_long, &[("crates/wire/src/generated/a.rs", &long)]);
    }

    #[test]
    fn machine_paths_are_findings() {
        let path = ["cd ", "/work", "/main"].concat();
        assert_finding(name_no_machine, &[("a.sh", &path)], "a.sh:1", "one machine");
        assert_clean(name_no_machine, &[("a.sh", "ls ./work/x net/work/x")]);
    }

    #[test]
    fn temporary_paths_belong_to_tests() {
        let path = ["open(\"", "/tmp", "/x\")"].concat();
        assert_finding(name_no_machine, &[("ts/a.ts", &path)], "ts/a.ts:1", "temporary");
        assert_clean(
            name_no_machine,
            &[("__tests__/a.ts", &path), ("guests/fixtures/c/a.c", &path)],
        );
        let with_tests = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{ {path} }}");
        assert_clean(name_no_machine, &[("crates/linux/src/a.rs", &with_tests)]);
    }

    #[test]
    fn registries_are_not_named() {
        let host = ["https://registry.npmjs", ".org/x"].concat();
        assert_finding(
            name_no_machine,
            &[("package-lock.json", &host)],
            "package-lock.json:1",
            "host",
        );
        let index = ["crates", ".io-index"].concat();
        assert_clean(name_no_machine, &[("fuzz/Cargo.lock", &index)]);
    }
}
