//! Circles of files: no file of a crate or of `ts/` may need itself through others.
//!
//! TypeScript modules that only import types of one another are no circle when the program runs. Such
//! a one may stay: its files then stand in `circles.txt`, one a line, in order, with the reason behind
//! the path and ` -- `. The list only shrinks: a line that has come untrue is a finding, too.
//!
//! What counts as an edge of Rust modules is said in [`modules`].

mod graph;
mod modules;
mod references;

use super::code::numbered;
use super::finding::Findings;
use super::imports::imports;
use crate::repository::{self, SourceFile};
use anyhow::Result;
use graph::Graph;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// The list of today's circles.
const LIST: &str = "xtask/src/tidy/circles.txt";

/// Separates a file on the list from the reason why its circle stays.
const REASON: &str = " -- ";

/// No file is in a circle but those on the list, and every file on the list is in one.
pub(in crate::tidy) fn are_listed(files: &[SourceFile], findings: &mut Findings) {
    let list = files.iter().find(|file| file.path == LIST);
    let listed = list.map(|list| read(list, findings)).unwrap_or_default();
    let mut circular = BTreeSet::new();
    for graph in graphs(files) {
        for component in graph.components() {
            if component.iter().any(|file| !listed.contains_key(file)) {
                report(&graph, &component, "move what both need into a third module", findings);
            }
            circular.extend(component.into_iter().map(str::to_owned));
        }
    }
    let values = typescript(files, false);
    for component in values.components() {
        if component.iter().all(|file| listed.contains_key(file)) {
            report(
                &values,
                &component,
                "values are imported there, which no list allows",
                findings,
            );
        }
    }
    for (file, line) in listed.into_iter().filter(|(file, _)| !circular.contains(*file)) {
        findings.add_at(LIST, line, format!("{file} is in no circle any more, delete the line"));
    }
}

/// Adds the shortest circle within `component` as a finding: the one with the edge to take out, as a rule.
fn report(graph: &Graph, component: &BTreeSet<&str>, message: &str, findings: &mut Findings) {
    let circles = component.iter().map(|file| graph.shortest_circle(file));
    let Some((circle, line)) = circles.min_by_key(|(circle, _)| circle.len()) else { return };
    // The first file stands at both ends.
    let others = match component.len().saturating_sub(circle.len() - 1) {
        0 => String::new(),
        others => format!(" and {others} more through these, see `cargo xtask circles`"),
    };
    let trail = circle.join(" -> ");
    findings.add_at(circle[0], line, format!("a circle of files ({trail}{others}), {message}"));
}

/// `cargo xtask circles`: prints the circles, listed or not, whose files begin with `prefix`.
pub(crate) fn print(prefix: &str) -> Result<()> {
    let files = repository::files(&repository::root())?;
    let mut out = std::io::stdout().lock();
    for graph in graphs(&files) {
        for component in graph.components() {
            if !component.iter().any(|file| file.starts_with(prefix)) {
                continue;
            }
            writeln!(out, "{} files:", component.len())?;
            for (from, line, to) in graph.edges_within(&component) {
                writeln!(out, "  {from}:{line} -> {to}")?;
            }
        }
    }
    Ok(())
}

/// The files of `list` with their lines; a list that is not in order, or says no reason, is a finding.
fn read<'a>(list: &'a SourceFile, findings: &mut Findings) -> BTreeMap<&'a str, usize> {
    let mut listed = BTreeMap::new();
    for (number, line) in numbered(&list.text).filter(|(_, line)| !line.starts_with('#')) {
        let (file, reason) = line.split_once(REASON).unwrap_or((line, ""));
        if listed.last_key_value().is_some_and(|(last, _)| *last >= file) {
            findings.add(list, number, "not in order, sort the list");
        }
        if reason.is_empty() || !file.ends_with(".ts") {
            findings.add(
                list,
                number,
                "only a circle of TypeScript types may stay, with the reason behind the path",
            );
        }
        listed.insert(file, number);
    }
    listed
}

/// What needs what: a graph for each crate, and one for TypeScript, types included.
fn graphs(files: &[SourceFile]) -> Vec<Graph> {
    let mut graphs = modules::graphs(files);
    graphs.push(typescript(files, true));
    graphs
}

/// The imports between the modules of `ts/`; those of types alone only `with_types`.
fn typescript(files: &[SourceFile], with_types: bool) -> Graph {
    let mut graph = Graph::default();
    for file in files.iter().filter(|file| file.extension() == "ts" && file.path.starts_with("ts/"))
    {
        for import in imports(file).into_iter().filter(|import| with_types || !import.types_only) {
            graph.add(&file.path, import.line, &import.target);
        }
    }
    graph
}

#[cfg(test)]
mod tests;
