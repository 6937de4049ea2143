//! `cargo xtask docs`: what stands in the pages and comes from elsewhere.
//!
//! The list of system calls is written from the personality's own table. An example in a page is a file that tests run. In the page it is a fenced block behind
//! `<!-- file: path -->`; this task fills the block, and `cargo xtask tidy` compares.

use crate::repository::{self, SourceFile};
use anyhow::{Context, Result};
use std::fs;

/// The page that is generated as a whole.
pub(crate) const SYSTEM_CALLS: &str = "docs/system-calls.md";

const MARK_START: &str = "<!-- file: ";
const MARK_END: &str = " -->";

/// A fenced block that has to equal a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Copy<'a> {
    /// Line number of the mark, from 1.
    pub(crate) line: usize,
    /// The file's path.
    pub(crate) path: &'a str,
    /// Line numbers of the two fences; `None` where the block is missing or does not end.
    pub(crate) fences: Option<(usize, usize)>,
}

/// The blocks of `page` that are copies of files.
pub(crate) fn copies(page: &str) -> Vec<Copy<'_>> {
    let lines: Vec<&str> = page.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(path) = line.strip_prefix(MARK_START).and_then(|rest| rest.strip_suffix(MARK_END))
        else {
            continue;
        };
        let opens = lines.get(index + 1).is_some_and(|next| next.starts_with("```"));
        let close = lines.iter().skip(index + 2).position(|next| *next == "```");
        let fences = close.filter(|_| opens).map(|close| (index + 2, index + 3 + close));
        found.push(Copy { line: index + 1, path, fences });
    }
    found
}

/// The text between the fences of `copy`.
pub(crate) fn block(page: &str, fences: (usize, usize)) -> String {
    let (open, close) = fences;
    page.lines().skip(open).take(close - open - 1).map(|line| format!("{line}\n")).collect()
}

/// Writes the generated page and fills every marked block of every page.
pub(crate) fn run() -> Result<()> {
    let root = repository::root();
    fs::write(root.join(SYSTEM_CALLS), ampoule_linux::documentation())?;
    let files = repository::files(&root)?;
    for page in files.iter().filter(|file| file.extension() == "md") {
        let filled = filled(page, &files)?;
        if filled != page.text {
            fs::write(root.join(&page.path), filled)?;
        }
    }
    Ok(())
}

fn filled(page: &SourceFile, files: &[SourceFile]) -> Result<String> {
    let mut lines: Vec<&str> = page.text.lines().collect();
    // From the end, so that the line numbers before stay right.
    for copy in copies(&page.text).into_iter().rev() {
        let place = || format!("{}:{}: {}", page.path, copy.line, copy.path);
        let (open, close) = copy.fences.context("no fenced block follows").with_context(place)?;
        let file = files.iter().find(|file| file.path == copy.path);
        let text = &file.context("no such file").with_context(place)?.text;
        lines.splice(open..close - 1, text.lines());
    }
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, block, copies, filled};

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn marked_blocks_are_filled_and_others_left_alone() {
        let page = file(
            "a.md",
            "x\n<!-- file: b.js -->\n```js\nold\nold\n```\ny\n```js\nkept\n```\n\
             <!-- file: c.js -->\n```js\n```\n",
        );
        let files = [file("b.js", "new\n"), file("c.js", "1\n2\n")];
        let text = filled(&page, &files).unwrap();
        assert_eq!(
            text,
            "x\n<!-- file: b.js -->\n```js\nnew\n```\ny\n```js\nkept\n```\n\
             <!-- file: c.js -->\n```js\n1\n2\n```\n"
        );
        let blocks: Vec<String> =
            copies(&text).iter().map(|copy| block(&text, copy.fences.unwrap())).collect();
        assert_eq!(blocks, ["new\n", "1\n2\n"]);
    }

    #[test]
    fn a_mark_without_a_block_is_an_error() {
        let page = file("a.md", "<!-- file: b.js -->\ntext\n");
        let error = filled(&page, &[file("b.js", "")]).unwrap_err();
        assert!(format!("{error:#}").starts_with("a.md:1: b.js"), "{error:#}");
    }
}
