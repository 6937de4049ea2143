//! Rules for the documents.

use super::code::numbered;
use super::finding::Findings;
use crate::documents::{SYSTEM_CALLS, block, copies};
use crate::repository::SourceFile;
use std::collections::{HashMap, HashSet};

/// The pages from which every other page must be reachable.
const ENTRANCES: &[&str] = &["README.md", "docs/README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];

/// Relative links lead to tracked files, and their fragments to headings.
pub(super) fn links_resolve(files: &[SourceFile], findings: &mut Findings) {
    let targets = Targets::new(files);
    for page in pages(files) {
        for link in links(page) {
            if let Some(problem) = targets.problem(page, &link) {
                findings.add(page, link.line, format!("link to {}: {problem}", link.target));
            }
        }
    }
}

/// Every page under `docs/` is linked from somewhere a reader starts.
pub(super) fn pages_are_reachable(files: &[SourceFile], findings: &mut Findings) {
    let by_path: HashMap<&str, &SourceFile> =
        pages(files).map(|page| (page.path.as_str(), page)).collect();
    let mut reached: HashSet<String> = HashSet::new();
    let mut open: Vec<String> = ENTRANCES.iter().map(|path| (*path).to_owned()).collect();
    while let Some(path) = open.pop() {
        let Some(page) = by_path.get(path.as_str()) else { continue };
        if reached.insert(path) {
            open.extend(links(page).iter().filter_map(|link| link.file(page)));
        }
    }
    for page in pages(files) {
        if page.path.starts_with("docs/") && !reached.contains(&page.path) {
            findings.add(page, 1, "no page leads here, link it from docs/README.md");
        }
    }
}

/// A block that is marked as a copy equals its file.
pub(super) fn examples_are_copies(files: &[SourceFile], findings: &mut Findings) {
    for page in pages(files) {
        for copy in copies(&page.text) {
            let file = files.iter().find(|file| file.path == copy.path);
            let message = match (file, copy.fences) {
                (None, _) => format!("there is no {}, mend the mark", copy.path),
                (_, None) => "no fenced block follows, add one or remove the mark".to_owned(),
                (Some(file), Some(fences)) if block(&page.text, fences) != file.text => {
                    format!("not the text of {}, run `cargo xtask docs`", copy.path)
                }
                _ => continue,
            };
            findings.add(page, copy.line, message);
        }
    }
}

/// The list of system calls is that of the personality's table.
pub(super) fn system_calls_are_current(files: &[SourceFile], findings: &mut Findings) {
    for page in files.iter().filter(|file| file.path == SYSTEM_CALLS) {
        if page.text != ampoule_linux::documentation() {
            findings.add(page, 1, "not what crates/linux says, run `cargo xtask docs`");
        }
    }
}

fn pages(files: &[SourceFile]) -> impl Iterator<Item = &SourceFile> {
    files.iter().filter(|file| file.extension() == "md")
}

struct Link {
    line: usize,
    target: String,
}

impl Link {
    /// Whether the target is in this repository.
    fn is_local(&self) -> bool {
        !self.target.contains("://") && !self.target.starts_with("mailto:")
    }

    /// The repository path that the link on `page` leads to; `None` for one to elsewhere.
    fn file(&self, page: &SourceFile) -> Option<String> {
        if !self.is_local() {
            return None;
        }
        let path = self.target.split('#').next().unwrap_or_default();
        if path.is_empty() {
            return Some(page.path.clone());
        }
        let mut parts: Vec<&str> = page.path.split('/').collect();
        parts.pop();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop()?;
                }
                name => parts.push(name),
            }
        }
        Some(parts.join("/"))
    }
}

/// What a link can lead to.
struct Targets<'a> {
    files: HashMap<&'a str, &'a SourceFile>,
    directories: HashSet<&'a str>,
}

impl<'a> Targets<'a> {
    fn new(files: &'a [SourceFile]) -> Self {
        let mut directories = HashSet::new();
        for file in files {
            let mut path = file.path.as_str();
            while let Some((parent, _)) = path.rsplit_once('/') {
                directories.insert(parent);
                path = parent;
            }
        }
        Self { files: files.iter().map(|file| (file.path.as_str(), file)).collect(), directories }
    }

    fn problem(&self, page: &SourceFile, link: &Link) -> Option<String> {
        if !link.is_local() {
            return None;
        }
        let Some(path) = link.file(page) else {
            return Some("it leaves the repository".to_owned());
        };
        let Some(file) = self.files.get(path.as_str()) else {
            let found = self.directories.contains(path.as_str());
            return (!found).then(|| format!("there is no {path}, mend or remove it"));
        };
        let fragment = link.target.split_once('#')?.1;
        let found = file.extension() != "md" || anchors(file).contains(fragment);
        (!found).then(|| format!("{path} has no heading #{fragment}, mend it"))
    }
}

/// The lines of a page that are not inside a fenced block.
fn prose(page: &SourceFile) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    numbered(&page.text).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        let visible = !fenced && !fence;
        fenced ^= fence;
        visible
    })
}

/// The inline links and link definitions of a page.
fn links(page: &SourceFile) -> Vec<Link> {
    let mut found = Vec::new();
    for (line, text) in prose(page) {
        let mut add = |target: &str| {
            let target = target.split_whitespace().next().unwrap_or_default();
            if !target.is_empty() {
                found.push(Link { line, target: target.trim_matches(['<', '>']).to_owned() });
            }
        };
        let text = without_code_spans(text);
        for (at, _) in text.match_indices("](") {
            let rest = &text[at + 2..];
            add(rest.split(')').next().unwrap_or_default());
        }
        if text.starts_with('[')
            && let Some((_, target)) = text.split_once("]: ")
        {
            add(target);
        }
    }
    found
}

/// `line` with the insides of its code spans blanked out; a link's text may be one.
fn without_code_spans(line: &str) -> String {
    line.split('`')
        .enumerate()
        .map(|(index, part)| if index % 2 == 0 { part.to_owned() } else { " ".repeat(part.len()) })
        .collect::<Vec<_>>()
        .join("`")
}

/// How the API reference names its places in tables.
const NAMED_PLACE: &str = "<a id=\"";

/// The fragments that the headings of a page get, and those that it names itself.
fn anchors(page: &SourceFile) -> HashSet<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut anchors = HashSet::new();
    for (_, line) in prose(page) {
        for (at, _) in line.match_indices(NAMED_PLACE) {
            anchors.extend(line[at + NAMED_PLACE.len()..].split('"').next().map(str::to_owned));
        }
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let slug: String = title
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let count = seen.entry(slug.clone()).or_default();
        anchors.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
        *count += 1;
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_clean, assert_finding};
    use super::{
        examples_are_copies, links_resolve, pages_are_reachable, system_calls_are_current,
    };

    #[test]
    fn links_lead_to_files_directories_and_headings() {
        let page = "[a](../ts/a.ts) [b](b.md#two-words) [c](../ts) [d](#here) [e](https://x.y/z)\n\
                    # Here\n`[x](nowhere)`\n```\n[y](nowhere)\n```\n";
        assert_clean(
            links_resolve,
            &[("docs/a.md", page), ("docs/b.md", "## Two `words`\n"), ("ts/a.ts", "")],
        );
    }

    #[test]
    fn a_dead_link_is_a_finding() {
        let page = ("docs/a.md", "x\n[b](b.md)");
        assert_finding(links_resolve, &[page], "docs/a.md:2", "there is no docs/b.md");
        let fragment = ("docs/a.md", "[b](b.md#three)");
        let b = ("docs/b.md", "# Two");
        assert_finding(links_resolve, &[fragment, b], "docs/a.md:1", "no heading #three");
        let outside = ("a.md", "[b](../b.md)");
        assert_finding(links_resolve, &[outside], "a.md:1", "leaves the repository");
    }

    #[test]
    fn a_link_may_lead_to_a_place_that_the_page_names() {
        let page = ("docs/a.md", "[b](b.md#property-b)");
        let named = ("docs/b.md", "| <a id=\"property-a\"></a> a | <a id=\"property-b\"></a> b |");
        assert_clean(links_resolve, &[page, named]);
        let other = ("docs/b.md", "| <a id=\"property-a\"></a> property-b |");
        assert_finding(links_resolve, &[page, other], "docs/a.md:1", "no heading #property-b");
    }

    #[test]
    fn a_page_nobody_links_is_a_finding() {
        let readme = ("README.md", "[docs](docs/README.md)");
        let index = ("docs/README.md", "[a](a.md)");
        assert_clean(pages_are_reachable, &[readme, index, ("docs/a.md", "")]);
        assert_finding(
            pages_are_reachable,
            &[readme, index, ("docs/a.md", ""), ("docs/b.md", "[b](b.md)")],
            "docs/b.md:1",
            "no page leads here",
        );
    }

    #[test]
    fn a_stale_example_is_a_finding() {
        let page = ("docs/a.md", "<!-- file: b.js -->\n```js\nrun();\n```\n");
        assert_clean(examples_are_copies, &[page, ("b.js", "run();\n")]);
        let edited = ("b.js", "ran();\n");
        assert_finding(examples_are_copies, &[page, edited], "docs/a.md:1", "not the text of b.js");
        assert_finding(examples_are_copies, &[page], "docs/a.md:1", "there is no b.js");
    }

    #[test]
    fn a_stale_list_of_system_calls_is_a_finding() {
        let current = ampoule_linux::documentation();
        assert_clean(system_calls_are_current, &[("docs/system-calls.md", &current)]);
        let stale = [("docs/system-calls.md", "# System calls")];
        assert_finding(
            system_calls_are_current,
            &stale,
            "docs/system-calls.md:1",
            "cargo xtask docs",
        );
    }
}
