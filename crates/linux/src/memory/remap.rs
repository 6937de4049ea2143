//! `mremap`.

use super::job::{Job, Task};
use super::{length_of, whole_pages};
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::Arguments;
use crate::personality::Personality;
use ampoule_abi::layout::{MMAP_TOP, PAGE_SIZE, USER_END};
use ampoule_memory::{AddressSpace, Protection, round_up_to_page};
use std::ops::Range;

const MREMAP_MAYMOVE: u64 = 1;
const MREMAP_FIXED: u64 = 2;

/// How far a stack reaches below what was touched of it. Linux maps as much of a new stack (kernel:
/// `setup_arg_pages`) and the rest when it is touched.
const STACK_AHEAD: u64 = 128 << 10;

/// `mremap(void *old, size_t old_length, size_t new_length, int flags, void *new)`
pub(crate) fn mremap(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    if let Some(job) = personality.parked_job() {
        return job.run(personality, space);
    }
    let flags = arguments.get(3);
    let fixed = flags & MREMAP_FIXED != 0;
    let old = whole_pages(arguments.get(0), arguments.get(1)).map_err(|_| Errno::EINVAL)?;
    let new_length = round_up_to_page(arguments.get(2)).filter(|&length| length <= USER_END);
    let new_length = new_length.ok_or(Errno::EINVAL)?;
    // Not offered: MREMAP_DONTUNMAP, and the old length 0 that duplicates a shared mapping.
    if flags & !(MREMAP_MAYMOVE | MREMAP_FIXED) != 0
        || fixed && flags & MREMAP_MAYMOVE == 0
        || new_length == 0
        || old.is_empty()
    {
        return Err(Errno::EINVAL);
    }
    let mapping = space.mapping_at(old.start).filter(|_| personality.looks_mapped(space, &old));
    let (mapping_end, rights) = mapping.ok_or(Errno::EFAULT)?;
    let old_length = length_of(&old);
    if !fixed && new_length <= old_length {
        let cut = old.start + new_length..old.end;
        if cut.is_empty() {
            return Ok(Answer::value(old.start));
        }
        space.check_change(cut.start, length_of(&cut))?;
        return Job::new([Some(Task::Unmap(cut))], Ok(old.start)).run(personality, space);
    }
    let new = if fixed {
        let new = whole_pages(arguments.get(4), new_length).map_err(|_| Errno::EINVAL)?;
        if !personality.owns(&new) || new.start < old.end && old.start < new.end {
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
    let replaced = new.clone().unwrap_or(0..0);
    let room = if grows_by > 0 && rights.write {
        personality.check_room(space, grows_by, &replaced)?
    } else {
        None
    };
    if let Some(new) = new {
        space.check_change(new.start, new_length)?;
        return moved(space, old, &new, rights, [room, Some(Task::Unmap(replaced))])?
            .run(personality, space);
    }
    let in_place = old.end..old.end.saturating_add(grows_by);
    if personality.owns(&(old.start..in_place.end))
        && personality.map(space, &in_place, rights).is_ok()
    {
        return Ok(Answer::value(old.start));
    }
    if flags & MREMAP_MAYMOVE == 0 {
        return Err(Errno::ENOMEM);
    }
    let Some(start) = personality.find_place(space, new_length, MMAP_TOP)? else {
        return Ok(Answer::Again);
    };
    moved(space, old, &(start..start + new_length), rights, [None, None])?.run(personality, space)
}

/// The job that moves a mapping to a free place, cutting or extending it at its end; before that it does
/// what makes the place free.
fn moved(
    space: &AddressSpace,
    old: Range<u64>,
    new: &Range<u64>,
    rights: Protection,
    [room, freed]: [Option<Task>; 2],
) -> Result<Job, Errno> {
    space.check_change(old.start, length_of(&old))?;
    let kept = length_of(&old).min(length_of(new));
    let from = old.start..old.start + kept;
    let (grown, cut) = (new.start + kept..new.end, from.end..old.end);
    let tasks = [
        room,
        freed,
        Some(Task::Prepare(from.clone(), new.start)),
        (!grown.is_empty()).then_some(Task::Map(grown, rights)),
        Some(Task::Move(from, new.start)),
        (!cut.is_empty()).then_some(Task::Unmap(cut)),
    ];
    Ok(Job::new(tasks, Ok(new.start)))
}

impl Personality {
    /// Whether the guest's kernel would know a range, which is mapped here: of the stack Linux has what was
    /// touched, and a little more. A libc that asks page by page how far its stack reaches gets to
    /// the end of that soon (musl's `pthread_getattr_np`).
    fn looks_mapped(&self, space: &AddressSpace, range: &Range<u64>) -> bool {
        let stack = &self.layout.stack;
        let above = range.start.saturating_add(STACK_AHEAD + PAGE_SIZE).min(stack.end);
        self.owns(range) && (!stack.contains(&range.start) || space.was_used(range.start, above))
    }
}
