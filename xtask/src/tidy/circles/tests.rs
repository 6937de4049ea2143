use super::{LIST, are_listed};
use crate::tidy::testing::{assert_clean, assert_finding, findings};

const ROOT: &str = "crates/x/src/lib.rs";
const A: &str = "crates/x/src/a.rs";
const B: &str = "crates/x/src/b.rs";
const CHILD: &str = "crates/x/src/a/child.rs";

/// Asserts that there is one finding, which leads through each of `circle`.
#[track_caller]
fn circle(files: &[(&str, &str)], circle: &[&str]) {
    let found = findings(are_listed, files);
    assert_eq!(found.len(), 1, "{found:#?}");
    let trail = found[0].split(['(', ')']).nth(1).unwrap_or_default();
    let mut trail: Vec<&str> = trail.split(" -> ").skip(1).collect();
    trail.sort_unstable();
    assert_eq!(trail, circle, "{found:?}");
}

#[test]
fn a_name_that_the_parent_re_exports_makes_a_circle() {
    let parent = "mod child;\nmod leaf;\npub(crate) use leaf::Leaf;\nfn f() { child::g() }";
    let leaf = ("crates/x/src/a/leaf.rs", "pub(crate) struct Leaf;");
    let root = (ROOT, "mod a;");
    circle(&[root, (A, parent), leaf, (CHILD, "use super::Leaf;")], &[A, CHILD]);
    assert_clean(are_listed, &[root, (A, parent), leaf, (CHILD, "use super::leaf::Leaf;")]);
    // The same for the crate's root, and for a parent called `mod.rs`.
    circle(&[(ROOT, "mod a; pub use a::A;"), (A, "use crate::A as B;")], &[A, ROOT]);
    let index = "crates/x/src/a/mod.rs";
    circle(&[root, (index, parent), leaf, (CHILD, "fn f(x: super::Leaf) {}")], &[CHILD, index]);
}

#[test]
fn a_parent_that_only_declares_its_children_is_in_no_circle() {
    let files = [(ROOT, "mod a;"), (A, "mod child; struct S;"), (CHILD, "use super::S; fn f() {}")];
    assert_clean(are_listed, &files);
}

#[test]
fn paths_through_the_crate_make_a_circle() {
    let root = (ROOT, "pub mod a; pub mod b;");
    let b = (B, "pub struct B; impl From<crate::a::A> for B {}");
    for a in [
        "use crate::b::B;",
        "use super::{b::{B as C}};",
        "use super::b; fn f() { b::g() }",
        "fn f() { assert!(crate::b::B::new()); }",
        "pub use super::b::*;",
        "mod inner { use super::super::b::B; }",
        "fn f() { use crate as x; x::b::g() }",
    ] {
        circle(&[root, (A, a), b], &[A, B]);
    }
    for a in ["use b::B;", "use other::b::B;", "// crate::b", "const S: &str = \"crate::b::B\";"] {
        assert_clean(are_listed, &[root, (A, a), b]);
    }
    // A file of the same path in another crate is another file.
    assert_clean(are_listed, &[root, b, ("crates/y/src/a.rs", "use crate::b::B;")]);
}

#[test]
fn the_shortest_of_several_circles_is_shown() {
    let c = ("ts/c.ts", "import { d } from './d.js';");
    let d = ("ts/d.ts", "import { a } from './a.js';\nimport { c } from './c.js';");
    let a = ("ts/a.ts", "import { c } from './c.js';");
    assert_finding(are_listed, &[a, c, d], "ts/c.ts:1", "(ts/c.ts -> ts/d.ts -> ts/c.ts and");
    assert_finding(are_listed, &[a, c, d], "ts/c.ts:1", "and 1 more through these");
}

#[test]
fn tests_do_not_count() {
    let root = (ROOT, "mod a;\n#[cfg(test)]\nmod b;");
    let tests = (B, "use crate::a::A;");
    assert_clean(are_listed, &[root, (A, "#[cfg(test)] use crate::b::B;"), tests]);
    let inline = "#[cfg(test)]\nmod tests { use crate::b::B; }";
    assert_clean(are_listed, &[(ROOT, "mod a; mod b;"), (A, inline), tests]);
    let child = ("crates/x/src/a/tests.rs", "use super::f;");
    let with_file = (A, "#[cfg(test)]\nmod tests;\nfn f() { tests::g() }");
    assert_clean(are_listed, &[(ROOT, "mod a;"), with_file, child]);
}

#[test]
fn typescript_values_make_a_circle_that_no_list_allows() {
    let a = ("ts/a.ts", "import { b } from './b.js';");
    let b = ("ts/b.ts", "export * from './a.js';");
    circle(&[a, b], &["ts/a.ts", "ts/b.ts"]);
    let listed = (LIST, "ts/a.ts -- because\nts/b.ts -- because\n");
    assert_finding(are_listed, &[a, b, listed], "ts/a.ts:1", "no list allows");
}

#[test]
fn typescript_types_make_a_circle_that_may_be_listed() {
    let a = ("ts/a.ts", "import { b } from './b.js';");
    let b = ("ts/b.ts", "import type { A } from './a.js';");
    circle(&[a, b], &["ts/a.ts", "ts/b.ts"]);
    assert_clean(are_listed, &[a, b, (LIST, "ts/a.ts -- because\nts/b.ts -- because\n")]);
    circle(&[a, b, (LIST, "ts/a.ts -- because\n")], &["ts/a.ts", "ts/b.ts"]);
}

#[test]
fn a_listed_file_that_is_in_no_circle_is_a_finding() {
    let place = format!("{LIST}:2");
    let a = ("ts/a.ts", "import type { B } from './b.js';");
    let removed = [a, ("ts/b.ts", ""), (LIST, "# circles\nts/a.ts -- because\n")];
    assert_finding(are_listed, &removed, &place, "ts/a.ts is in no circle any more");
    let removed = [(LIST, "# circles\nts/gone.ts -- because\n")];
    assert_finding(are_listed, &removed, &place, "ts/gone.ts is in no circle any more");
}

#[test]
fn the_list_is_in_order_and_says_why() {
    let a = ("ts/a.ts", "import type { B } from './b.js';");
    let b = ("ts/b.ts", "import type { A } from './a.js';");
    let wrong = (LIST, "ts/b.ts -- because\nts/a.ts -- because\n");
    assert_finding(are_listed, &[a, b, wrong], &format!("{LIST}:2"), "not in order");
    let wrong = (LIST, "ts/a.ts -- because\nts/b.ts\n");
    assert_finding(are_listed, &[a, b, wrong], &format!("{LIST}:2"), "with the reason");
}

#[test]
fn a_circle_of_rust_modules_has_no_reason_to_stay() {
    let list = format!("{A} -- because\n{ROOT} -- because\n");
    let files = [(ROOT, "mod a; pub use a::A;"), (A, "use crate::A as B;"), (LIST, &list)];
    let found = findings(are_listed, &files);
    assert!(found.iter().all(|finding| finding.contains("only a circle of TypeScript types")));
    assert_eq!(found.len(), 2, "{found:?}");
}
