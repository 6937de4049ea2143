//! Which file needs which, and the circles in that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Files and what they need.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// For each file the files that it needs, with the first line that says so.
    edges: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Graph {
    /// Notes that `line` of `from` needs `to`. A file that needs itself is no circle.
    pub(super) fn add(&mut self, from: &str, line: usize, to: &str) {
        if from != to {
            let targets = self.edges.entry(from.to_owned()).or_default();
            targets.entry(to.to_owned()).or_insert(line);
        }
    }

    /// The sets of files that all need one another.
    pub(super) fn components(&self) -> Vec<BTreeSet<&str>> {
        let reach: BTreeMap<&str, BTreeSet<&str>> =
            self.edges.keys().map(|file| (file.as_str(), self.reached_from(file))).collect();
        let mut components = Vec::new();
        let mut done = BTreeSet::new();
        for (file, reached) in reach.iter().filter(|(file, reached)| reached.contains(*file)) {
            if !done.contains(file) {
                let component: BTreeSet<&str> =
                    reached.iter().copied().filter(|other| reach[other].contains(file)).collect();
                done.extend(component.iter().copied());
                components.push(component);
            }
        }
        components
    }

    /// What `file` needs through one edge or more.
    fn reached_from(&self, file: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut left: Vec<&str> = self.targets(file).collect();
        while let Some(next) = left.pop() {
            // Files that need nothing are in no circle.
            if self.edges.contains_key(next) && reached.insert(next) {
                left.extend(self.targets(next));
            }
        }
        reached
    }

    fn targets(&self, file: &str) -> impl Iterator<Item = &str> {
        self.edges.get(file).into_iter().flat_map(|targets| targets.keys().map(String::as_str))
    }

    /// The files on the shortest way from `file` to itself, both ends named, and the line of `file`
    /// that begins it; `file` alone where there is none.
    pub(super) fn shortest_circle<'a>(&'a self, file: &'a str) -> (Vec<&'a str>, usize) {
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut left = VecDeque::from([file]);
        while let Some(next) = left.pop_front() {
            for target in self.targets(next) {
                if target == file {
                    let mut circle = vec![file, next];
                    while let Some(previous) = before.get(circle[circle.len() - 1]) {
                        circle.push(previous);
                    }
                    circle.reverse();
                    return (circle.clone(), self.edges[file][circle[1]]);
                }
                if !before.contains_key(target) {
                    before.insert(target, next);
                    left.push_back(target);
                }
            }
        }
        (vec![file], 1)
    }

    /// The edges between files of `component`, as (from, line, to).
    pub(super) fn edges_within(&self, component: &BTreeSet<&str>) -> Vec<(&str, usize, &str)> {
        let mut edges = Vec::new();
        for (from, targets) in
            self.edges.iter().filter(|(from, _)| component.contains(from.as_str()))
        {
            for (to, line) in targets.iter().filter(|(to, _)| component.contains(to.as_str())) {
                edges.push((from.as_str(), *line, to.as_str()));
            }
        }
        edges
    }
}

#[cfg(test)]
mod tests {
    use super::Graph;

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        for (line, (from, to)) in edges.iter().enumerate() {
            graph.add(from, line + 1, to);
        }
        graph
    }

    #[test]
    fn a_component_is_what_leads_back_to_itself() {
        let graph =
            graph(&[("a", "b"), ("b", "c"), ("c", "b"), ("d", "e"), ("e", "d"), ("f", "f")]);
        let components: Vec<Vec<&str>> =
            graph.components().into_iter().map(|found| found.into_iter().collect()).collect();
        assert_eq!(components, [["b", "c"], ["d", "e"]]);
    }

    #[test]
    fn the_shortest_circle_is_shown() {
        let graph = graph(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "b")]);
        assert_eq!(graph.shortest_circle("a"), (vec!["a", "b", "c", "a"], 1));
        assert_eq!(graph.shortest_circle("c"), (vec!["c", "b", "c"], 4));
    }
}
