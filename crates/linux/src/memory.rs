//! Memory calls: the guest's own region, and nothing else.
//!
//! A range that the guest names must lie between the null guard and the end of the `mmap` area, or
//! in its stack. Everything above belongs to the host and is out of reach here, whatever
//! [`AddressSpace`] would say to it.
//!
//! Memory is committed at first touch. A request that could not be filled with what is free now is
//! refused with `ENOMEM`, as Linux refuses obvious overcommitment; several requests that together
//! exceed the guest's memory succeed, and touching them all ends the guest.

use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::files::Object;
use crate::files::system::{Device, Node};
use crate::guest::{Arguments, CHUNK, to_usize};
use crate::personality::Personality;
use ampoule_abi::layout::{MMAP_TOP, NULL_GUARD_END, PAGE_SIZE, STACK_TOP, USER_END};
use ampoule_memory::{AddressSpace, MapError, Protection, round_up_to_page};
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
const MAP_SYNC: u64 = 0x8_0000;
const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;

/// What a large leaf of the address space maps.
const BLOCK: u64 = 2 << 20;
/// Bytes from which on a heap grows by blocks.
const LARGE_HEAP: u64 = 4 << 20;

const MREMAP_MAYMOVE: u64 = 1;
const MREMAP_FIXED: u64 = 2;

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
        within(NULL_GUARD_END..MMAP_TOP) || within(self.layout.stack.clone())
    }

    /// Checks that a range which must already be the guest's is.
    fn check_owned(&self, range: &Range<u64>) -> Result<(), Errno> {
        if self.owns(range) {
            return Ok(());
        }
        let reserved = NULL_GUARD_END > range.start || range.end > MMAP_TOP;
        Err(if reserved && range.start < USER_END { Errno::EPERM } else { Errno::ENOMEM })
    }

    /// Refuses a request for memory that certainly cannot be filled.
    fn check_room(&mut self, space: &AddressSpace, length: u64) -> Result<(), Errno> {
        // Page tables take one page in 512, and a few more at the edges.
        let tables = length / 256 + 16 * PAGE_SIZE;
        let free = space.capacity_bytes().saturating_sub(space.committed_bytes());
        if length.saturating_add(tables) > free { Err(self.ran_out()) } else { Ok(()) }
    }

    /// Counts a refusal for lack of memory.
    fn ran_out(&mut self) -> Errno {
        self.layout.out_of_memory += 1;
        Errno::ENOMEM
    }

    fn map(
        &mut self,
        space: &mut AddressSpace,
        range: &Range<u64>,
        protection: Protection,
    ) -> Result<(), Errno> {
        space.map(range.start, length_of(range), protection).map_err(|error| match error {
            MapError::OutOfMemory { .. } => self.ran_out(),
            other => other.into(),
        })
    }
}

/// `brk(void *end)`: the break that stands afterwards, the old one when it could not be moved.
pub(crate) fn brk(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let wanted = arguments.get(0);
    let layout = &personality.layout;
    let now = layout.break_now;
    let unchanged = Ok(Answer::value(now));
    if wanted < layout.break_start || wanted > MMAP_TOP {
        return unchanged;
    }
    let start = layout.break_start;
    let (old_end, new_end) = (heap_end(start, now), heap_end(start, wanted));
    if new_end > MMAP_TOP {
        return unchanged;
    }
    if new_end > old_end {
        let grown = old_end..new_end;
        if personality.check_room(space, length_of(&grown)).is_err()
            || personality.map(space, &grown, Protection::READ_WRITE).is_err()
        {
            return unchanged;
        }
    } else if new_end < old_end && space.unmap(new_end, old_end - new_end).is_err() {
        return unchanged;
    }
    personality.layout.break_now = wanted;
    Ok(Answer::value(wanted))
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

fn mmap_source(personality: &Personality, arguments: &Arguments) -> Result<Source, Errno> {
    let flags = arguments.get(3);
    if flags & MAP_ANONYMOUS != 0 {
        return Ok(Source::Zeros);
    }
    let description = personality.files.description_of(arguments.int(4))?;
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
            Ok(Source::File { node, offset: arguments.get(5) })
        }
        Object::Device(Device::Zero, _) => Ok(Source::Zeros),
        _ => Err(Errno::ENODEV),
    }
}

/// Where a mapping goes, with the place made free for it.
fn mmap_place(
    personality: &mut Personality,
    space: &mut AddressSpace,
    hint: u64,
    length: u64,
    flags: u64,
) -> Result<Range<u64>, Errno> {
    if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0 {
        let range = whole_pages(hint, length)?;
        if range.start < NULL_GUARD_END {
            return Err(Errno::EPERM);
        }
        personality.check_owned(&range)?;
        if flags & MAP_FIXED_NOREPLACE == 0 {
            space.unmap(range.start, length)?;
        }
        return Ok(range);
    }
    let hint = hint & !(PAGE_SIZE - 1);
    if hint >= NULL_GUARD_END
        && let Some(end) = hint.checked_add(length)
        && end <= MMAP_TOP
        && space.find_free(length, end) == Some(hint)
    {
        return Ok(hint..end);
    }
    let below = if flags & MAP_32BIT != 0 { 1 << 31 } else { MMAP_TOP };
    let start = space.find_free(length, below).filter(|&start| start >= NULL_GUARD_END);
    let start = start.ok_or_else(|| personality.ran_out())?;
    Ok(start..start + length)
}

/// `mmap(void *hint, size_t length, int prot, int flags, int fd, off_t offset)`
pub(crate) fn mmap(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let (length, flags) = (arguments.get(1), arguments.get(3));
    let kind = flags & MAP_TYPE;
    if length == 0
        || !arguments.get(5).is_multiple_of(PAGE_SIZE)
        || ![MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE].contains(&kind)
    {
        return Err(Errno::EINVAL);
    }
    if kind == MAP_SHARED_VALIDATE && flags & MAP_SYNC != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let length = round_up_to_page(length).ok_or(Errno::ENOMEM)?;
    let source = mmap_source(personality, arguments)?;
    let protection = protection(arguments.get(2) & !PROT_SEM)?;
    if flags & MAP_HUGETLB != 0 || length > MMAP_TOP {
        return Err(Errno::ENOMEM);
    }
    let reserves = protection.write && flags & MAP_NORESERVE == 0;
    if reserves || matches!(source, Source::File { .. }) {
        personality.check_room(space, length)?;
    }
    let range = mmap_place(personality, space, arguments.get(0), length, flags)?;
    personality.map(space, &range, protection)?;
    if let Source::File { node, offset } = source
        && copy_file(personality, space, &range, node, offset).is_err()
    {
        space.unmap(range.start, length)?;
        return Err(personality.ran_out());
    }
    Ok(Answer::value(range.start))
}

/// Fills a fresh mapping from a file; what lies behind the file's end stays zero.
fn copy_file(
    personality: &Personality,
    space: &mut AddressSpace,
    range: &Range<u64>,
    node: Node,
    offset: u64,
) -> Result<(), Errno> {
    let mut chunk = [0; CHUNK];
    let mut at = range.start;
    while at < range.end {
        let wanted = to_usize((range.end - at).min(CHUNK as u64));
        let from = offset.checked_add(at - range.start).ok_or(Errno::EOVERFLOW)?;
        let count = personality.files.system.read(node, from, &mut chunk[..wanted]);
        space.load(at, &chunk[..count])?;
        if count < wanted {
            break;
        }
        at += wanted as u64;
    }
    Ok(())
}

/// `munmap(void *start, size_t length)`
pub(crate) fn munmap(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let range = whole_pages(arguments.get(0), arguments.get(1)).map_err(|_| Errno::EINVAL)?;
    if range.is_empty() || !personality.owns(&range) {
        return Err(Errno::EINVAL);
    }
    space.unmap(range.start, length_of(&range))?;
    Ok(Answer::ZERO)
}

/// `mprotect(void *start, size_t length, int prot)`
pub(crate) fn mprotect(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let range = whole_pages(arguments.get(0), arguments.get(1))?;
    let protection = protection(arguments.get(2))?;
    if range.is_empty() {
        return Ok(Answer::ZERO);
    }
    personality.check_owned(&range)?;
    space.protect(range.start, length_of(&range), protection)?;
    Ok(Answer::ZERO)
}

/// `mremap(void *old, size_t old_length, size_t new_length, int flags, void *new)`
pub(crate) fn mremap(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let flags = arguments.get(3);
    let old = whole_pages(arguments.get(0), arguments.get(1)).map_err(|_| Errno::EINVAL)?;
    let new_length = round_up_to_page(arguments.get(2)).ok_or(Errno::EINVAL)?;
    let fixed = flags & MREMAP_FIXED != 0;
    // Not offered: MREMAP_DONTUNMAP, and the old length 0 that duplicates a shared mapping.
    if flags & !(MREMAP_MAYMOVE | MREMAP_FIXED) != 0
        || fixed && flags & MREMAP_MAYMOVE == 0
        || new_length == 0
        || old.is_empty()
    {
        return Err(Errno::EINVAL);
    }
    if !personality.owns(&old) || !space.is_mapped(old.start, length_of(&old)) {
        return Err(Errno::EFAULT);
    }
    let rights = space.protection_at(old.end - PAGE_SIZE).ok_or(Errno::EFAULT)?;
    let grows_by = new_length.saturating_sub(length_of(&old));
    if grows_by > 0 && rights.write {
        personality.check_room(space, grows_by)?;
    }
    if fixed {
        let new = whole_pages(arguments.get(4), new_length).map_err(|_| Errno::EINVAL)?;
        if !personality.owns(&new) || new.start < old.end && old.start < new.end {
            return Err(Errno::EINVAL);
        }
        space.unmap(new.start, new_length)?;
        return move_to(personality, space, old, &new, rights);
    }
    if new_length <= length_of(&old) {
        if new_length < length_of(&old) {
            space.unmap(old.start + new_length, length_of(&old) - new_length)?;
        }
        return Ok(Answer::value(old.start));
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
    let start = space.find_free(new_length, MMAP_TOP).filter(|&start| start >= NULL_GUARD_END);
    let start = start.ok_or_else(|| personality.ran_out())?;
    move_to(personality, space, old, &(start..start + new_length), rights)
}

/// Moves a mapping to a free place, cutting or extending it at its end.
fn move_to(
    personality: &mut Personality,
    space: &mut AddressSpace,
    old: Range<u64>,
    new: &Range<u64>,
    rights: Protection,
) -> Outcome {
    let (old_length, new_length) = (length_of(&old), length_of(new));
    let kept = old_length.min(new_length);
    if kept < new_length {
        personality.map(space, &(new.start + kept..new.end), rights)?;
    }
    if let Err(error) = space.relocate(old.start, kept, new.start) {
        if kept < new_length {
            space.unmap(new.start + kept, new_length - kept)?;
        }
        return Err(error.into());
    }
    if kept < old_length {
        space.unmap(old.start + kept, old_length - kept)?;
    }
    Ok(Answer::value(new.start))
}

/// `madvise(void *start, size_t length, int advice)`
pub(crate) fn madvise(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const DONTNEED: u32 = 4;
    const FREE: u32 = 8;
    const DONTNEED_LOCKED: u32 = 24;
    let range = whole_pages(arguments.get(0), arguments.get(1)).map_err(|_| Errno::EINVAL)?;
    match arguments.uint(2) {
        // The kernel may throw pages under MADV_FREE away at any time; doing it at once gives the
        // memory back to the guest.
        DONTNEED | FREE | DONTNEED_LOCKED => {
            if range.is_empty() {
                return Ok(Answer::ZERO);
            }
            personality.check_owned(&range)?;
            space.discard(range.start, length_of(&range))?;
            Ok(Answer::ZERO)
        }
        // NORMAL, RANDOM, SEQUENTIAL, WILLNEED; DONTFORK, DOFORK; MERGEABLE, UNMERGEABLE, HUGEPAGE,
        // NOHUGEPAGE, DONTDUMP, DODUMP, WIPEONFORK, KEEPONFORK, COLD, PAGEOUT, POPULATE_READ,
        // POPULATE_WRITE: hints about things that do not exist here.
        0..=3 | 10..=23 => check_mapped(space, &range),
        _ => Err(Errno::EINVAL),
    }
}

fn check_mapped(space: &AddressSpace, range: &Range<u64>) -> Outcome {
    if range.is_empty() || space.is_mapped(range.start, length_of(range)) {
        Ok(Answer::ZERO)
    } else {
        Err(Errno::ENOMEM)
    }
}

/// `mincore(void *start, size_t length, unsigned char *out)`: every page is in memory.
pub(crate) fn mincore(
    _: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let range = whole_pages(arguments.get(0), arguments.get(1))?;
    let answer = check_mapped(space, &range)?;
    let pages = to_usize(length_of(&range) / PAGE_SIZE);
    let resident = [1; CHUNK];
    for done in (0..pages).step_by(CHUNK) {
        let at = arguments.get(2).checked_add(done as u64).ok_or(Errno::EFAULT)?;
        space.write(at, &resident[..CHUNK.min(pages - done)])?;
    }
    Ok(answer)
}

/// `msync(void *start, size_t length, int flags)`: nothing stands behind memory.
pub(crate) fn msync(
    _: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const ASYNC: u32 = 1;
    const SYNC: u32 = 4;
    let flags = arguments.uint(2);
    if flags & !7 != 0 || flags & (ASYNC | SYNC) == ASYNC | SYNC {
        return Err(Errno::EINVAL);
    }
    check_mapped(space, &whole_pages(arguments.get(0), arguments.get(1))?)
}

/// `mlock`, `mlock2` and `munlock`: guest memory is never swapped by the guest's "kernel".
pub(crate) fn mlock(
    _: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let start = arguments.get(0) & !(PAGE_SIZE - 1);
    let end = arguments.get(0).checked_add(arguments.get(1)).ok_or(Errno::EINVAL)?;
    check_mapped(space, &whole_pages(start, end - start)?)
}

const _: () = assert!(MMAP_TOP < STACK_TOP, "the stack lies above the mmap area");
