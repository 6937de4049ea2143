//! The table of system calls as data: what each is called and how it is treated.

pub(crate) mod counts;
pub(crate) mod documentation;
pub(crate) mod entries;
pub(crate) mod entry;

use entries::ENTRIES;
use entry::Entry;

/// The entry of a number.
pub(crate) fn lookup(number: u32) -> Option<&'static Entry> {
    position(number).map(|position| &ENTRIES[position])
}

/// The place of a number in the table.
pub(crate) fn position(number: u32) -> Option<usize> {
    ENTRIES.binary_search_by_key(&number, |entry| entry.number).ok()
}
