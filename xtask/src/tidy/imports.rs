//! What a TypeScript module imports.

use super::code::{Blank, Language, blanked, numbered};
use crate::repository::SourceFile;

/// An import or a re-export of a TypeScript module.
pub(super) struct Import {
    /// The line that names the module.
    pub(super) line: usize,
    /// A repository path for a relative import, otherwise the specifier as written.
    pub(super) target: String,
    /// Whether it is a re-export.
    pub(super) exports: bool,
    /// Whether nothing of it is left when the types are gone.
    pub(super) types_only: bool,
}

/// The static and dynamic imports and the re-exports of a module.
pub(super) fn imports(file: &SourceFile) -> Vec<Import> {
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
