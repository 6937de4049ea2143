//! What the table says, for users.

use super::entries::ENTRIES;
use super::entry::{Entry, Treatment};
use std::fmt::Write;

/// Names of the calls that a handler answers, in order of their numbers.
pub fn answered() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().filter(|entry| entry.is_answered()).map(|entry| entry.name)
}

/// The page `docs/system-calls.md`: every call with its treatment.
#[must_use]
pub fn documentation() -> String {
    let mut page = String::from(
        "<!-- Generated from crates/linux/src/calls/table/entries.rs. Do not edit. -->\n\
         # System calls\n\n\
         A guest is an ordinary Linux program, but there is no Linux kernel under it: a small table on \
         the host answers the calls below. None of them reaches a file, socket or process of the \
         host. Calls fail with the errors that Linux documents for them; the notes name what is \
         different here. `ENOSYS` is the answer to everything else, and \
         `sandbox.statistics` counts every call by name.\n\n\
         ## Answered\n\n| number | name | notes |\n|---|---|---|\n",
    );
    let row = |page: &mut String, entry: &Entry, middle: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| {} | `{}` |{middle} {} |", entry.number, entry.name, entry.note);
    };
    for entry in ENTRIES {
        if entry.is_answered() {
            row(&mut page, entry, "");
        }
    }
    page.push_str("\n## Refused\n\n| number | name | error | notes |\n|---|---|---|---|\n");
    for entry in ENTRIES {
        if let Treatment::Refused(errno) = entry.treatment {
            row(&mut page, entry, &format!(" `{}` |", errno.name()));
        }
    }
    page.push_str("\n## Absent\n\nThese, and every number without a name, fail with `ENOSYS`:\n\n");
    let absent = ENTRIES.iter().filter(|entry| matches!(entry.treatment, Treatment::Absent));
    let names: Vec<_> = absent.map(|entry| format!("`{}`", entry.name)).collect();
    page.push_str(&names.join(", "));
    page.push_str(".\n");
    page
}
