//! Which TypeScript module may import which.

use super::code::{Blank, Language, blanked, numbered};
use super::{Findings, SourceFile};
use std::collections::{HashMap, HashSet};

/// The only module that touches the native addon.
const NATIVE: &str = "ts/internal/native/native.ts";

/// The package's entry point.
const INDEX: &str = "ts/index.ts";

/// Imports follow the layers: the addon behind one module, the internal modules behind the public
/// ones, the command line on top, and tests outside.
pub(super) fn imports_are_allowed(files: &[SourceFile], findings: &mut Findings) {
    for file in modules(files) {
        for import in imports(file) {
            if let Some(message) = objection(&file.path, &import) {
                findings.add(file, import.line, message);
            }
        }
    }
}

fn objection(path: &str, import: &Import) -> Option<&'static str> {
    let target = import.target.as_str();
    let from_cli = path.starts_with("ts/cli/");
    if target == "#native" {
        return (path != NATIVE)
            .then_some("the addon is imported by ts/internal/native/native.ts alone");
    }
    if target.contains("native/index.") {
        return Some(
            "the addon's file is named, import `#native` (in ts/internal/native/native.ts)",
        );
    }
    if path.starts_with("__tests__/") {
        let inside = target.starts_with("ts/") && target != INDEX;
        return inside.then_some("a test reaches inside, go through the package's entry point");
    }
    if path == INDEX && import.exports && target.starts_with("ts/internal/") {
        return Some("an internal module becomes public, move what is exported out of ts/internal");
    }
    if target.starts_with("ts/cli/") && !from_cli {
        return Some("the library imports the command line, turn the edge round");
    }
    if target == INDEX && !from_cli {
        return Some("a module imports the entry point that exports it, import its source");
    }
    None
}

/// No module imports itself through others; imports of types alone vanish and do not count.
pub(super) fn imports_have_no_cycle(files: &[SourceFile], findings: &mut Findings) {
    let mut edges: HashMap<&str, Vec<Import>> = HashMap::new();
    for file in modules(files).filter(|file| file.path.starts_with("ts/")) {
        let values = imports(file).into_iter().filter(|import| !import.types_only).collect();
        edges.insert(&file.path, values);
    }
    let mut done = HashSet::new();
    let mut starts: Vec<&str> = edges.keys().copied().collect();
    starts.sort_unstable();
    for start in starts {
        walk(start, &edges, &mut Vec::new(), &mut done, findings);
    }
}

fn walk<'a>(
    path: &'a str,
    edges: &'a HashMap<&str, Vec<Import>>,
    trail: &mut Vec<&'a str>,
    done: &mut HashSet<&'a str>,
    findings: &mut Findings,
) {
    if done.contains(path) {
        return;
    }
    trail.push(path);
    for import in edges.get(path).into_iter().flatten() {
        if let Some(start) = trail.iter().position(|visited| *visited == import.target) {
            let cycle = trail[start..].join(" -> ");
            findings.add_at(
                path,
                import.line,
                format!("imports in a circle ({cycle}), move what both need into a third module"),
            );
        } else {
            walk(&import.target, edges, trail, done, findings);
        }
    }
    trail.pop();
    done.insert(path);
}

fn modules(files: &[SourceFile]) -> impl Iterator<Item = &SourceFile> {
    files.iter().filter(|file| {
        file.extension() == "ts"
            && (file.path.starts_with("ts/") || file.path.starts_with("__tests__/"))
    })
}

struct Import {
    line: usize,
    /// A repository path for a relative import, otherwise the specifier as written.
    target: String,
    exports: bool,
    types_only: bool,
}

/// The static and dynamic imports and the re-exports of a module.
fn imports(file: &SourceFile) -> Vec<Import> {
    let code = blanked(&file.text, Language::TypeScript, Blank::Comments);
    let mut found = Vec::new();
    // Where the statement that is being read began: one may span lines.
    let mut statement = String::new();
    for (line, text) in numbered(&code) {
        let starts = ["import ", "export ", "import{", "export{"];
        if starts.iter().any(|start| text.starts_with(start)) {
            statement.clear();
        }
        statement.push_str(text);
        if let Some(specifier) = specifier(text) {
            let head = statement.trim_start();
            found.push(Import {
                line,
                target: resolve(&file.path, specifier),
                exports: head.starts_with("export"),
                types_only: head.starts_with("import type ") || head.starts_with("export type "),
            });
            statement.clear();
        }
    }
    found
}

/// The module that `line` names, if it ends an import or re-export.
fn specifier(line: &str) -> Option<&str> {
    for lead in ["from ", "import ", "import("] {
        for (at, _) in line.match_indices(lead) {
            let continues_a_name = line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let rest = &line[at + lead.len()..];
            let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
                continue;
            };
            if !continues_a_name {
                return rest[1..].split(quote).next();
            }
        }
    }
    None
}

/// The repository path of the source that `specifier` means in `importer`.
fn resolve(importer: &str, specifier: &str) -> String {
    if !specifier.starts_with('.') {
        return specifier.to_owned();
    }
    let mut parts: Vec<&str> = importer.split('/').collect();
    parts.pop();
    for part in specifier.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    let path = parts.join("/");
    path.strip_suffix(".js").map_or(path.clone(), |stem| format!("{stem}.ts"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_clean, assert_finding};
    use super::{imports_are_allowed, imports_have_no_cycle};

    #[track_caller]
    fn denied(path: &str, text: &str, words: &str) {
        assert_finding(imports_are_allowed, &[(path, text)], &format!("{path}:1"), words);
    }

    #[test]
    fn the_layers_hold() {
        denied("ts/sandbox.ts", "import * as n from \"#native\";", "native.ts alone");
        denied("ts/sandbox.ts", "const n = await import('../native/index.cjs');", "file is named");
        denied("ts/index.ts", "export { x } from './internal/x.js';", "becomes public");
        denied("ts/run.ts", "import './cli/main.js';", "command line");
        denied("ts/run.ts", "import { run } from './index.js';", "entry point");
        denied("__tests__/a.test.ts", "import { x } from '../ts/internal/x.js';", "reaches inside");
        assert_clean(
            imports_are_allowed,
            &[
                ("ts/internal/native/native.ts", "import * as native from '#native';"),
                ("ts/sandbox.ts", "import { x } from './internal/x.js';"),
                ("ts/cli/main.ts", "import { run } from '../index.js';"),
                ("__tests__/a.test.ts", "import { run } from '../ts/index.js';"),
                ("__tests__/b.test.ts", "// import '../ts/internal/x.js'"),
            ],
        );
    }

    #[test]
    fn an_import_may_span_lines() {
        let text = "export {\n  x,\n} from './internal/x.js';";
        assert_finding(imports_are_allowed, &[("ts/index.ts", text)], "ts/index.ts:3", "public");
    }

    #[test]
    fn a_cycle_of_values_is_a_finding() {
        let a = ("ts/a.ts", "import { b } from './b.js';");
        let b = ("ts/b.ts", "import { a } from './a.js';");
        assert_finding(imports_have_no_cycle, &[a, b], "ts/b.ts:1", "ts/a.ts -> ts/b.ts");
        let types = ("ts/b.ts", "import type { A } from './a.js';");
        assert_clean(imports_have_no_cycle, &[a, types]);
    }
}
