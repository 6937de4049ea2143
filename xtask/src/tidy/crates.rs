//! Which crate may know which, as drawn in `ARCHITECTURE.md`.

use super::finding::Findings;
use crate::repository::SourceFile;
use toml::{Table, Value};

/// A crate's directory, and the crates of this repository that it may depend on.
struct Room {
    directory: &'static str,
    may_know: &'static [&'static str],
    /// What its tests may know besides.
    tests_may_know: &'static [&'static str],
}

const fn room(directory: &'static str, may_know: &'static [&'static str]) -> Room {
    Room { directory, may_know, tests_may_know: &[] }
}

impl Room {
    const fn tests(self, tests_may_know: &'static [&'static str]) -> Self {
        Self { tests_may_know, ..self }
    }

    /// Its edges, as the page has them.
    fn drawn(&self) -> String {
        let mut edges = self.may_know.join(", ");
        if edges.is_empty() {
            edges.push_str("none");
        }
        if !self.tests_may_know.is_empty() {
            edges.push_str("; its tests: ");
            edges.push_str(&self.tests_may_know.join(", "));
        }
        edges
    }
}

/// Every crate of the root workspace.
const ROOMS: &[Room] = &[
    room("crates/abi", &[]),
    room("crates/memory", &["abi"]),
    room("crates/machine", &["abi", "memory"]),
    room("crates/hypervisor", &["abi", "machine", "memory"]),
    room("crates/linux", &["abi", "memory"]),
    room("crates/wire", &[]),
    room("crates/spans", &["wire"]),
    room("crates/program", &[]),
    room("crates/store", &[]),
    room(
        "crates/sandbox",
        &["abi", "linux", "machine", "memory", "program", "spans", "store", "wire"],
    )
    .tests(&["hypervisor"]),
    room("crates/guest", &["abi", "wire", "guest-macros"]),
    room("crates/guest-macros", &[]),
    room("crates/testkit", &["abi", "machine", "memory"]),
    room("crates/host", &["hypervisor", "sandbox"]).tests(&["abi", "machine", "wire"]),
    room("bindings/node", &["host", "sandbox"]),
    room("benches/floors", &[]),
    room("benches/node", &["floors"]),
    room("benches", &["floors", "host", "sandbox", "wire"]),
    room("xtask", &["linux"]),
];

/// What a program in `guests/` or an example may know.
const GUESTS_MAY_KNOW: &[&str] = &["abi", "guest", "wire"];

/// What fuzz targets may know: every decoder of guest data.
const FUZZ_MAY_KNOW: &[&str] =
    &["abi", "hypervisor", "linux", "memory", "program", "sandbox", "spans", "store", "wire"];

/// For tests any crate may use these.
const DEVELOPMENT: &[&str] = &["testkit"];

/// The dependencies between our crates are those of the table.
pub(super) fn edges_are_allowed(files: &[SourceFile], findings: &mut Findings) {
    for (file, manifest) in manifests(files, findings) {
        let directory = directory(file);
        let Some(may_know) = may_know(directory) else {
            findings.add(file, 1, "unknown crate, give it a room in xtask/src/tidy/crates.rs");
            continue;
        };
        for (section, name) in dependencies(&manifest) {
            let Some(known) = name.strip_prefix("ampoule-") else { continue };
            let development = section == "dev-dependencies";
            if may_know.contains(&known) || (development && tests_may_know(directory, known)) {
                continue;
            }
            let line = line_of(file, &name);
            let message = if DEVELOPMENT.contains(&known) {
                format!("{name} is for tests only, move it to [dev-dependencies]")
            } else {
                format!(
                    "{directory} must not know {name}, take the edge out or change the \
                     architecture (ARCHITECTURE.md and xtask/src/tidy/crates.rs)"
                )
            };
            findings.add(file, line, message);
        }
    }
}

/// The table of edges in `ARCHITECTURE.md` is the one above: a row for each crate, in any order.
pub(super) fn edges_are_drawn(files: &[SourceFile], findings: &mut Findings) {
    let Some(page) = files.iter().find(|file| file.path == "ARCHITECTURE.md") else { return };
    for room in ROOMS {
        let (at, drawn) = super::code::numbered(&page.text)
            .find_map(|(at, line)| Some((at, drawn(line, room.directory)?)))
            .unwrap_or((1, ""));
        let expected = room.drawn();
        if drawn != expected {
            let directory = room.directory;
            findings.add(page, at, format!("the edges are: | `{directory}` | {expected} |"));
        }
    }
}

/// What the line of a table says of the edges of `directory`, if it does.
fn drawn<'a>(line: &'a str, directory: &str) -> Option<&'a str> {
    let row = line.strip_prefix("| `")?.strip_prefix(directory)?.strip_prefix("` | ")?;
    // The map has more columns.
    row.strip_suffix(" |").filter(|edges| !edges.contains('|'))
}

/// Whether the tests of a crate may use another one that the crate itself must not.
fn tests_may_know(directory: &str, known: &str) -> bool {
    let room = ROOMS.iter().find(|room| room.directory == directory);
    DEVELOPMENT.contains(&known) || room.is_some_and(|room| room.tests_may_know.contains(&known))
}

/// Every crate of the root workspace inherits the workspace's lints.
pub(super) fn lints_are_inherited(files: &[SourceFile], findings: &mut Findings) {
    for (file, manifest) in manifests(files, findings) {
        let inherited = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            .and_then(Value::as_bool)
            .unwrap_or(false);
        if !inherited && ROOMS.iter().any(|room| room.directory == directory(file)) {
            findings.add(file, 1, "house lints are off, add `[lints] workspace = true`");
        }
    }
}

/// The manifests of packages, parsed; one that does not parse is a finding.
fn manifests<'a>(files: &'a [SourceFile], findings: &mut Findings) -> Vec<(&'a SourceFile, Table)> {
    let mut manifests = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        // Templates hold placeholders, and their packages are not built here.
        if file.path.starts_with("templates/") {
            continue;
        }
        match file.text.parse::<Table>() {
            Ok(manifest) if manifest.contains_key("package") => manifests.push((file, manifest)),
            Ok(_) => {}
            Err(error) => findings.add(file, 1, format!("not valid TOML: {}", error.message())),
        }
    }
    manifests
}

fn directory(manifest: &SourceFile) -> &str {
    manifest.path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn may_know(directory: &str) -> Option<&'static [&'static str]> {
    if let Some(room) = ROOMS.iter().find(|room| room.directory == directory) {
        return Some(room.may_know);
    }
    if directory.starts_with("guests") || directory.starts_with("examples/") {
        return Some(GUESTS_MAY_KNOW);
    }
    (directory == "fuzz").then_some(FUZZ_MAY_KNOW)
}

/// (section, package) of every dependency, those under `[target.*]` included.
fn dependencies(manifest: &Table) -> Vec<(&'static str, String)> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let tables =
        targets.into_iter().flat_map(|targets| targets.values().filter_map(Value::as_table));
    let mut found = Vec::new();
    for table in std::iter::once(manifest).chain(tables) {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(entries) = table.get(section).and_then(Value::as_table) else { continue };
            for (name, entry) in entries {
                let package = entry.get("package").and_then(Value::as_str).unwrap_or(name);
                found.push((section, package.to_owned()));
            }
        }
    }
    found
}

fn line_of(file: &SourceFile, name: &str) -> usize {
    super::code::numbered(&file.text)
        .find(|(_, line)| super::code::has_word(line, name))
        .map_or(1, |(line, _)| line)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_clean, assert_finding};
    use super::{ROOMS, edges_are_allowed, edges_are_drawn, lints_are_inherited};

    #[test]
    fn the_page_draws_every_edge() {
        let rows: Vec<_> = ROOMS
            .iter()
            .map(|room| format!("| `{}` | {} |", room.directory, room.drawn()))
            .collect();
        let page = rows.join("\n");
        assert_clean(edges_are_drawn, &[("ARCHITECTURE.md", &page)]);
        let missing = page.replace("| `crates/spans` | wire |", "| `crates/spans` | none |");
        assert_finding(
            edges_are_drawn,
            &[("ARCHITECTURE.md", &missing)],
            "ARCHITECTURE.md:7",
            "| `crates/spans` | wire |",
        );
    }

    #[test]
    fn an_edge_of_the_table_is_fine() {
        let text = "[package]\nname='x'\n[dependencies]\nampoule-abi.workspace = true\nserde = '1'\n\
                    [dev-dependencies]\nampoule-testkit.workspace = true\n";
        assert_clean(edges_are_allowed, &[("crates/memory/Cargo.toml", text)]);
    }

    #[test]
    fn any_other_edge_is_a_finding() {
        let text = "[package]\nname='x'\n[dependencies]\nampoule-hypervisor.workspace = true\n";
        assert_finding(
            edges_are_allowed,
            &[("crates/memory/Cargo.toml", text)],
            "crates/memory/Cargo.toml:4",
            "crates/memory must not know ampoule-hypervisor",
        );
    }

    #[test]
    fn renaming_or_a_target_section_hides_no_edge() {
        let text = "[package]\nname='x'\n[target.'cfg(unix)'.dependencies]\n\
                    vm = { package = 'ampoule-sandbox', path = '../sandbox' }\n";
        assert_finding(
            edges_are_allowed,
            &[("crates/wire/Cargo.toml", text)],
            "crates/wire/Cargo.toml:4",
            "ampoule-sandbox",
        );
    }

    #[test]
    fn the_test_kit_is_for_tests() {
        let text = "[package]\nname='x'\n[dependencies]\nampoule-testkit.workspace = true\n";
        assert_finding(
            edges_are_allowed,
            &[("crates/abi/Cargo.toml", text)],
            "crates/abi/Cargo.toml:4",
            "for tests only",
        );
    }

    #[test]
    fn a_crate_needs_a_room() {
        assert_finding(
            edges_are_allowed,
            &[("crates/new/Cargo.toml", "[package]\nname='x'\n")],
            "crates/new/Cargo.toml:1",
            "unknown crate",
        );
    }

    #[test]
    fn a_crate_has_the_house_lints() {
        let text = "[package]\nname='x'\n";
        let with = format!("{text}[lints]\nworkspace = true\n");
        assert_clean(lints_are_inherited, &[("crates/abi/Cargo.toml", &with)]);
        assert_clean(lints_are_inherited, &[("guests/demo/Cargo.toml", text)]);
        assert_finding(
            lints_are_inherited,
            &[("crates/abi/Cargo.toml", text)],
            "crates/abi/Cargo.toml:1",
            "house lints",
        );
    }
}
