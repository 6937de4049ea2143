//! Which file of a crate needs which.
//!
//! An edge is a path in code or in a `use`, re-exports included, to the file of the innermost module
//! on it. A name that a module re-exports is therefore that module's: children that use a type by
//! its parent's name, while the parent re-exports or calls them, are a circle with it. `mod x;` alone
//! is no edge, and neither is the call of a method. Modules for tests are not looked at.

use super::graph::Graph;
use super::references::{Path, References, references};
use crate::repository::SourceFile;
use std::collections::BTreeMap;

/// How often a name may stand for another before it is given up.
const ALIASES_MAX: usize = 8;

/// The names of a module from the crate's root on.
type Module = Vec<String>;

/// A graph for each library and program among `files`.
pub(super) fn graphs(files: &[SourceFile]) -> Vec<Graph> {
    let texts: BTreeMap<&str, &str> =
        files.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
    texts
        .keys()
        .filter(|path| is_root(path))
        .map(|root| Crate::read(root, &texts).graph())
        .collect()
}

fn is_root(path: &str) -> bool {
    let program = path.rsplit_once("/src/bin/").is_some_and(|(_, name)| !name.contains('/'));
    path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs") || program
}

/// The modules of one crate.
struct Crate<'a> {
    /// The file of each module.
    modules: BTreeMap<Module, &'a str>,
    /// The module that each file is, and what it says.
    files: Vec<(&'a str, Module, References)>,
    /// What a module calls things that it imports.
    aliases: BTreeMap<(Module, String), Vec<String>>,
}

impl<'a> Crate<'a> {
    /// Follows the declarations of modules from the crate's root.
    fn read(root: &'a str, texts: &BTreeMap<&'a str, &'a str>) -> Self {
        let mut found =
            Self { modules: BTreeMap::new(), files: Vec::new(), aliases: BTreeMap::new() };
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut left = vec![(root, Module::new(), folder.to_owned())];
        while let Some((path, module, folder)) = left.pop() {
            let says = references(texts[path]);
            for child in &says.children {
                let inner = child.scope.iter().chain([&child.name]);
                let stem =
                    inner.clone().fold(folder.clone(), |stem, name| format!("{stem}/{name}"));
                let found = [format!("{stem}.rs"), format!("{stem}/mod.rs")]
                    .iter()
                    .find_map(|path| texts.get_key_value(path.as_str()));
                if let Some((path, _)) = found {
                    left.push((*path, module.iter().chain(inner).cloned().collect(), stem));
                }
            }
            let children = says.children.iter().map(|child| &child.scope);
            for scope in says.paths.iter().map(|said| &said.scope).chain(children) {
                for length in 1..=scope.len() {
                    let inner: Module = module.iter().chain(&scope[..length]).cloned().collect();
                    found.modules.insert(inner, path);
                }
            }
            for said in &says.paths {
                if let Some(alias) = &said.alias {
                    let scope: Module = module.iter().chain(&said.scope).cloned().collect();
                    found.aliases.insert((scope, alias.clone()), said.names.clone());
                }
            }
            found.modules.insert(module.clone(), path);
            found.files.push((path, module, says));
        }
        found
    }

    fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        for (path, module, says) in &self.files {
            for said in &says.paths {
                if let Some(target) = self.target(module, said) {
                    graph.add(path, said.line, target);
                }
            }
        }
        graph
    }

    /// The file that a path in the file of `module` leads to, if that is one of the crate's.
    fn target(&self, module: &Module, said: &Path) -> Option<&'a str> {
        let scope: Module = module.iter().chain(&said.scope).cloned().collect();
        let target = self.resolve(&scope, &said.names, ALIASES_MAX)?;
        self.modules.get(&target).copied()
    }

    /// The innermost module on the path `names` as seen in `scope`; `None` for another crate's.
    fn resolve(&self, scope: &Module, names: &[String], aliases_left: usize) -> Option<Module> {
        let (first, mut rest) = names.split_first()?;
        let mut module = match first.as_str() {
            "crate" => Module::new(),
            "self" => scope.clone(),
            "super" => parent(scope)?,
            name => {
                let child: Module = scope.iter().cloned().chain([name.to_owned()]).collect();
                let stands_for = || self.aliases.get(&(scope.clone(), name.to_owned()));
                if self.modules.contains_key(&child) {
                    child
                } else if let Some(path) = stands_for().filter(|path| **path != names[..1]) {
                    let path: Vec<String> = path.iter().chain(rest).cloned().collect();
                    return self.resolve(scope, &path, aliases_left.checked_sub(1)?);
                } else {
                    return None;
                }
            }
        };
        while let Some((name, behind)) = rest.split_first() {
            if name == "super" {
                module = parent(&module)?;
            } else {
                module.push(name.clone());
                if !self.modules.contains_key(&module) {
                    module.pop();
                    break;
                }
            }
            rest = behind;
        }
        Some(module)
    }
}

fn parent(module: &Module) -> Option<Module> {
    module.split_last().map(|(_, parent)| parent.to_vec())
}
