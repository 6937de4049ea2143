//! The table of system calls as data: what each is called and how it is treated.

mod entries;

use crate::answer::Outcome;
use crate::errno::Errno;
use crate::guest::Arguments;
use crate::personality::Personality;
use ampoule_memory::AddressSpace;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

pub(crate) use entries::ENTRIES;

/// Answers one system call.
pub(crate) type Handler = fn(&mut Personality, &mut AddressSpace, &Arguments) -> Outcome;

/// How a system call is treated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Treatment {
    /// By a handler, which may still refuse what it is asked.
    Answered(Handler),
    /// With this error, always.
    Refused(Errno),
    /// With `ENOSYS`: it has a name, and that is all.
    Absent,
}

/// A system call that has a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    pub(crate) treatment: Treatment,
    /// For users: what is special, and the errors that Linux would not give.
    pub(crate) note: &'static str,
}

/// The entry of a number.
pub(crate) fn lookup(number: u32) -> Option<&'static Entry> {
    position(number).map(|position| &ENTRIES[position])
}

fn position(number: u32) -> Option<usize> {
    ENTRIES.binary_search_by_key(&number, |entry| entry.number).ok()
}

/// How often a system call was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemCallCount {
    /// Its name; `syscall_<n>` for a number without one.
    pub name: Cow<'static, str>,
    /// How often.
    pub count: u64,
    /// Whether the personality implements it. A call that is implemented can still fail.
    pub answered: bool,
}

/// How many different nameless numbers are told apart; the rest counts together, so that a guest
/// cannot fill the host's memory by inventing numbers.
const UNKNOWN_MAX: usize = 64;

/// Calls by entry and, for numbers without one, by number.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    /// One for each of [`ENTRIES`].
    known: Vec<u64>,
    unknown: BTreeMap<u32, u64>,
    others: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self { known: vec![0; ENTRIES.len()], unknown: BTreeMap::new(), others: 0 }
    }
}

impl Counts {
    pub(crate) fn add(&mut self, number: u32) {
        if let Some(position) = position(number) {
            self.known[position] += 1;
        } else if self.unknown.len() < UNKNOWN_MAX || self.unknown.contains_key(&number) {
            *self.unknown.entry(number).or_default() += 1;
        } else {
            self.others += 1;
        }
    }

    /// Those that were made at least once.
    pub(crate) fn iter(&self) -> impl Iterator<Item = SystemCallCount> {
        let known = ENTRIES.iter().zip(&self.known).map(|(entry, &count)| SystemCallCount {
            name: entry.name.into(),
            count,
            answered: matches!(entry.treatment, Treatment::Answered(_)),
        });
        let nameless = |name, count| SystemCallCount { name, count, answered: false };
        let unknown = self.unknown.iter();
        known
            .chain(unknown.map(move |(number, &count)| {
                nameless(Cow::Owned(format!("syscall_{number}")), count)
            }))
            .chain([nameless(Cow::Borrowed("syscall_other"), self.others)])
            .filter(|call| call.count > 0)
    }
}

/// Names of the calls that a handler answers, in order of their numbers.
pub fn answered() -> impl Iterator<Item = &'static str> {
    let is_answered = |entry: &&Entry| matches!(entry.treatment, Treatment::Answered(_));
    ENTRIES.iter().filter(is_answered).map(|entry| entry.name)
}

/// The page `docs/system-calls.md`: every call with its treatment.
#[must_use]
pub fn documentation() -> String {
    let mut page = String::from(
        "<!-- Generated from crates/linux/src/table/entries.rs. Do not edit. -->\n\
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
        if matches!(entry.treatment, Treatment::Answered(_)) {
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
