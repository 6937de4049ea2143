//! `mremap`.

use super::place::{check_room, find_place, map};
use super::plan;
use super::range::{length_of, pages, whole_pages};
use crate::answer::{Answer, Outcome};
use crate::calls::call::Call;
use crate::errno::Errno;
use crate::task::progress::{Plan, Step};
use ampoule_abi::layout::{MMAP_TOP, USER_END};
use ampoule_memory::{AddressSpace, Protection, VirtualAddress, round_up_to_page};
use std::ops::Range;

const MREMAP_MAYMOVE: u64 = 1;
const MREMAP_FIXED: u64 = 2;

/// `mremap(void *old, size_t old_length, size_t new_length, int flags, void *new)`
pub(crate) fn mremap(
    call: &mut Call<'_>,
    old: u64,
    old_length: u64,
    new_length: u64,
    flags: u64,
    new: u64,
) -> Outcome {
    if let Some(outcome) = plan::go_on(call) {
        return outcome;
    }
    let fixed = flags & MREMAP_FIXED != 0;
    let old = whole_pages(old, old_length).map_err(|_| Errno::EINVAL)?;
    let new_length = round_up_to_page(new_length).filter(|&length| length <= USER_END);
    let new_length = new_length.ok_or(Errno::EINVAL)?;
    // Not offered: MREMAP_DONTUNMAP, and the old length 0 that duplicates a shared mapping.
    if flags & !(MREMAP_MAYMOVE | MREMAP_FIXED) != 0
        || fixed && flags & MREMAP_MAYMOVE == 0
        || new_length == 0
        || old.is_empty()
    {
        return Err(Errno::EINVAL);
    }
    let mapping = call.space.mapping_at(old.start);
    let mapping = mapping.filter(|_| call.kernel.memory.looks_mapped(call.space, &old));
    let (mapping_end, rights) = mapping.ok_or(Errno::EFAULT)?;
    let old_length = length_of(&old);
    if !fixed && new_length <= old_length {
        let cut = old.start + new_length..old.end;
        if cut.is_empty() {
            return Ok(Answer::value(old.start));
        }
        let checked = call.space.check_change(cut.start, length_of(&cut))?;
        return plan::run(call, Plan::new([Some(Step::Unmap(checked))], Ok(old.start)));
    }
    let new = if fixed {
        let new = whole_pages(new, new_length).map_err(|_| Errno::EINVAL)?;
        if !call.kernel.memory.owns(&new) || new.start < old.end && old.start < new.end {
            return Err(Errno::EINVAL);
        }
        Some(new)
    } else {
        None
    };
    let kept = old_length.min(new_length);
    // What is moved or grows is one mapping, with rights of one kind.
    if old.start + kept > mapping_end {
        return Err(Errno::EFAULT);
    }
    let grows_by = new_length - kept;
    let replaced = new.as_ref().and_then(pages);
    let room =
        if grows_by > 0 && rights.write { check_room(call, grows_by, replaced)? } else { None };
    if let Some(new) = new {
        let freed = call.space.check_change(new.start, new_length)?;
        let steps = [room, Some(Step::Unmap(freed))];
        let plan = moved(call.space, old, &new, rights, steps)?;
        return plan::run(call, plan);
    }
    let in_place = old.end..old.end.saturating_add(grows_by);
    if call.kernel.memory.owns(&(old.start..in_place.end)) && map(call, &in_place, rights).is_ok() {
        return Ok(Answer::value(old.start));
    }
    if flags & MREMAP_MAYMOVE == 0 {
        return Err(Errno::ENOMEM);
    }
    let Some(start) = find_place(call, new_length, MMAP_TOP)? else {
        return Ok(Answer::Again);
    };
    let plan = moved(call.space, old, &(start..start + new_length), rights, [None, None])?;
    plan::run(call, plan)
}

/// The plan that moves a mapping to a free place, cutting or extending it at its end; before that it does
/// what makes the place free.
fn moved(
    space: &AddressSpace,
    old: Range<u64>,
    new: &Range<u64>,
    rights: Protection,
    [room, freed]: [Option<Step>; 2],
) -> Result<Plan, Errno> {
    space.check_change(old.start, length_of(&old))?;
    let kept = length_of(&old).min(length_of(new));
    let moved = pages(&(old.start..old.start + kept)).zip(VirtualAddress::checked(new.start));
    let (grown, cut) = (new.start + kept..new.end, old.start + kept..old.end);
    let steps = [
        room,
        freed,
        moved.map(|(from, to)| Step::Prepare(from, to)),
        (!grown.is_empty()).then_some(Step::Map(grown, rights)),
        moved.map(|(from, to)| Step::Move(from, to)),
        pages(&cut).map(Step::Unmap),
    ];
    Ok(Plan::new(steps, Ok(new.start)))
}
