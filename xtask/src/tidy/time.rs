//! Tests and the clock.

use super::code::{Blank, Language, blanked, has_word, numbered};
use super::finding::Findings;
use crate::repository::SourceFile;

/// What waiting for the clock looks like.
const SLEEPS: &[&str] =
    &["thread::sleep(", "sleep(", "timers/promises", "await delay(", "await wait("];

/// How a line reads the clock; together with an assertion it is a timed assertion.
const CLOCKS: &[&str] =
    &["elapsed()", "Instant::now()", "performance.now()", "Date.now()", "hrtime", "elapsedMs"];

/// Where a test really has to sleep (to let another thread get somewhere that cannot be observed,
/// for example) or asserts on time, it says why in a comment that starts like this, on the same line
/// or the one above.
const EXCUSES: &[&str] = &["tidy: sleep: ", "tidy: clock: "];

/// Tests neither sleep nor assert how long something took: the first hides races, the second fails
/// on a busy machine.
pub(super) fn tests_do_not_wait_for_the_clock(files: &[SourceFile], findings: &mut Findings) {
    for file in files.iter().filter(|file| !file.path.starts_with("xtask/")) {
        let language = match file.extension() {
            "rs" => Language::Rust,
            "ts" => Language::TypeScript,
            _ => continue,
        };
        let start = if file.is_test() { 1 } else { test_module_line(file) };
        let code = blanked(&file.text, language, Blank::Comments);
        let originals: Vec<&str> = file.text.lines().collect();
        for (line, text) in numbered(&code).skip_while(|(line, _)| *line < start) {
            let Some(message) = waits(text) else { continue };
            let above = originals.get(line.wrapping_sub(2)).copied().unwrap_or_default();
            let here = originals.get(line - 1).copied().unwrap_or_default();
            let excused = EXCUSES.iter().any(|e| here.contains(e) || above.contains(e));
            if !excused {
                findings.add(file, line, message);
            }
        }
    }
}

fn waits(line: &str) -> Option<&'static str> {
    let is_promise_of_a_timer = line.contains("new Promise") && line.contains("setTimeout(");
    if is_promise_of_a_timer || SLEEPS.iter().any(|sleep| has_start(line, sleep)) {
        return Some(
            "a test sleeps, wait for the event itself (or say why: `// tidy: sleep: ...`)",
        );
    }
    let asserts = line.contains("expect(") || has_word(line, "assert") || line.contains("assert_");
    if asserts && CLOCKS.iter().any(|clock| line.contains(clock)) {
        return Some("a timed assertion, assert a count (or say why: `// tidy: clock: ...`)");
    }
    None
}

/// Whether `pattern` occurs in `line` and does not continue a longer name.
fn has_start(line: &str, pattern: &str) -> bool {
    line.match_indices(pattern)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

fn test_module_line(file: &SourceFile) -> usize {
    numbered(&file.text)
        .find(|(_, line)| line.starts_with("#[cfg(test)]"))
        .map_or(usize::MAX, |(line, _)| line)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_clean, assert_finding};
    use super::tests_do_not_wait_for_the_clock as rule;

    #[test]
    fn a_sleep_in_a_test_needs_a_reason() {
        let sleep = "thread::sleep(x);";
        assert_finding(rule, &[("crates/a/tests/b.rs", sleep)], "crates/a/tests/b.rs:1", "sleeps");
        assert_clean(rule, &[("crates/a/src/b.rs", sleep)]);
        let module = format!("{sleep}\n#[cfg(test)]\nmod tests {{\n{sleep}\n}}");
        assert_finding(rule, &[("crates/a/src/b.rs", &module)], "crates/a/src/b.rs:4", "sleeps");
        let excused = format!("// tidy: sleep: the kick has no other witness\n{sleep}");
        assert_clean(rule, &[("crates/a/tests/b.rs", &excused)]);
    }

    #[test]
    fn a_timer_in_a_promise_is_a_sleep() {
        let text = "await new Promise((done) => setTimeout(done, 10));";
        assert_finding(rule, &[("__tests__/a.test.ts", text)], "__tests__/a.test.ts:1", "sleeps");
    }

    #[test]
    fn a_timed_assertion_needs_a_reason() {
        let text = "expect(performance.now() - start).toBeLessThan(100);";
        assert_finding(rule, &[("__tests__/a.test.ts", text)], "__tests__/a.test.ts:1", "timed");
        assert_clean(rule, &[("__tests__/a.test.ts", "const start = performance.now();")]);
    }
}
