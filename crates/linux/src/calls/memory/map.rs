//! `brk`, `mmap`, `munmap` and `mprotect`.

use super::place::{check_room, find_place, map};
use super::plan;
use super::range::{PROT_EXEC, PROT_READ, PROT_WRITE, length_of, pages, protection, whole_pages};
use crate::answer::{Answer, Outcome};
use crate::calls::call::Call;
use crate::errno::Errno;
use crate::task::progress::{Plan, Step};
use crate::vfs::files::{Files, Object};
use crate::vfs::flags::PATH_ONLY;
use crate::vfs::system::{Device, Node};
use ampoule_abi::layout::{MMAP_TOP, NULL_GUARD_END, PAGE_SIZE, USER_END};
use ampoule_memory::{AddressSpace, BLOCK_BYTES, Protection, Search, round_up_to_page};
use std::ops::Range;

const MAP_TYPE: u64 = 0xf;
const MAP_SHARED: u64 = 1;
const MAP_PRIVATE: u64 = 2;
const MAP_SHARED_VALIDATE: u64 = 3;
const MAP_FIXED: u64 = 0x10;
const MAP_ANONYMOUS: u64 = 0x20;
const MAP_32BIT: u64 = 0x40;
const MAP_NORESERVE: u64 = 0x4000;
const MAP_HUGETLB: u64 = 0x4_0000;
const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;
/// Flags that a mapping may have which wants unknown ones refused (kernel: `LEGACY_MAP_MASK`).
const VALIDATED: u64 = MAP_TYPE | 0x7_f9f0;

/// Bytes from which on a heap grows by blocks.
const LARGE_HEAP: u64 = 4 << 20;

/// `brk(void *end)`: the break that stands afterwards, the old one when it could not be moved.
pub(crate) fn brk(call: &mut Call<'_>, wanted: u64) -> Outcome {
    if let Some(outcome) = plan::go_on(call) {
        return outcome;
    }
    let layout = &call.kernel.memory;
    let (start, now) = (layout.break_start, layout.break_now);
    let unchanged = Ok(Answer::value(now));
    if wanted < start || wanted > MMAP_TOP {
        return unchanged;
    }
    let (old_end, new_end) = (heap_end(start, now), heap_end(start, wanted));
    if new_end > MMAP_TOP {
        return unchanged;
    }
    if new_end > old_end {
        let grown = old_end..new_end;
        let room = check_room(call, length_of(&grown), None);
        if room.is_err() || map(call, &grown, Protection::READ_WRITE).is_err() {
            return unchanged;
        }
    }
    call.kernel.memory.break_now = wanted;
    // What is given back reads as zero when it comes again, also where the mapping stays.
    let kept = wanted.next_multiple_of(PAGE_SIZE)..now.next_multiple_of(PAGE_SIZE).min(new_end);
    let discarded = pages(&kept).filter(|_| wanted < now).map(Step::Discard);
    let unmapped = pages(&(new_end..old_end)).map(Step::Unmap);
    plan::run(call, Plan::new([discarded, unmapped], Ok(wanted)))
}

/// Where the heap's mapping ends when the break stands at `end`: at its page or, once the heap is
/// large, at its block. Allocators grow the heap in small steps, and by blocks it gets large leaves.
const fn heap_end(start: u64, end: u64) -> u64 {
    let unit = if end - start > LARGE_HEAP { BLOCK_BYTES } else { PAGE_SIZE };
    end.next_multiple_of(unit)
}

/// What a mapping shows.
#[derive(Debug, Clone, Copy)]
enum Source {
    Zeros,
    File { node: Node, offset: u64 },
}

/// What is mapped, in `length` bytes.
fn mmap_source(
    files: &Files,
    (prot, flags): (u64, u64),
    (fd, offset): (i32, u64),
    length: u64,
) -> Result<Source, Errno> {
    if flags & MAP_ANONYMOUS != 0 {
        return Ok(Source::Zeros);
    }
    let description = files.description_of(fd)?;
    if flags & MAP_TYPE == MAP_SHARED_VALIDATE && flags & !VALIDATED != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if !description.is_readable() {
        return Err(Errno::EACCES);
    }
    match description.object {
        Object::File(node) => {
            // Sharing what nobody can change is the same as copying it.
            let writes = prot & PROT_WRITE != 0;
            if flags & MAP_TYPE != MAP_PRIVATE && writes {
                return Err(Errno::EACCES);
            }
            let end = i64::MAX.unsigned_abs().checked_sub(length);
            if end.is_none_or(|end| offset > end) {
                return Err(Errno::EOVERFLOW);
            }
            Ok(Source::File { node, offset })
        }
        Object::Device(Device::Zero, _) => Ok(Source::Zeros),
        _ => Err(Errno::ENODEV),
    }
}

/// `mmap(void *hint, size_t length, int prot, int flags, int fd, off_t offset)`
pub(crate) fn mmap(
    call: &mut Call<'_>,
    hint: u64,
    length: u64,
    prot: u64,
    flags: u64,
    fd: i32,
    offset: u64,
) -> Outcome {
    if let Some(outcome) = plan::go_on(call) {
        return outcome;
    }
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let anonymous = flags & MAP_ANONYMOUS != 0;
    if !anonymous && call.kernel.files.description_of(fd)?.flags & PATH_ONLY != 0 {
        return Err(Errno::EBADF);
    }
    let kinds = [MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE];
    let kinds = if anonymous { &kinds[..2] } else { &kinds[..] };
    if length == 0 || !kinds.contains(&(flags & MAP_TYPE)) {
        return Err(Errno::EINVAL);
    }
    let length = round_up_to_page(length).ok_or(Errno::ENOMEM)?;
    let source = mmap_source(&call.kernel.files, (prot, flags), (fd, offset), length)?;
    let protection = protection(prot & (PROT_READ | PROT_WRITE | PROT_EXEC))?;
    if flags & MAP_HUGETLB != 0 || length > USER_END {
        return Err(Errno::ENOMEM);
    }
    let fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0;
    let replaced = if fixed {
        let range = whole_pages(hint, length)?;
        if range.start < NULL_GUARD_END {
            return Err(Errno::EPERM);
        }
        call.kernel.memory.check_owned(&range)?;
        let replaces = flags & MAP_FIXED_NOREPLACE == 0;
        if !replaces && !is_free(call.space, &range) {
            return Err(Errno::EEXIST);
        }
        Some(call.space.check_change(range.start, length)?).filter(|_| replaces)
    } else {
        None
    };
    let reserves = protection.write && flags & MAP_NORESERVE == 0;
    let room = if reserves || matches!(source, Source::File { .. }) {
        check_room(call, length, replaced)?
    } else {
        None
    };
    let start = if fixed { Some(hint) } else { mmap_place(call, hint, length, flags)? };
    let Some(start) = start else { return Ok(Answer::Again) };
    let range = start..start + length;
    let filled = match source {
        Source::Zeros => None,
        Source::File { node, offset } => {
            Some(Step::Fill { start, rest: range.clone(), node, offset })
        }
    };
    let unmapped = replaced.map(Step::Unmap);
    let mapped = Some(Step::Map(range, protection));
    plan::run(call, Plan::new([room, unmapped, mapped, filled], Ok(start)))
}

/// Whether nothing is mapped in all of `range`.
fn is_free(space: &mut AddressSpace, range: &Range<u64>) -> bool {
    let search = space.search_free(length_of(range), range.start, range.end);
    matches!(search, Search::Found(_))
}

/// Where a mapping goes that may go anywhere; `None` when the call was parked to go on searching.
fn mmap_place(
    call: &mut Call<'_>,
    hint: u64,
    length: u64,
    flags: u64,
) -> Result<Option<u64>, Errno> {
    let hint = hint & !(PAGE_SIZE - 1);
    if let Some(end) = hint.checked_add(length)
        && call.kernel.memory.owns(&(hint..end))
        && is_free(call.space, &(hint..end))
    {
        return Ok(Some(hint));
    }
    let top = if flags & MAP_32BIT != 0 { 1 << 31 } else { MMAP_TOP };
    find_place(call, length, top)
}

/// `munmap(void *start, size_t length)`
pub(crate) fn munmap(call: &mut Call<'_>, start: u64, length: u64) -> Outcome {
    if let Some(outcome) = plan::go_on(call) {
        return outcome;
    }
    let range = whole_pages(start, length).map_err(|_| Errno::EINVAL)?;
    if range.is_empty() {
        return Err(Errno::EINVAL);
    }
    // Below the first address there is nothing.
    let range = range.start.max(NULL_GUARD_END)..range.end.max(NULL_GUARD_END);
    if range.is_empty() {
        return Ok(Answer::ZERO);
    }
    if !call.kernel.memory.owns(&range) {
        return Err(Errno::EINVAL);
    }
    let checked = call.space.check_change(range.start, length_of(&range))?;
    plan::run(call, Plan::new([Some(Step::Unmap(checked))], Ok(0)))
}

/// `mprotect(void *start, size_t length, int prot)`: changes what lies before a hole, as Linux.
pub(crate) fn mprotect(call: &mut Call<'_>, start: u64, length: u64, prot: u64) -> Outcome {
    if let Some(outcome) = plan::go_on(call) {
        return outcome;
    }
    let range = whole_pages(start, length)?;
    if range.is_empty() {
        return Ok(Answer::ZERO);
    }
    let protection = protection(prot)?;
    call.kernel.memory.check_owned(&range)?;
    let mapped = range.start..call.space.mapped_up_to(range.start).min(range.end);
    if mapped.is_empty() {
        return Err(Errno::ENOMEM);
    }
    let checked = call.space.check_change(mapped.start, length_of(&mapped))?;
    let outcome = if mapped == range { Ok(0) } else { Err(Errno::ENOMEM) };
    plan::run(call, Plan::new([Some(Step::Protect(checked, protection))], outcome))
}
