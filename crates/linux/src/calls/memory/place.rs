//! Free memory, and free addresses.

use super::range::length_of;
use crate::calls::call::Call;
use crate::errno::Errno;
use crate::task::progress::{Progress, Step};
use ampoule_abi::layout::{HOST_END, MMAP_TOP, NULL_GUARD_END, PAGE_SIZE, USER_END};
use ampoule_memory::{PageCount, PageRange, Protection, Search};
use std::ops::Range;

/// Refuses a request for memory that certainly cannot be filled. What lies in `replaced` is given back
/// before: when it depends on that, the step that finds out is returned.
pub(super) fn check_room(
    call: &mut Call<'_>,
    length: u64,
    replaced: Option<PageRange>,
) -> Result<Option<Step>, Errno> {
    let given_back = replaced.map_or(0, PageRange::bytes);
    let missing = call.kernel.memory.check_room(call.space, length, given_back)?;
    let missing = PageCount::new(missing.div_ceil(PAGE_SIZE));
    let finds_out = replaced.filter(|_| missing > PageCount::ZERO);
    Ok(finds_out.map(|range| Step::Room(range, missing)))
}

/// Maps fresh memory.
pub(super) fn map(
    call: &mut Call<'_>,
    range: &Range<u64>,
    protection: Protection,
) -> Result<(), Errno> {
    let mapped = call.space.map(range.start, length_of(range), protection);
    mapped.map_err(|error| call.kernel.memory.refused(error))
}

/// Searches for `length` free bytes that end below `top`, or behind the host's part where there are
/// none; `None` when the call was parked to go on with that.
pub(super) fn find_place(call: &mut Call<'_>, length: u64, top: u64) -> Result<Option<u64>, Errno> {
    let mut below = match call.task.take_progress() {
        Progress::Search { below } => below,
        _ => top,
    };
    loop {
        let from = if below <= MMAP_TOP { NULL_GUARD_END } else { HOST_END };
        match call.space.search_free(length, from, below) {
            Search::Found(start) => return Ok(Some(start.get())),
            Search::Below(at) => below = at.get(),
            Search::Nothing if below <= MMAP_TOP && top == MMAP_TOP => below = USER_END,
            Search::Nothing => return Err(call.kernel.memory.ran_out()),
        }
        if call.space.portion_is_over() {
            call.task.keep(Progress::Search { below });
            return Ok(None);
        }
    }
}
