//! The paths that a Rust source file writes, and the modules that it declares.
//!
//! Read from tokens rather than by a parser: a path looks the same everywhere, inside a macro's
//! arguments too, and only `use` has a grammar of its own. Items under `#[cfg(test)]` are passed
//! over.

use crate::tidy::code::{Blank, Language, blanked, numbered};

/// What a source file says about modules.
#[derive(Debug, Default)]
pub(super) struct References {
    /// Modules in files of their own (`mod name;`).
    pub(super) children: Vec<Child>,
    /// Every path of two names or more, and everything that is imported.
    pub(super) paths: Vec<Path>,
}

/// A module in a file of its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Child {
    /// The modules within the file that it stands in.
    pub(super) scope: Vec<String>,
    pub(super) name: String,
}

/// A path as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// The modules within the file that it stands in.
    pub(super) scope: Vec<String>,
    pub(super) names: Vec<String>,
    pub(super) line: usize,
    /// For an import, what it is called from here on.
    pub(super) alias: Option<String>,
}

/// Reads the source text of one file.
pub(super) fn references(text: &str) -> References {
    let code = blanked(text, Language::Rust, Blank::CommentsAndLiterals);
    let tokens = tokens(&code);
    let mut reader =
        Reader { tokens: &tokens, at: 0, blocks: Vec::new(), found: References::default() };
    while reader.at < tokens.len() {
        reader.step();
    }
    reader.found
}

#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// Names, `::`, and single characters.
fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (line, mut rest) in numbered(code) {
        while let Some(first) = rest.chars().next() {
            let length = if is_name(first) {
                rest.find(|c| !is_name(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (text, behind) = rest.split_at(length);
            if !first.is_whitespace() {
                tokens.push(Token { text, line });
            }
            rest = behind;
        }
    }
    tokens
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

struct Reader<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    /// For every open brace the module that it is the body of.
    blocks: Vec<Option<&'a str>>,
    found: References,
}

impl<'a> Reader<'a> {
    /// The text of the token `offset` tokens ahead; the empty string past the end.
    fn peek(&self, offset: usize) -> &'a str {
        self.tokens.get(self.at + offset).map_or("", |token| token.text)
    }

    /// The text of the token before the next one.
    fn previous(&self) -> &'a str {
        self.at.checked_sub(1).map_or("", |before| self.tokens[before].text)
    }

    fn scope(&self) -> Vec<String> {
        self.blocks.iter().flatten().map(|name| (*name).to_owned()).collect()
    }

    fn step(&mut self) {
        let token = self.peek(0);
        match token {
            "#" => return self.attribute(),
            "{" => self.blocks.push(None),
            "}" => {
                self.blocks.pop();
            }
            "mod" if self.peek(2) == ";" => {
                let child = Child { scope: self.scope(), name: self.peek(1).to_owned() };
                self.found.children.push(child);
                self.at += 2;
            }
            "mod" if self.peek(2) == "{" => {
                self.blocks.push(Some(self.peek(1)));
                self.at += 2;
            }
            // Not the precise capture of `impl Trait + use<'a>`.
            "use" if self.peek(1) != "<" => {
                self.at += 1;
                return self.import(&[]);
            }
            _ if token.starts_with(is_name) && self.peek(1) == "::" => return self.path(),
            _ => {}
        }
        self.at += 1;
    }

    /// A path in code, up to generic arguments.
    fn path(&mut self) {
        let line = self.tokens[self.at].line;
        // `::name` is another crate's, and `pub(in path)` says who may see something.
        let is_ours = self.previous() != "::"
            && !(self.previous() == "in" && self.at >= 2 && self.tokens[self.at - 2].text == "(");
        let mut names = vec![self.peek(0).to_owned()];
        while self.peek(1) == "::" && self.peek(2).starts_with(is_name) {
            names.push(self.peek(2).to_owned());
            self.at += 2;
        }
        self.at += 1;
        if is_ours {
            self.found.paths.push(Path { scope: self.scope(), names, line, alias: None });
        }
    }

    /// The tree of a `use` behind `prefix`, without what ends it.
    fn import(&mut self, prefix: &[String]) {
        let mut names = prefix.to_vec();
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        loop {
            match self.peek(0) {
                "{" => {
                    self.at += 1;
                    while !matches!(self.peek(0), "}" | "") {
                        self.import(&names);
                        // What ends a tree elsewhere is passed over too: every turn goes on.
                        self.at += usize::from(matches!(self.peek(0), "," | ";"));
                    }
                    self.at += 1;
                    return;
                }
                // A path that begins so is another crate's, and one name alone is a crate as well.
                "::" if names.is_empty() => names.push(String::new()),
                "::" => {}
                "self" if !names.is_empty() => {}
                name if name.starts_with(is_name) && name != "as" => names.push(name.to_owned()),
                _ => break,
            }
            self.at += 1;
        }
        let mut alias = names.last().cloned();
        match self.peek(0) {
            "as" => {
                alias = Some(self.peek(1).to_owned());
                self.at += 2;
            }
            "*" => {
                alias = None;
                self.at += 1;
            }
            // Not a tree: passed over, so that reading goes on.
            other if !matches!(other, ";" | "," | "}") => self.at += 1,
            _ => {}
        }
        self.found.paths.push(Path { scope: self.scope(), names, line, alias });
    }

    /// An attribute, and what it belongs to where that is for tests only.
    fn attribute(&mut self) {
        let start = self.at;
        self.at += 1;
        self.at += usize::from(self.peek(0) == "!");
        if self.peek(0) != "[" {
            return;
        }
        self.group();
        let names: Vec<&str> = self.tokens[start..self.at.min(self.tokens.len())]
            .iter()
            .map(|token| token.text)
            .collect();
        let has = |name| names.contains(&name);
        if has("cfg") && has("test") && !has("not") && !has("any") {
            self.skip_item();
        }
    }

    /// Passes over what stands behind an attribute: an item, a statement, a field or a variant.
    fn skip_item(&mut self) {
        while self.peek(0) == "#" {
            self.at += 1;
            self.group();
        }
        let first = self.at;
        if self.peek(0) == "pub" {
            self.at += 1;
            if self.peek(0) == "(" {
                self.group();
            }
        }
        const ITEMS: &[&str] = &[
            "async",
            "const",
            "enum",
            "extern",
            "fn",
            "impl",
            "let",
            "macro_rules",
            "mod",
            "static",
            "struct",
            "trait",
            "type",
            "union",
            "unsafe",
            "use",
        ];
        let is_item = ITEMS.contains(&self.peek(0));
        let is_import = self.peek(0) == "use";
        self.at = first;
        loop {
            match self.peek(0) {
                "" | ")" | "]" | "}" => return,
                ";" => break,
                "," if !is_item => break,
                "{" => {
                    self.group();
                    if is_item && !is_import {
                        return;
                    }
                }
                "(" | "[" => self.group(),
                _ => self.at += 1,
            }
        }
        self.at += 1;
    }

    /// Passes over a bracket and all up to the one that closes it.
    fn group(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.peek(0) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                "" => return,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Child, references};

    /// The paths of `text` as `line path [as alias]`, with the scope in front.
    fn paths(text: &str) -> Vec<String> {
        let found = references(text).paths.into_iter();
        found
            .map(|path| {
                let scope: String = path.scope.iter().map(|name| format!("{name}/")).collect();
                let alias = path.alias.map(|alias| format!(" as {alias}")).unwrap_or_default();
                format!("{} {scope}{}{alias}", path.line, path.names.join("::"))
            })
            .collect()
    }

    #[test]
    fn imports_are_taken_apart() {
        assert_eq!(
            paths("use crate::{a::{self, B as C}, d::*};\nuse ::e::F;\npub(crate) use self::g::H;"),
            [
                "1 crate::a as a",
                "1 crate::a::B as C",
                "1 crate::d",
                "2 ::e::F as F",
                "3 self::g::H as H"
            ]
        );
    }

    #[test]
    fn paths_in_code_and_macros_count() {
        assert_eq!(
            paths("fn f(x: super::A<crate::b::C>) {\n x.y();\n assert!(D::<E>::new() == g::h); }"),
            ["1 super::A", "1 crate::b::C", "3 D", "3 g::h"]
        );
        assert_eq!(paths("pub(in crate::a) fn f() -> impl T + use<'a> { ::b::c() }"), [""; 0]);
    }

    #[test]
    fn modules_within_the_file_are_scopes() {
        let text = "mod a { mod b; fn f() { c::d() } } mod e;";
        assert_eq!(paths(text), ["1 a/c::d"]);
        let children = references(text).children;
        let child = |scope: &[&str], name: &str| Child {
            scope: scope.iter().map(|name| (*name).to_owned()).collect(),
            name: name.to_owned(),
        };
        assert_eq!(children, [child(&["a"], "b"), child(&[], "e")]);
    }

    #[test]
    fn what_is_for_tests_is_passed_over() {
        let tests = [
            "#[cfg(test)]\nmod tests;",
            "#[cfg(test)] pub(crate) mod tests { use super::a::B; }",
            "#[cfg(all(test, unix))] #[inline] fn f<A, B>(a: [u8; 3]) -> C { c::d() }",
            "#[cfg(test)] use crate::{a::B, c::D};",
            "#[cfg(test)] const A: [u8; 2] = a::b();",
        ];
        for text in tests {
            let found = references(&format!("{text}\nuse x::y;"));
            assert_eq!(found.children, [], "{text}");
            assert_eq!(found.paths.len(), 1, "{text}: {:?}", found.paths);
        }
        assert_eq!(paths("struct S { #[cfg(test)] a: a::A, b: b::B }"), ["1 b::B"]);
        assert_eq!(paths("#[cfg(not(test))] use a::b;"), ["1 a::b as b"]);
    }
}
