//! Which spans have ended lately: another one may follow from them.

use std::collections::{BTreeMap, VecDeque};

/// Spans that are remembered. Whoever keeps as many, in the order of their numbers, finds each that is told of here.
pub(crate) const REMEMBERED: u32 = 4096;

/// Spans that have ended, by the guest's numbers.
#[derive(Debug, Default)]
pub(crate) struct Closed {
    /// The guest's numbers and ours, the latest last.
    latest: VecDeque<(u64, u32)>,
    /// Ours by the guest's, since somebody asked: most calls never do, and a tree costs as much as the span.
    index: Option<BTreeMap<u64, u32>>,
}

impl Closed {
    pub(crate) fn clear(&mut self) {
        self.latest.clear();
        self.index = None;
    }

    pub(crate) fn add(&mut self, id: u64, number: u32) {
        if self.latest.len() >= REMEMBERED as usize
            && let Some((old, oldest)) = self.latest.pop_front()
            && let Some(index) = &mut self.index
            // A guest may give a number again.
            && index.get(&old) == Some(&oldest)
        {
            index.remove(&old);
        }
        self.latest.push_back((id, number));
        if let Some(index) = &mut self.index {
            index.insert(id, number);
        }
    }

    /// Our number of a span that has ended, if that is one of the last that began up to number `last`.
    pub(crate) fn find(&mut self, id: u64, last: u32) -> Option<u32> {
        let latest = &self.latest;
        let index = self.index.get_or_insert_with(|| latest.iter().copied().collect());
        index.get(&id).copied().filter(|&number| last.wrapping_sub(number) < REMEMBERED)
    }
}

#[cfg(test)]
mod tests {
    use super::{Closed, REMEMBERED};

    #[test]
    fn the_last_spans_are_found_and_no_others() {
        for asks_early in [false, true] {
            let mut closed = Closed::default();
            if asks_early {
                assert_eq!(closed.find(1, 0), None);
            }
            for number in 1..=REMEMBERED + 10 {
                closed.add(u64::from(number) << 40, number);
            }
            let last = REMEMBERED + 10;
            assert_eq!(closed.find(11 << 40, last), Some(11));
            assert_eq!(closed.find(u64::from(last) << 40, last), Some(last));
            assert_eq!(closed.find(10 << 40, last), None);
            // One that is still remembered, and began too long ago.
            assert_eq!(closed.find(11 << 40, last + 1), None);
            assert!(closed.latest.len() == REMEMBERED as usize);
            assert!(closed.index.as_ref().is_some_and(|index| index.len() == REMEMBERED as usize));
        }
    }
}
