//! Layers of pages: what of a snapshot's memory differs from its base.
//!
//! ```text
//! "AMPPAGES"  number of runs                                    8 bytes each, little-endian
//! first page, number of pages                                   for each run, in order
//! zeros up to the next page
//! the pages of the first run, of the second, ...
//! ```
//!
//! Everything is page-aligned, so that runs can be mapped where they lie. Each run costs a mapping of its
//! own and splits the base's: runs that lie close together are joined by pages that did not change.

use ampoule_abi::layout::{MEMORY_MAX, PAGE_SIZE};

const MAGIC: &[u8; 8] = b"AMPPAGES";
const FIXED: u64 = 16;
const RUN_SIZE: u64 = 16;
/// Runs that a layer may have: one for every second page of the largest memory, were they not joined.
const RUNS_MAX: u64 = 1 << 18;
/// Extents (pieces of the base and runs) that are mapped one by one. With more, the image is put
/// together in a memfd.
///
/// A sandbox takes three of the kernel's mappings besides (the test `a_sandbox_takes_few_mappings` counts
/// 16 for 13 extents), so that 1,000 of them stay below a third of the 65,530 of `vm.max_map_count`.
pub(super) const EXTENTS_MAX: usize = 16;
/// Runs for which base and runs together stay below [`EXTENTS_MAX`].
const RUNS_WANTED: usize = (EXTENTS_MAX - 1) / 2;
/// Unchanged pages between two runs that are always worth a mapping less.
const GAP_ALWAYS: u64 = 2;

/// A run of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// The first page.
    pub(super) first: u64,
    /// How many.
    pub(super) count: u64,
}

impl Run {
    pub(super) const fn end(self) -> u64 {
        self.first + self.count
    }
}

/// Joins single `changed` pages, which are in order, to runs.
pub(super) fn runs(changed: &[u64]) -> Vec<Run> {
    let mut gaps: Vec<u64> =
        changed.windows(2).map(|pair| pair[1] - pair[0] - 1).filter(|&gap| gap > 0).collect();
    let gap_max = gap_worth_joining(&mut gaps, changed.len() as u64);
    let mut runs: Vec<Run> = Vec::new();
    for &page in changed {
        match runs.last_mut() {
            Some(run) if page - run.end() <= gap_max => run.count = page + 1 - run.first,
            _ => runs.push(Run { first: page, count: 1 }),
        }
    }
    runs
}

/// The largest gap to be filled: as large as it takes to come down to [`RUNS_WANTED`], if that does not
/// add more than half of what changed, or 64 pages.
fn gap_worth_joining(gaps: &mut [u64], changed: u64) -> u64 {
    gaps.sort_unstable();
    let joined = (gaps.len() + 1).saturating_sub(RUNS_WANTED);
    let threshold = joined.checked_sub(1).map_or(0, |last| gaps[last]);
    let added: u64 = gaps.iter().take_while(|&&gap| gap <= threshold).sum();
    if added <= (changed / 2).max(64) { threshold.max(GAP_ALWAYS) } else { GAP_ALWAYS }
}

/// Bytes before the first page of a layer with this many runs.
pub(super) const fn header_bytes(runs: u64) -> u64 {
    (FIXED + runs * RUN_SIZE).next_multiple_of(PAGE_SIZE)
}

/// Bytes of a layer.
pub(super) fn size(runs: &[Run]) -> u64 {
    header_bytes(runs.len() as u64) + pages(runs) * PAGE_SIZE
}

pub(super) fn pages(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.count).sum()
}

/// What stands before the first page.
pub(super) fn encode(runs: &[Run]) -> Vec<u8> {
    let words = [runs.len() as u64].into_iter();
    let words = words.chain(runs.iter().flat_map(|run| [run.first, run.count]));
    let mut header = MAGIC.to_vec();
    header.extend(words.flat_map(u64::to_le_bytes));
    header.resize(usize::try_from(header_bytes(runs.len() as u64)).unwrap_or(usize::MAX), 0);
    header
}

/// Bytes of the header of a layer that starts with these 16 bytes.
///
/// # Errors
/// What is wrong with it.
pub(super) fn header_size(start: &[u8; 16]) -> Result<u64, String> {
    let (magic, count) = start.split_at(8);
    let count = word(count);
    if magic != MAGIC {
        return Err("not a layer of pages".into());
    }
    if count > RUNS_MAX {
        return Err(format!("{count} runs of pages, the limit is {RUNS_MAX}"));
    }
    Ok(header_bytes(count))
}

/// Reads the header of a layer of `size` bytes.
///
/// # Errors
/// What is wrong with it.
pub(super) fn decode(header: &[u8], size: u64) -> Result<Vec<Run>, String> {
    let (start, _) = header.split_first_chunk::<16>().ok_or("it has no header")?;
    if header.len() as u64 != header_size(start)? {
        return Err("its header is cut off".into());
    }
    let count = word(&start[8..]);
    let mut rest = &header[16..];
    let mut runs = Vec::new();
    let mut free_from = 0;
    for _ in 0..count {
        let (run, behind) = rest.split_first_chunk::<16>().ok_or("its header is cut off")?;
        rest = behind;
        let run = Run { first: word(&run[..8]), count: word(&run[8..]) };
        let end = run.first.checked_add(run.count);
        let end = end.filter(|&end| end <= MEMORY_MAX / PAGE_SIZE);
        free_from = end
            .filter(|_| run.count > 0 && run.first >= free_from)
            .ok_or("a run of pages is empty, out of order or out of range")?;
        runs.push(run);
    }
    if rest.iter().any(|&byte| byte != 0) {
        return Err("there is something behind its header".into());
    }
    let expected = self::size(&runs);
    if expected != size {
        return Err(format!("its runs need {expected} bytes, it has {size}"));
    }
    Ok(runs)
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_runs_are_joined_and_far_ones_are_not() {
        let run = |first, count| Run { first, count };
        assert_eq!(runs(&[]), []);
        assert_eq!(runs(&[5, 6, 7]), [run(5, 3)]);
        assert_eq!(runs(&[5, 7, 10, 14]), [run(5, 6), run(14, 1)]);
        // Eight runs come down to seven where the smallest gap is worth it.
        let far: Vec<u64> = (0..8).map(|index| index * 1000).collect();
        assert_eq!(runs(&far).len(), 8);
        let mut near = far.clone();
        near[7] = 6040;
        assert_eq!(runs(&near).last(), Some(&run(6000, 41)));
        assert_eq!(runs(&near).len(), 7);
    }

    #[test]
    fn headers_come_back_and_damaged_ones_do_not() {
        let runs = [Run { first: 3, count: 2 }, Run { first: 9, count: 1 }];
        let header = encode(&runs);
        assert_eq!(decode(&header, 4 * PAGE_SIZE).unwrap(), runs);
        assert!(decode(&header, 4 * PAGE_SIZE + 1).is_err());
        assert!(decode(&header[..4095], 4 * PAGE_SIZE).is_err());
        for at in (0..48).chain([48, 100, 4095]) {
            for bit in 0..8 {
                let mut changed = header.clone();
                changed[at] ^= 1 << bit;
                let result = decode(&changed, 4 * PAGE_SIZE);
                // Other places for as many pages are another valid layer.
                let is_place = (16..24).contains(&at) || (32..40).contains(&at);
                assert!(result.is_err() || is_place, "bit {bit} of byte {at}");
            }
        }
    }
}
