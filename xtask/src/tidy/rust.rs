//! Rules for Rust sources.

use super::code::{Blank, Language, blanked, has_word, numbered};
use super::finding::Findings;
use crate::repository::SourceFile;

/// Where `unsafe` may stand: whole crates, directories and single files, with the reason.
const UNSAFE_ALLOWED: &[(&str, &str)] = &[
    ("crates/memory/", "maps and copies guest memory"),
    ("crates/machine/src/clock.rs", "the time-stamp counter, and the C library's clock"),
    ("crates/hypervisor/", "runs virtual CPUs, sends kicks"),
    (
        "crates/guest/src/channel",
        "the guest's end of the channel: shared memory, the doorbell, the C library",
    ),
    ("crates/guest/src/trace/c.rs", "what C code calls"),
    (
        "crates/guest-macros/src/signature.rs",
        "a symbol of a fixed name, by which a second function of one name is found when building",
    ),
    ("crates/wire/src/generated/", "flatbuffers' accessors over a verified buffer"),
    ("bindings/node/src/staging.rs", "the buffer shared with JavaScript"),
    ("benches/node/", "what Node-API's macros expand to"),
    ("benches/floors/", "raw KVM and raw memory, to compare the product with"),
    ("guests/", "programs inside the sandbox, some of them hostile on purpose"),
];

/// Crates that are `unsafe` in many places; all others forbid it, or deny it where one module of
/// theirs stands in [`UNSAFE_ALLOWED`].
const UNSAFE_CRATES: &[&str] = &["benches/floors", "crates/memory", "crates/hypervisor"];

/// `unsafe` stands only where it is expected, and every other crate says so to the compiler.
pub(super) fn unsafe_is_contained(files: &[SourceFile], findings: &mut Findings) {
    for file in files.iter().filter(|file| file.extension() == "rs") {
        let allowed = UNSAFE_ALLOWED.iter().any(|(place, _)| file.path.starts_with(place));
        if !allowed {
            let code = blanked(&file.text, Language::Rust, Blank::CommentsAndLiterals);
            for (line, _) in numbered(&code).filter(|(_, line)| has_word(line, "unsafe")) {
                findings.add(
                    file,
                    line,
                    "unsafe code here, use crates/memory's access (the list of places that may \
                     is in xtask/src/tidy/rust.rs)",
                );
            }
        }
        check_crate_attribute(file, findings);
    }
}

/// Checks the `unsafe_code` lint at the root of a crate of ours.
fn check_crate_attribute(file: &SourceFile, findings: &mut Findings) {
    let Some(directory) =
        file.path.strip_suffix("/src/lib.rs").or_else(|| file.path.strip_suffix("/src/main.rs"))
    else {
        return;
    };
    let is_ours = directory.starts_with("crates/")
        || directory.starts_with("benches")
        || matches!(directory, "bindings/node" | "xtask");
    if !is_ours || UNSAFE_CRATES.contains(&directory) {
        return;
    }
    let has_exception = UNSAFE_ALLOWED.iter().any(|(place, _)| place.starts_with(directory));
    let attribute = if has_exception { "#![deny(unsafe_code)]" } else { "#![forbid(unsafe_code)]" };
    let stricter = "#![forbid(unsafe_code)]";
    if !file.text.contains(attribute) && !file.text.contains(stricter) {
        findings.add(file, 1, format!("unsafe code is not ruled out, add `{attribute}`"));
    }
}

/// Lints are switched off by `#[expect(lint, reason = "...")]`, which complains once it is no
/// longer needed; `#[allow]` stays for ever. Code that a macro writes into a user's crate cannot
/// know what is needed there, so that it may allow, with a reason.
pub(super) fn allows_have_reasons(files: &[SourceFile], findings: &mut Findings) {
    for file in files.iter().filter(|file| file.extension() == "rs" && !file.is_generated()) {
        let code = blanked(&file.text, Language::Rust, Blank::CommentsAndLiterals);
        for (line, text) in numbered(&code) {
            let is_attribute = text.contains("#[") || text.contains("#![");
            let is_macro =
                file.path.starts_with("crates/guest-macros/") && has_word(text, "reason");
            if is_attribute && has_word(text, "allow") && text.contains("allow(") && !is_macro {
                let message = "an #[allow], use #[expect(lint, reason = \"...\")]";
                findings.add(file, line, message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_clean, assert_finding};
    use super::{allows_have_reasons, unsafe_is_contained};

    #[test]
    fn unsafe_outside_its_rooms_is_a_finding() {
        let text = "// unsafe\nfn f() { unsafe { g() } }";
        assert_clean(unsafe_is_contained, &[("crates/memory/src/a.rs", text)]);
        let place = "crates/linux/src/a.rs:2";
        assert_finding(
            unsafe_is_contained,
            &[("crates/linux/src/a.rs", text)],
            place,
            "unsafe code",
        );
    }

    #[test]
    fn a_crate_forbids_or_denies_unsafe() {
        assert_clean(
            unsafe_is_contained,
            &[
                ("crates/linux/src/lib.rs", "#![forbid(unsafe_code)]"),
                ("crates/wire/src/lib.rs", "#![deny(unsafe_code)]"),
                ("crates/memory/src/lib.rs", ""),
            ],
        );
        let place = "crates/linux/src/lib.rs:1";
        let denies = ("crates/linux/src/lib.rs", "#![deny(unsafe_code)]");
        assert_finding(unsafe_is_contained, &[denies], place, "add `#![forbid(unsafe_code)]`");
    }

    #[test]
    fn allow_is_a_finding_and_expect_is_not() {
        let expect = "#[expect(dead_code, reason = \"allow(\")]";
        assert_clean(allows_have_reasons, &[("a.rs", expect)]);
        assert_finding(allows_have_reasons, &[("a.rs", "\n#[allow(x)]")], "a.rs:2", "#[expect");
        let conditional = "#![cfg_attr(test, allow(x, reason = \"y\"))]";
        assert_finding(allows_have_reasons, &[("a.rs", conditional)], "a.rs:1", "#[expect");
    }
}
