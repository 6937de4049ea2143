//! Memory calls: the guest's own regions, and nothing else.
//!
//! A range that the guest names must lie between the null guard and the end of the lower `mmap` area, behind
//! the host's part, or in the guest's stack. The host's part is out of reach here, whatever
//! [`AddressSpace`] would say to it.
//!
//! Memory is committed at first touch. A request that could not be filled with what is free now, and with
//! what it gives back, is refused with `ENOMEM`, as Linux refuses obvious overcommitment; several requests
//! that together exceed the guest's memory succeed, and touching them all ends the guest.

mod advice;
mod job;
mod remap;

use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::files::system::{Device, Node};
use crate::files::{Object, PATH_ONLY};
use crate::guest::Arguments;
use crate::personality::{Parked, Personality};
pub(crate) use advice::{madvise, mincore, mlock, mlock2, mlockall, msync};
use ampoule_abi::layout::{HOST_END, MMAP_TOP, NULL_GUARD_END, PAGE_SIZE, STACK_TOP, USER_END};
use ampoule_memory::{AddressSpace, MapError, Protection, Search, round_up_to_page};
pub(crate) use job::Job;
use job::{Task, pages};
pub(crate) use remap::mremap;
use std::ops::Range;

pub(crate) const PROT_READ: u64 = 1;
pub(crate) const PROT_WRITE: u64 = 2;
pub(crate) const PROT_EXEC: u64 = 4;
/// For atomics between processes: no meaning here.
const PROT_SEM: u64 = 8;

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

/// What a large leaf of the address space maps.
const BLOCK: u64 = 2 << 20;
/// Bytes from which on a heap grows by blocks.
const LARGE_HEAP: u64 = 4 << 20;

/// Where the guest's heap and stack lie.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The program break at start; page-aligned.
    pub(crate) break_start: u64,
    /// The program break now.
    pub(crate) break_now: u64,
    /// The initial stack.
    pub(crate) stack: Range<u64>,
    /// Requests that were refused because memory ran out.
    pub(crate) out_of_memory: u64,
}

impl From<MapError> for Errno {
    fn from(error: MapError) -> Self {
        match error {
            MapError::Unaligned { .. } => Self::EINVAL,
            MapError::OutOfRange { .. }
            | MapError::NotMapped { .. }
            | MapError::OutOfMemory { .. }
            | MapError::TooManyAreas { .. }
            | MapError::Host { .. } => Self::ENOMEM,
            MapError::Overlap { .. } => Self::EEXIST,
            MapError::Pinned { .. } => Self::EPERM,
            MapError::WritableAndExecutable => Self::EACCES,
        }
    }
}

/// A page-aligned start and a length in whole pages.
///
/// # Errors
/// `EINVAL` for a start that is not aligned, `ENOMEM` for a length that overflows.
fn whole_pages(start: u64, length: u64) -> Result<Range<u64>, Errno> {
    if !start.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let length = round_up_to_page(length).ok_or(Errno::ENOMEM)?;
    Ok(start..start.checked_add(length).ok_or(Errno::ENOMEM)?)
}

fn length_of(range: &Range<u64>) -> u64 {
    range.end - range.start
}

/// The rights that `prot` asks for.
///
/// # Errors
/// `EINVAL` for unknown bits, `EACCES` for writable and executable at once.
fn protection(bits: u64) -> Result<Protection, Errno> {
    if bits & !(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM) != 0 {
        return Err(Errno::EINVAL);
    }
    let (write, execute) = (bits & PROT_WRITE != 0, bits & PROT_EXEC != 0);
    if write && execute {
        return Err(Errno::EACCES);
    }
    Ok(Protection { read: bits & PROT_READ != 0, write, execute })
}

impl Personality {
    /// Whether the guest may map, unmap and protect this range.
    fn owns(&self, range: &Range<u64>) -> bool {
        let within = |outer: Range<u64>| range.start >= outer.start && range.end <= outer.end;
        within(NULL_GUARD_END..MMAP_TOP)
            || within(HOST_END..USER_END)
            || within(self.layout.stack.clone())
    }

    /// Checks that a range which must already be the guest's is.
    fn check_owned(&self, range: &Range<u64>) -> Result<(), Errno> {
        if self.owns(range) {
            return Ok(());
        }
        let is_host_s = range.start < HOST_END && range.end > MMAP_TOP;
        Err(if is_host_s { Errno::EPERM } else { Errno::ENOMEM })
    }

    /// Refuses a request for memory that certainly cannot be filled. What lies in `replaced` is given back
    /// before: when it depends on that, the task that finds out is returned.
    fn check_room(
        &mut self,
        space: &AddressSpace,
        length: u64,
        replaced: &Range<u64>,
    ) -> Result<Option<Task>, Errno> {
        // Page tables take one page in 512, and a few more at the edges.
        let tables = length / 256 + 16 * PAGE_SIZE;
        let free = space.capacity_bytes().saturating_sub(space.committed_bytes());
        let missing = length.saturating_add(tables).saturating_sub(free);
        if missing > length_of(replaced) {
            return Err(self.ran_out());
        }
        Ok((missing > 0).then_some(Task::Room(replaced.clone(), pages(missing))))
    }

    /// Counts a refusal for lack of memory.
    fn ran_out(&mut self) -> Errno {
        self.layout.out_of_memory += 1;
        Errno::ENOMEM
    }

    /// The errno for a refusal, which is counted when memory is lacking.
    fn refused(&mut self, error: MapError) -> Errno {
        match error {
            MapError::OutOfMemory { .. } => self.ran_out(),
            other => other.into(),
        }
    }

    fn map(
        &mut self,
        space: &mut AddressSpace,
        range: &Range<u64>,
        protection: Protection,
    ) -> Result<(), Errno> {
        let mapped = space.map(range.start, length_of(range), protection);
        mapped.map_err(|error| self.refused(error))
    }

    /// The rest of a memory call that is made again.
    fn parked_job(&mut self) -> Option<Job> {
        match self.take_parked() {
            Parked::Memory(job) => Some(job),
            other => {
                self.thread_mut().parked = other;
                None
            }
        }
    }

    /// Searches for `length` free bytes that end below `top`, or behind the host's part where there are
    /// none; `None` when the call was parked to go on with that.
    fn find_place(
        &mut self,
        space: &mut AddressSpace,
        length: u64,
        top: u64,
    ) -> Result<Option<u64>, Errno> {
        let mut below = match self.take_parked() {
            Parked::Search { below } => below,
            _ => top,
        };
        loop {
            let from = if below <= MMAP_TOP { NULL_GUARD_END } else { HOST_END };
            match space.search_free(length, from, below) {
                Search::Found(start) => return Ok(Some(start)),
                Search::Below(at) => below = at,
                Search::Nothing if below <= MMAP_TOP && top == MMAP_TOP => below = USER_END,
                Search::Nothing => return Err(self.ran_out()),
            }
            if space.portion_is_over() {
                self.thread_mut().parked = Parked::Search { below };
                return Ok(None);
            }
        }
    }
}

/// `brk(void *end)`: the break that stands afterwards, the old one when it could not be moved.
pub(crate) fn brk(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    if let Some(job) = personality.parked_job() {
        return job.run(personality, space);
    }
    let wanted = arguments.get(0);
    let layout = &personality.layout;
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
        let room = personality.check_room(space, length_of(&grown), &(0..0));
        if room.is_err() || personality.map(space, &grown, Protection::READ_WRITE).is_err() {
            return unchanged;
        }
    }
    personality.layout.break_now = wanted;
    // What is given back reads as zero when it comes again, also where the mapping stays.
    let kept = wanted.next_multiple_of(PAGE_SIZE)..now.next_multiple_of(PAGE_SIZE).min(new_end);
    let discarded = (wanted < now && !kept.is_empty()).then_some(Task::Discard(kept));
    let unmapped = (new_end < old_end).then_some(Task::Unmap(new_end..old_end));
    Job::new([discarded, unmapped], Ok(wanted)).run(personality, space)
}

/// Where the heap's mapping ends when the break stands at `end`: at its page or, once the heap is
/// large, at its block. Allocators grow the heap in small steps, and by blocks it gets large leaves.
const fn heap_end(start: u64, end: u64) -> u64 {
    let unit = if end - start > LARGE_HEAP { BLOCK } else { PAGE_SIZE };
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
    personality: &Personality,
    arguments: &Arguments,
    length: u64,
) -> Result<Source, Errno> {
    let flags = arguments.get(3);
    if flags & MAP_ANONYMOUS != 0 {
        return Ok(Source::Zeros);
    }
    let description = personality.files.description_of(arguments.int(4))?;
    if flags & MAP_TYPE == MAP_SHARED_VALIDATE && flags & !VALIDATED != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if !description.is_readable() {
        return Err(Errno::EACCES);
    }
    match description.object {
        Object::File(node) => {
            // Sharing what nobody can change is the same as copying it.
            let writes = arguments.get(2) & PROT_WRITE != 0;
            if flags & MAP_TYPE != MAP_PRIVATE && writes {
                return Err(Errno::EACCES);
            }
            let (offset, end) = (arguments.get(5), i64::MAX.unsigned_abs().checked_sub(length));
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
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    if let Some(job) = personality.parked_job() {
        return job.run(personality, space);
    }
    let (hint, length, flags) = (arguments.get(0), arguments.get(1), arguments.get(3));
    if !arguments.get(5).is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let anonymous = flags & MAP_ANONYMOUS != 0;
    if !anonymous && personality.files.description_of(arguments.int(4))?.flags & PATH_ONLY != 0 {
        return Err(Errno::EBADF);
    }
    let kinds = [MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE];
    let kinds = if anonymous { &kinds[..2] } else { &kinds[..] };
    if length == 0 || !kinds.contains(&(flags & MAP_TYPE)) {
        return Err(Errno::EINVAL);
    }
    let length = round_up_to_page(length).ok_or(Errno::ENOMEM)?;
    let source = mmap_source(personality, arguments, length)?;
    let protection = protection(arguments.get(2) & (PROT_READ | PROT_WRITE | PROT_EXEC))?;
    if flags & MAP_HUGETLB != 0 || length > USER_END {
        return Err(Errno::ENOMEM);
    }
    let fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0;
    let replaced = if fixed {
        let range = whole_pages(hint, length)?;
        if range.start < NULL_GUARD_END {
            return Err(Errno::EPERM);
        }
        personality.check_owned(&range)?;
        let replaces = flags & MAP_FIXED_NOREPLACE == 0;
        if !replaces && space.search_free(length, range.start, range.end) != Search::Found(hint) {
            return Err(Errno::EEXIST);
        }
        space.check_change(range.start, length)?;
        if replaces { range } else { range.start..range.start }
    } else {
        0..0
    };
    let reserves = protection.write && flags & MAP_NORESERVE == 0;
    let room = if reserves || matches!(source, Source::File { .. }) {
        personality.check_room(space, length, &replaced)?
    } else {
        None
    };
    let start =
        if fixed { Some(hint) } else { mmap_place(personality, space, hint, length, flags)? };
    let Some(start) = start else { return Ok(Answer::Again) };
    let range = start..start + length;
    let filled = match source {
        Source::Zeros => None,
        Source::File { node, offset } => {
            Some(Task::Fill { start, rest: range.clone(), node, offset })
        }
    };
    let unmapped = (!replaced.is_empty()).then_some(Task::Unmap(replaced));
    let mapped = Some(Task::Map(range, protection));
    Job::new([room, unmapped, mapped, filled], Ok(start)).run(personality, space)
}

/// Where a mapping goes that may go anywhere; `None` when the call was parked to go on searching.
fn mmap_place(
    personality: &mut Personality,
    space: &mut AddressSpace,
    hint: u64,
    length: u64,
    flags: u64,
) -> Result<Option<u64>, Errno> {
    let hint = hint & !(PAGE_SIZE - 1);
    if let Some(end) = hint.checked_add(length)
        && personality.owns(&(hint..end))
        && space.search_free(length, hint, end) == Search::Found(hint)
    {
        return Ok(Some(hint));
    }
    let top = if flags & MAP_32BIT != 0 { 1 << 31 } else { MMAP_TOP };
    personality.find_place(space, length, top)
}

/// `munmap(void *start, size_t length)`
pub(crate) fn munmap(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    if let Some(job) = personality.parked_job() {
        return job.run(personality, space);
    }
    let range = whole_pages(arguments.get(0), arguments.get(1)).map_err(|_| Errno::EINVAL)?;
    if range.is_empty() {
        return Err(Errno::EINVAL);
    }
    // Below the first address there is nothing.
    let range = range.start.max(NULL_GUARD_END)..range.end.max(NULL_GUARD_END);
    if range.is_empty() {
        return Ok(Answer::ZERO);
    }
    if !personality.owns(&range) {
        return Err(Errno::EINVAL);
    }
    space.check_change(range.start, length_of(&range))?;
    Job::new([Some(Task::Unmap(range))], Ok(0)).run(personality, space)
}

/// `mprotect(void *start, size_t length, int prot)`: changes what lies before a hole, as Linux.
pub(crate) fn mprotect(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    if let Some(job) = personality.parked_job() {
        return job.run(personality, space);
    }
    let range = whole_pages(arguments.get(0), arguments.get(1))?;
    if range.is_empty() {
        return Ok(Answer::ZERO);
    }
    let protection = protection(arguments.get(2))?;
    personality.check_owned(&range)?;
    let mapped = range.start..space.mapped_up_to(range.start).min(range.end);
    if mapped.is_empty() {
        return Err(Errno::ENOMEM);
    }
    space.check_change(mapped.start, length_of(&mapped))?;
    let outcome = if mapped == range { Ok(0) } else { Err(Errno::ENOMEM) };
    Job::new([Some(Task::Protect(mapped, protection))], outcome).run(personality, space)
}

const _: () =
    assert!(MMAP_TOP < STACK_TOP && STACK_TOP < HOST_END, "the stack lies in the host's part");
