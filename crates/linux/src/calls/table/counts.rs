//! How often each system call was made.

use super::entries::ENTRIES;
use super::position;
use std::borrow::Cow;
use std::collections::BTreeMap;

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
            answered: entry.is_answered(),
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
