//! What a guest says and asks about memory that it has.

use super::plan;
use super::range::{length_of, pages, whole_pages};
use crate::answer::{Answer, Outcome};
use crate::calls::call::Call;
use crate::errno::Errno;
use crate::guest::{CHUNK, to_usize};
use crate::task::progress::{Plan, Progress, Step};
use ampoule_abi::layout::{PAGE_SIZE, USER_END};
use ampoule_memory::AddressSpace;
use std::ops::Range;

/// `madvise(void *start, size_t length, int advice)`: does what it can around holes, as Linux.
pub(crate) fn madvise(call: &mut Call<'_>, start: u64, length: u64, advice: u32) -> Outcome {
    const DONTNEED: u32 = 4;
    const FREE: u32 = 8;
    const DONTNEED_LOCKED: u32 = 24;
    if let Some(outcome) = plan::go_on(call) {
        return outcome;
    }
    // NORMAL, RANDOM, SEQUENTIAL, WILLNEED; DONTFORK, DOFORK; MERGEABLE, UNMERGEABLE, HUGEPAGE,
    // NOHUGEPAGE, DONTDUMP, DODUMP, WIPEONFORK, KEEPONFORK, COLD, PAGEOUT, POPULATE_READ,
    // POPULATE_WRITE: hints about things that do not exist here.
    let is_hint = matches!(advice, 0..=3 | 10..=23);
    if !is_hint && ![DONTNEED, FREE, DONTNEED_LOCKED].contains(&advice) {
        return Err(Errno::EINVAL);
    }
    let range = whole_pages(start, length).map_err(|_| Errno::EINVAL)?;
    if is_hint || range.is_empty() {
        return check_mapped(call.space, &range);
    }
    call.kernel.memory.check_owned(&range)?;
    let outcome = check_mapped(call.space, &range).map(|_| 0);
    // The kernel may throw pages under MADV_FREE away at any time; doing it at once gives the
    // memory back to the guest.
    plan::run(call, Plan::new([pages(&range).map(Step::Discard)], outcome))
}

fn check_mapped(space: &AddressSpace, range: &Range<u64>) -> Outcome {
    if range.is_empty() || space.is_mapped(range.start, length_of(range)) {
        Ok(Answer::ZERO)
    } else {
        Err(Errno::ENOMEM)
    }
}

/// `mincore(void *start, size_t length, unsigned char *out)`: every page is in memory.
pub(crate) fn mincore(call: &mut Call<'_>, start: u64, length: u64, out: u64) -> Outcome {
    let range = whole_pages(start, length)?;
    if range.end > USER_END {
        return Err(Errno::ENOMEM);
    }
    // A hole shows when it is reached.
    let mapped = range.start..call.space.mapped_up_to(range.start).min(range.end);
    let pages = length_of(&mapped) / PAGE_SIZE;
    let mut done = call.take_done();
    let resident = [1; CHUNK];
    while done < pages {
        if call.space.portion_is_over() {
            return Ok(call.park(Progress::Done(done)));
        }
        let count = (pages - done).min(CHUNK as u64);
        let at = out.checked_add(done).ok_or(Errno::EFAULT)?;
        call.space.write(at, &resident[..to_usize(count)])?;
        done += count;
    }
    if mapped == range { Ok(Answer::ZERO) } else { Err(Errno::ENOMEM) }
}

/// `msync(void *start, size_t length, int flags)`: nothing stands behind memory.
pub(crate) fn msync(call: &mut Call<'_>, start: u64, length: u64, flags: u32) -> Outcome {
    const ASYNC: u32 = 1;
    const SYNC: u32 = 4;
    if flags & !7 != 0 || flags & (ASYNC | SYNC) == ASYNC | SYNC {
        return Err(Errno::EINVAL);
    }
    if !start.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    check_mapped(call.space, &wrapping_pages(start, length).ok_or(Errno::ENOMEM)?)
}

/// `mlock(const void *start, size_t length)` and `munlock`: guest memory is never swapped by the guest's "kernel".
pub(crate) fn mlock(call: &mut Call<'_>, start: u64, length: u64) -> Outcome {
    let inside = start % PAGE_SIZE;
    let length = length.wrapping_add(inside);
    let range = wrapping_pages(start - inside, length).ok_or(Errno::EINVAL)?;
    check_mapped(call.space, &range)
}

/// `mlockall(int flags)`
pub(crate) fn mlockall(_: &mut Call<'_>, flags: u32) -> Outcome {
    const ON_FAULT: u32 = 4;
    match flags {
        0 | ON_FAULT | 8.. => Err(Errno::EINVAL),
        _ => Ok(Answer::ZERO),
    }
}

/// `mlock2(const void *start, size_t length, unsigned flags)`
pub(crate) fn mlock2(call: &mut Call<'_>, start: u64, length: u64, flags: u32) -> Outcome {
    const ON_FAULT: u32 = 1;
    if flags & !ON_FAULT != 0 {
        return Err(Errno::EINVAL);
    }
    mlock(call, start, length)
}

/// A range in whole pages, whose length wraps to nothing when it is rounded up, as in the kernel.
fn wrapping_pages(start: u64, length: u64) -> Option<Range<u64>> {
    let length = length.wrapping_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1);
    Some(start..start.checked_add(length)?)
}
