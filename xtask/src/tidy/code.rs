//! Source text with its comments and literals blanked out, so that a rule does not take a word in a
//! sentence for code.
//!
//! Good enough for the house rules, no more: a regular expression literal with a quote in it, for
//! example, would be read as the start of a string.

/// How literals look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// Nested comments, raw strings, lifetimes.
    Rust,
    /// Three kinds of quotes.
    TypeScript,
}

/// What to blank out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blank {
    /// Comments only.
    Comments,
    /// Comments and the insides of strings and characters.
    CommentsAndLiterals,
}

/// `text` with the same lines and columns, and blanks where comments (and literals) were.
pub(super) fn blanked(text: &str, language: Language, blank: Blank) -> String {
    let mut scanner = Scanner { rest: text, out: String::with_capacity(text.len()), blank };
    while let Some(first) = scanner.rest.chars().next() {
        if scanner.rest.starts_with("//") {
            let end = scanner.rest.find('\n').unwrap_or(scanner.rest.len());
            scanner.erase(end);
        } else if scanner.rest.starts_with("/*") {
            scanner.erase(block_comment(scanner.rest, language == Language::Rust));
        } else if first == '"' {
            scanner.literal(quoted(scanner.rest, '"'));
        } else if language == Language::TypeScript && (first == '\'' || first == '`') {
            scanner.literal(quoted(scanner.rest, first));
        } else if let Some(end) = raw_string(scanner.rest, &scanner.out, language) {
            scanner.literal(end);
        } else if language == Language::Rust && first == '\'' {
            match character(scanner.rest) {
                Some(end) => scanner.literal(end),
                None => scanner.keep(1),
            }
        } else {
            scanner.keep(first.len_utf8());
        }
    }
    scanner.out
}

struct Scanner<'a> {
    rest: &'a str,
    out: String,
    blank: Blank,
}

impl Scanner<'_> {
    fn keep(&mut self, bytes: usize) {
        let (taken, rest) = self.rest.split_at(bytes);
        self.out.push_str(taken);
        self.rest = rest;
    }

    fn erase(&mut self, bytes: usize) {
        let (taken, rest) = self.rest.split_at(bytes);
        self.out.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }

    fn literal(&mut self, bytes: usize) {
        match self.blank {
            Blank::Comments => self.keep(bytes),
            Blank::CommentsAndLiterals => self.erase(bytes),
        }
    }
}

/// Length of the block comment at the start of `text`.
fn block_comment(text: &str, nested: bool) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") && (nested || depth == 0) {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Length of the string at the start of `text`, quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// Length of the Rust raw string at the start of `text`, if there is one.
fn raw_string(text: &str, before: &str, language: Language) -> Option<usize> {
    let continues_a_name = before.ends_with(|c: char| c.is_alphanumeric() && c != 'b' || c == '_');
    if language != Language::Rust || continues_a_name {
        return None;
    }
    let hashes = text.strip_prefix('r')?;
    let body = hashes.trim_start_matches('#');
    let end = format!("\"{}", &hashes[..hashes.len() - body.len()]);
    let body = body.strip_prefix('"')?;
    let start = text.len() - body.len();
    Some(body.find(&end).map_or(text.len(), |found| start + found + end.len()))
}

/// Length of the character literal at the start of `text`; `None` for a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut characters = text.char_indices().skip(1);
    let (_, first) = characters.next()?;
    if first == '\\' {
        return Some(quoted(text, '\''));
    }
    let (end, second) = characters.next()?;
    (second == '\'').then_some(end + 1)
}

/// The lines of `text` with their numbers, from 1.
pub(super) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// Whether `line` contains `word` with no letter, digit or underscore on either side.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_name) && !line[at + word.len()..].starts_with(is_name)
    })
}

#[cfg(test)]
mod tests {
    use super::{Blank, Language, blanked, has_word};

    #[track_caller]
    fn rust(text: &str, expected: &str) {
        assert_eq!(blanked(text, Language::Rust, Blank::CommentsAndLiterals), expected);
    }

    #[test]
    fn rust_comments_and_literals_become_blanks() {
        rust("a // unsafe\nb", "a          \nb");
        rust("a /* x /* y */ */ b", "a                 b");
        rust(r#"f("un\"safe") g"#, r"f(          ) g");
        rust(r##"f(r#"a"b"#, x)"##, "f(        , x)");
        rust("fn f<'a>(c: &'a str) { '\"' }", "fn f<'a>(c: &'a str) {     }");
        rust(r"'\'' b", "     b");
        rust("for\"x\"", "for   ");
    }

    #[test]
    fn typescript_strings_may_be_kept() {
        let text = "import x from './y.js'; // from 'z'";
        let kept = blanked(text, Language::TypeScript, Blank::Comments);
        assert_eq!(kept.trim_end(), "import x from './y.js';");
    }

    #[test]
    fn words_end_at_names() {
        assert!(has_word("unsafe {", "unsafe"));
        assert!(!has_word("deny(unsafe_code)", "unsafe"));
    }
}
