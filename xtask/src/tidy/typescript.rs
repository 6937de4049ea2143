//! Which TypeScript module may import which.

use super::finding::Findings;
use super::imports::{Import, imports};
use crate::repository::SourceFile;

/// The only module that touches the native addon.
const NATIVE: &str = "ts/internal/native/native.ts";

/// The module of the addon's numbers, which compares them with what the addon declares.
const NUMBERS: &str = "ts/internal/native/numbers.ts";

/// The package's entry point.
const INDEX: &str = "ts/index.ts";

/// Tests of single modules.
const UNITS: &str = "__tests__/units/";

/// What those may reach: state machines, which know no native code, and the numbers of steps.
const MACHINES: [&str; 7] = [
    "ts/internal/driver/left-behind.ts",
    "ts/internal/driver/life.ts",
    "ts/internal/driver/queue.ts",
    "ts/internal/native/numbers.ts",
    "ts/internal/pool/backoff.ts",
    "ts/internal/pool/members.ts",
    "ts/internal/pool/wait-queue.ts",
];

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
        return (path != NATIVE && path != NUMBERS).then_some(
            "the addon is imported by native.ts alone, and by numbers.ts for its types",
        );
    }
    if target.contains("native/index.") {
        return Some(
            "the addon's file is named, import `#native` (in ts/internal/native/native.ts)",
        );
    }
    if path.starts_with("__tests__/") {
        let unit = path.starts_with(UNITS) && MACHINES.contains(&target);
        let inside = target.starts_with("ts/") && target != INDEX && !unit;
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

fn modules(files: &[SourceFile]) -> impl Iterator<Item = &SourceFile> {
    files.iter().filter(|file| {
        file.extension() == "ts"
            && (file.path.starts_with("ts/") || file.path.starts_with("__tests__/"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_clean, assert_finding};
    use super::imports_are_allowed;

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
        denied("__tests__/a.test.ts", "import '../ts/internal/driver/life.js';", "reaches inside");
        denied("__tests__/units/a.test.ts", "import '../../ts/sandbox.js';", "reaches inside");
        assert_clean(
            imports_are_allowed,
            &[
                ("__tests__/units/a.test.ts", "import '../../ts/internal/driver/life.js';"),
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
}
