//! Snippets: a piece of text that a document defines once and uses in several places.
//!
//! ```text
//! {{define greeting}}
//! Hello *reader*
//! {{end}}
//!
//! {{use greeting}}, and again: {{use greeting}}
//! ```
//!
//! A snippet may use others. **The bug**: nothing notices a snippet that uses itself, directly or
//! through others. `documents/endless.md` is such a document and is expanded for ever;
//! `documents/growing.md` grows meanwhile, until memory is full. It is here to show what becomes of
//! the program around it: natively it would hang, in a sandbox a limit ends it. The remedy would be
//! a set of the names that are being expanded.

use std::collections::HashMap;

const USE: &str = "{{use ";
const CLOSE: &str = "}}";

/// The document with all uses replaced and the definitions removed.
///
/// Unknown names stay as they are.
pub(crate) fn expand(source: &str) -> String {
    let (mut text, snippets) = definitions(source);
    if snippets.is_empty() {
        return text;
    }
    // One replacement a round, until there is none left to make.
    while let Some((start, end, snippet)) = first_use(&text, &snippets) {
        text.replace_range(start..end, snippet);
    }
    text
}

/// The document without its definitions, and the definitions.
fn definitions(source: &str) -> (String, HashMap<&str, String>) {
    let mut text = String::with_capacity(source.len());
    let mut snippets = HashMap::new();
    let mut open: Option<(&str, String)> = None;
    for line in source.split_inclusive('\n') {
        let trimmed = line.trim();
        let defined = trimmed.strip_prefix("{{define ").and_then(|rest| rest.strip_suffix(CLOSE));
        open = match (open, defined) {
            (None, Some(name)) => Some((name.trim(), String::new())),
            (Some((name, snippet)), _) if trimmed == "{{end}}" => {
                snippets.insert(name, snippet.trim().to_owned());
                None
            }
            (Some((name, snippet)), _) => Some((name, snippet + line)),
            (None, None) => {
                text.push_str(line);
                None
            }
        };
    }
    (text, snippets)
}

/// Where the first use of a known snippet is, and what belongs there.
fn first_use<'s>(
    text: &str,
    snippets: &'s HashMap<&str, String>,
) -> Option<(usize, usize, &'s str)> {
    text.match_indices(USE).find_map(|(start, _)| {
        let name_start = start + USE.len();
        let length = text[name_start..].find(CLOSE)?;
        let snippet = snippets.get(text[name_start..name_start + length].trim())?;
        Some((start, name_start + length + CLOSE.len(), snippet.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snippets_are_replaced_also_in_snippets() {
        let source =
            "{{define a}}\nA{{use b}}\n{{end}}\n{{define b}}\nB\n{{end}}\n{{use a}} {{use c}}\n";
        assert_eq!(expand(source), "AB {{use c}}\n");
    }

    #[test]
    fn a_document_without_snippets_stays_as_it_is() {
        assert_eq!(expand("# {{use nothing}}\r\n\ntext"), "# {{use nothing}}\r\n\ntext");
    }
}
