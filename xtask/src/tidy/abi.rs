//! The guest ABI's numbers.

use super::code::{has_word, numbered};
use super::finding::Findings;
use crate::repository::SourceFile;

const TRIPWIRES: &str = "crates/abi/src/tripwires.rs";

/// Every public constant of the ABI crate occurs in its tripwires, so that none can change
/// unnoticed.
pub(super) fn every_number_is_pinned(files: &[SourceFile], findings: &mut Findings) {
    let Some(tripwires) = files.iter().find(|file| file.path == TRIPWIRES) else { return };
    let numbers = files
        .iter()
        .filter(|file| file.path.starts_with("crates/abi/src/") && file.path != TRIPWIRES);
    for file in numbers {
        for (line, text) in numbered(&file.text) {
            let Some(rest) = text.trim_start().strip_prefix("pub const ") else { continue };
            let Some((name, _)) = rest.split_once(':') else { continue };
            if !rest.starts_with("fn ") && !has_word(&tripwires.text, name) {
                findings.add(file, line, format!("{name} is not pinned, add it to {TRIPWIRES}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_clean, assert_finding};
    use super::every_number_is_pinned;

    #[test]
    fn a_constant_needs_a_tripwire() {
        let port = (
            "crates/abi/src/port.rs",
            "/// One.\npub const BELL: u8 = 1;\npub const fn f(x: u8) {}",
        );
        assert_clean(
            every_number_is_pinned,
            &[port, ("crates/abi/src/tripwires.rs", "port::BELL => 1")],
        );
        assert_finding(
            every_number_is_pinned,
            &[port, ("crates/abi/src/tripwires.rs", "port::BELLS => 1")],
            "crates/abi/src/port.rs:2",
            "BELL is not pinned",
        );
    }
}
