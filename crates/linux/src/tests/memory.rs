//! The guest's memory: what it may do with its own, and that it gets nothing else.

use super::{CAPACITY, Guest, NOWHERE, negative};
use crate::Errno;
use ampoule_abi::layout::{
    CHANNEL_BASE, HOST_END, MMAP_TOP, NULL_GUARD_END, PAGE_SIZE, PIE_BASE, STACK_TOP, SYSTEM_BASE,
    USER_END,
};
use ampoule_memory::Protection;

const NONE: u64 = 0;
const READ: u64 = 1;
const READ_WRITE: u64 = 3;
const READ_EXECUTE: u64 = 5;
const WRITE_EXECUTE: u64 = 6;
const SHARED: u64 = 1;
const PRIVATE: u64 = 2;
const FIXED: u64 = 0x10;
const ANONYMOUS: u64 = 0x20;
const NORESERVE: u64 = 0x4000;
const NOREPLACE: u64 = 0x10_0000;
const NO_FILE: u64 = u64::MAX;
const MAYMOVE: u64 = 1;

impl Guest {
    fn map(&mut self, length: u64) -> u64 {
        self.ok("mmap", [0, length, READ_WRITE, PRIVATE | ANONYMOUS, NO_FILE, 0])
    }
}

#[test]
fn the_break_grows_and_shrinks() {
    let mut guest = Guest::new();
    let start = guest.ok("brk", [0]);
    assert_eq!(start, PIE_BASE);
    assert_eq!(guest.ok("brk", [start + 10_000]), start + 10_000);
    assert_eq!(guest.personality.program_break(), start + 10_000);
    guest.space.write(start + 12_287, b"x").unwrap();
    assert!(!guest.space.is_mapped(start + 12_288, 1));
    assert_eq!(guest.ok("brk", [start + 4096]), start + 4096);
    assert!(!guest.space.is_mapped(start + 4096, 1));
    assert_eq!(guest.ok("brk", [start - 1]), start + 4096, "below its start it stays");
    assert_eq!(guest.ok("brk", [u64::MAX]), start + 4096);
    assert_eq!(guest.ok("brk", [start + CAPACITY]), start + 4096, "more than there is");
    guest.ok("mmap", [start + 8192, 4096, READ, PRIVATE | ANONYMOUS | FIXED, NO_FILE, 0]);
    assert_eq!(guest.ok("brk", [start + 9000]), start + 4096, "something is in the way");
}

#[test]
fn anonymous_memory_is_zero_and_goes_downwards() {
    let mut guest = Guest::new();
    let first = guest.map(5000);
    assert_eq!(first, MMAP_TOP - 8192);
    let second = guest.map(4096);
    assert_eq!(second, first - 4096);
    assert_eq!(guest.bytes(second, 12_288), [0; 12_288]);
    guest.ok("munmap", [first, 1]);
    assert!(!guest.space.is_mapped(first, 1) && guest.space.is_mapped(first + 4096, 4096));
    let low = guest.ok("mmap", [0, 4096, READ, PRIVATE | ANONYMOUS | 0x40, NO_FILE, 0]);
    assert!(low < 1 << 31, "MAP_32BIT");
    let hinted = guest.ok("mmap", [NOWHERE + 5, 4096, READ, PRIVATE | ANONYMOUS, NO_FILE, 0]);
    assert_eq!(hinted, NOWHERE);
    let taken = guest.ok("mmap", [NOWHERE, 4096, READ, PRIVATE | ANONYMOUS, NO_FILE, 0]);
    assert_ne!(taken, NOWHERE);
}

#[test]
fn fixed_mappings_replace_or_refuse() {
    let mut guest = Guest::new();
    let at = guest.map(3 * PAGE_SIZE);
    guest.space.write(at, &[1; 3 * 4096]).unwrap();
    let fixed = PRIVATE | ANONYMOUS | FIXED;
    let middle = at + PAGE_SIZE;
    assert_eq!(guest.ok("mmap", [middle, 4096, READ_WRITE, fixed, NO_FILE, 0]), middle);
    assert_eq!(guest.bytes(middle - 1, 2), [1, 0]);
    let keep = PRIVATE | ANONYMOUS | NOREPLACE;
    guest.fails("mmap", [middle, 4096, READ, keep, NO_FILE, 0], Errno::EEXIST);
    assert_eq!(guest.ok("mmap", [NOWHERE, 4096, READ, keep, NO_FILE, 0]), NOWHERE);
    guest.fails("mmap", [middle + 1, 4096, READ, fixed, NO_FILE, 0], Errno::EINVAL);
    guest.fails("mmap", [0, 4096, READ, fixed, NO_FILE, 0], Errno::EPERM);
}

#[test]
fn senseless_mappings_are_refused() {
    let mut guest = Guest::new();
    let anonymous = PRIVATE | ANONYMOUS;
    guest.fails("mmap", [0, 0, READ, anonymous, NO_FILE, 0], Errno::EINVAL);
    guest.fails("mmap", [0, 4096, READ, ANONYMOUS, NO_FILE, 0], Errno::EINVAL);
    guest.fails("mmap", [0, 4096, READ, anonymous, NO_FILE, 5], Errno::EINVAL);
    guest.fails("mmap", [0, u64::MAX, READ, anonymous, NO_FILE, 0], Errno::ENOMEM);
    guest.fails("mmap", [0, 1 << 47, NONE, anonymous, NO_FILE, 0], Errno::ENOMEM);
    guest.fails("mmap", [0, 4096, WRITE_EXECUTE, anonymous, NO_FILE, 0], Errno::EACCES);
    guest.fails("mmap", [0, 4096, READ, PRIVATE, NO_FILE, 0], Errno::EBADF);
    guest.fails("mmap", [0, 4096, READ, PRIVATE, 0, 0], Errno::ENODEV);
    guest.fails("mmap", [0, 4096, READ, PRIVATE, 1, 0], Errno::EACCES);
}

#[test]
fn memory_that_cannot_be_filled_is_refused_and_counted() {
    let mut guest = Guest::new();
    let anonymous = PRIVATE | ANONYMOUS;
    guest.fails("mmap", [0, CAPACITY, READ_WRITE, anonymous, NO_FILE, 0], Errno::ENOMEM);
    assert_eq!(guest.personality.refused_for_memory(), 1);
    // Reservations are no promise.
    guest.ok("mmap", [0, 1 << 36, NONE, anonymous, NO_FILE, 0]);
    guest.ok("mmap", [0, 1 << 36, READ_WRITE, anonymous | NORESERVE, NO_FILE, 0]);
    // Touching what was given leads to the refusal, not to the guest's end.
    let chunk = 4 << 20;
    let mut chunks = 0;
    loop {
        match guest.call("mmap", [0, chunk, READ_WRITE, anonymous, NO_FILE, 0]) {
            crate::Answer::Return(-12) => break,
            crate::Answer::Return(at) => {
                let at = at.unsigned_abs();
                for page in (at..at + chunk).step_by(4096) {
                    guest.space.write(page, &[1]).unwrap();
                }
                chunks += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(chunks >= 10, "only {chunks} chunks fit");
}

#[test]
fn files_are_mapped_by_copying() {
    let long: String = ('a'..='z').cycle().take(9000).collect();
    let mut guest = Guest::with_files(&[("/f", &long)]);
    let file = guest.open("/f");
    let at = guest.ok("mmap", [0, 8192, READ, PRIVATE, file, 4096]);
    assert_eq!(guest.bytes(at, 4904), &long.as_bytes()[4096..]);
    assert_eq!(guest.bytes(at + 4904, 8), [0; 8]);
    assert_eq!(guest.space.protection_at(at), Some(Protection::READ));
    let writable = guest.ok("mmap", [0, 4096, READ_WRITE, PRIVATE, file, 0]);
    guest.space.write(writable, b"Z").unwrap();
    assert!(guest.contents("/f").starts_with(b"a"));
    guest.ok("mmap", [0, 4096, READ, SHARED, file, 0]);
    guest.fails("mmap", [0, 4096, READ_WRITE, SHARED, file, 0], Errno::EACCES);
    let zero = guest.open("/dev/zero");
    let at = guest.ok("mmap", [0, 4096, READ_WRITE, PRIVATE, zero, 0]);
    assert_eq!(guest.bytes(at, 4), [0; 4]);
}

#[test]
fn rights_change_but_never_to_writable_and_executable() {
    let mut guest = Guest::new();
    let at = guest.map(2 * PAGE_SIZE);
    guest.ok("mprotect", [at, 4096, READ_EXECUTE]);
    assert_eq!(guest.space.protection_at(at), Some(Protection::READ_EXECUTE));
    assert_eq!(guest.space.protection_at(at + 4096), Some(Protection::READ_WRITE));
    guest.fails("mprotect", [at, 4096, WRITE_EXECUTE], Errno::EACCES);
    guest.fails("mprotect", [at, 4096, 0x100], Errno::EINVAL);
    guest.fails("mprotect", [at + 1, 4096, READ], Errno::EINVAL);
    guest.fails("mprotect", [NOWHERE, 4096, READ], Errno::ENOMEM);
    guest.fails("mprotect", [at, 1 << 20, READ], Errno::EPERM);
    assert_eq!(guest.ok("mprotect", [at, 0, READ]), 0);
    guest.ok("mprotect", [STACK_TOP - 8192, 4096, NONE]);
}

#[test]
fn mappings_shrink_grow_and_move() {
    let mut guest = Guest::new();
    let at = guest.map(4 * PAGE_SIZE);
    guest.space.write(at, b"first").unwrap();
    guest.space.write(at + 3 * PAGE_SIZE, b"last").unwrap();
    assert_eq!(guest.ok("mremap", [at, 4 * 4096, 2 * 4096, 0]), at);
    assert!(!guest.space.is_mapped(at + 2 * PAGE_SIZE, 1));
    assert_eq!(guest.ok("mremap", [at, 2 * 4096, 4 * 4096, 0]), at, "in place, into the hole");
    assert_eq!(guest.bytes(at + 3 * PAGE_SIZE, 4), [0; 4]);
    guest.fails("mremap", [at, 4 * 4096, 8 * 4096, 0], Errno::ENOMEM);
    let moved = guest.ok("mremap", [at, 4 * 4096, 8 * 4096, MAYMOVE]);
    assert_ne!(moved, at);
    assert_eq!(guest.bytes(moved, 5), b"first");
    assert!(guest.space.is_mapped(moved, 8 * PAGE_SIZE) && !guest.space.is_mapped(at, 1));
    let target = NOWHERE;
    assert_eq!(guest.ok("mremap", [moved, 8 * 4096, 4096, MAYMOVE | 2, target]), target);
    assert_eq!(guest.bytes(target, 5), b"first");
    assert!(!guest.space.is_mapped(moved + 4096, 1));

    guest.fails("mremap", [target, 4096, 0, 0], Errno::EINVAL);
    guest.fails("mremap", [target + 1, 4096, 4096, 0], Errno::EINVAL);
    guest.fails("mremap", [target, 4096, 4096, 4], Errno::EINVAL);
    guest.fails("mremap", [target, 4096, 8192, MAYMOVE | 2, target], Errno::EINVAL);
    assert_eq!(
        guest.ok("mremap", [target, 8192, 4096, 0]),
        target,
        "what is cut off may be a hole"
    );
    guest.fails("mremap", [target, 8192, 16384, MAYMOVE], Errno::EFAULT);
    guest.fails("mremap", [target, 4096, 1 << 50, MAYMOVE], Errno::EINVAL);
    guest.fails("mremap", [target, 4096, CAPACITY, MAYMOVE], Errno::ENOMEM);
    guest.fails("mremap", [target, 4096, u64::MAX, MAYMOVE], Errno::EINVAL);
}

#[test]
fn discarded_pages_read_as_zero() {
    let mut guest = Guest::new();
    let at = guest.map(2 * PAGE_SIZE);
    guest.space.write(at, &[9; 8192]).unwrap();
    guest.ok("madvise", [at, 4096, 4]);
    assert_eq!(guest.bytes(at, 1), [0]);
    assert_eq!(guest.bytes(at + 4096, 1), [9]);
    guest.ok("madvise", [at + 4096, 4096, 8]);
    for advice in [0, 1, 2, 3, 14, 15, 16, 20] {
        guest.ok("madvise", [at, 8192, advice]);
    }
    guest.fails("madvise", [at, 8192, 99], Errno::EINVAL);
    guest.fails("madvise", [at + 1, 4096, 4], Errno::EINVAL);
    guest.fails("madvise", [NOWHERE, 4096, 4], Errno::ENOMEM);
    let out = guest.room(8);
    guest.ok("mincore", [at, 8192, out]);
    assert_eq!(guest.bytes(out, 3), [1, 1, 0]);
    guest.fails("mincore", [NOWHERE, 4096, out], Errno::ENOMEM);
    guest.ok("msync", [at, 8192, 4]);
    guest.fails("msync", [at, 8192, 5], Errno::EINVAL);
    guest.ok("mlock", [at + 5, 100]);
    guest.fails("mlock", [NOWHERE, 100], Errno::ENOMEM);
}

#[test]
fn host_pages_are_out_of_reach() {
    let mut guest = Guest::new();
    let kept = [CHANNEL_BASE, SYSTEM_BASE];
    for at in kept {
        guest.space.map(at, 4096, Protection::READ_WRITE).unwrap();
    }
    let fixed = PRIVATE | ANONYMOUS | FIXED;
    for at in kept {
        for (start, length) in [(at, 4096), (at - 4096, 8192), (at, 1 << 20)] {
            guest.fails("mmap", [start, length, READ, fixed, NO_FILE, 0], Errno::EPERM);
            guest.fails("munmap", [start, length], Errno::EINVAL);
            guest.fails("mprotect", [start, length, READ], Errno::EPERM);
            guest.fails("madvise", [start, length, 4], Errno::EPERM);
            guest.fails("mremap", [start, length, 4096, MAYMOVE], Errno::EFAULT);
        }
        let own = guest.map(4096);
        guest.fails("mremap", [own, 4096, 4096, MAYMOVE | 2, at], Errno::EINVAL);
        assert_eq!(guest.space.protection_at(at), Some(Protection::READ_WRITE));
    }
    // From the first mappable page over everything, and beyond the end.
    guest.fails("munmap", [NULL_GUARD_END, USER_END - NULL_GUARD_END], Errno::EINVAL);
    guest.fails("munmap", [USER_END, 4096], Errno::EINVAL);
    guest.fails("mmap", [USER_END, 4096, READ, fixed, NO_FILE, 0], Errno::ENOMEM);
    guest.fails("mmap", [MMAP_TOP - 4096, 8192, READ, fixed, NO_FILE, 0], Errno::EPERM);
    guest.fails("mmap", [NULL_GUARD_END - 4096, 4096, READ, fixed, NO_FILE, 0], Errno::EPERM);
    guest.fails("munmap", [negative(-4096), 4096], Errno::EINVAL);
    // The hole below the stack is its guard.
    let guard = STACK_TOP - (8 << 20) - 4096;
    guest.fails("mmap", [guard, 4096, READ, fixed, NO_FILE, 0], Errno::EPERM);
}

#[test]
fn what_a_mapping_replaces_is_free_for_it() {
    let mut guest = Guest::new();
    let (length, fixed) = (40 << 20, PRIVATE | ANONYMOUS | FIXED);
    let at = guest.map(length);
    for page in (at..at + length).step_by(4096) {
        guest.space.write(page, &[1]).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(guest.ok("mmap", [at, length, READ_WRITE, fixed, NO_FILE, 0]), at);
        assert_eq!(guest.bytes(at + length - 4096, 1), [0]);
        for page in (at..at + length).step_by(4096) {
            guest.space.write(page, &[1]).unwrap();
        }
    }
    // Only what it has counts, and a refusal takes nothing away.
    let more = length + (30 << 20);
    guest.fails("mmap", [at - (1 << 30), more, READ_WRITE, fixed, NO_FILE, 0], Errno::ENOMEM);
    guest.fails("mmap", [at, CAPACITY, READ_WRITE, fixed, NO_FILE, 0], Errno::EPERM);
    let below = at - (more - length);
    guest.fails("mmap", [below, more, READ_WRITE, fixed, NO_FILE, 0], Errno::ENOMEM);
    assert_eq!(guest.bytes(at, 1), [1]);
    // The same for what a move lands on.
    let small = guest.map(4096);
    let moved = guest.ok("mremap", [small, 4096, length, MAYMOVE | 2, at]);
    assert_eq!((moved, guest.bytes(at + 8192, 1)), (at, vec![0]));
}

#[test]
fn a_break_that_was_lowered_comes_back_clean() {
    let mut guest = Guest::new();
    let start = guest.ok("brk", [0]);
    // Pages, and blocks once the heap is large.
    for top in [1 << 20, 9 << 20] {
        for lower in [top - 100, top - 4096, top - 10_000, top - (1 << 19), 0] {
            guest.ok("brk", [start + top]);
            guest.space.write(start, &vec![5; usize::try_from(top).unwrap()]).unwrap();
            guest.ok("brk", [start + lower]);
            guest.ok("brk", [start + top]);
            // The page with the break in it stays as it is, as in Linux.
            let kept = lower.next_multiple_of(PAGE_SIZE);
            let bytes = guest.bytes(start, top);
            let (before, after) = bytes.split_at(usize::try_from(kept).unwrap());
            assert!(before.iter().all(|&byte| byte == 5), "{top} {lower}");
            assert!(after.iter().all(|&byte| byte == 0), "{top} {lower}");
        }
    }
}

#[test]
fn a_guest_has_the_addresses_that_linux_gives_it() {
    let mut guest = Guest::new();
    let reserved = PRIVATE | ANONYMOUS | NORESERVE;
    let committed = guest.space.committed_bytes();
    // As Go and V8 ask for them.
    for hint in [0xc0_0000_0000, 0x7e5f_0000_0000] {
        assert_eq!(guest.ok("mmap", [hint, 64 << 20, NONE, reserved, NO_FILE, 0]), hint);
    }
    let cage = guest.ok("mmap", [0, 1 << 40, NONE, reserved, NO_FILE, 0]);
    assert!(cage >= HOST_END, "{cage:#x}");
    let fixed = reserved | FIXED;
    let all = 0x6000_0000_0000 - HOST_END;
    assert_eq!(guest.ok("mmap", [HOST_END, all, NONE, fixed, NO_FILE, 0]), HOST_END);
    let last = USER_END - 4096;
    assert_eq!(guest.ok("mmap", [last, 4096, READ_WRITE, fixed, NO_FILE, 0]), last);
    assert!(guest.space.committed_bytes() < committed + (1 << 20), "reservations cost nothing");
    guest.space.write(last + 4090, b"at the").unwrap();
    guest.fails("mmap", [last, 8192, READ, fixed, NO_FILE, 0], Errno::ENOMEM);
    guest.ok("mprotect", [0x1234_5678_9000, 4096, READ_WRITE]);
    guest.space.write(0x1234_5678_9000, b"far away").unwrap();
    guest.ok("munmap", [HOST_END, USER_END - HOST_END]);
    assert!(!guest.space.is_mapped(last, 1) && !guest.space.is_mapped(HOST_END, 1));
    // Nothing of it is for what may go anywhere and is small.
    assert!(guest.map(4096) < MMAP_TOP);
    // Across the host's part there is no way.
    guest.fails("mmap", [MMAP_TOP - 4096, 1 << 40, NONE, fixed, NO_FILE, 0], Errno::EPERM);
    guest.fails("munmap", [MMAP_TOP - 4096, 1 << 40], Errno::EINVAL);
}

#[test]
fn a_stack_seems_to_have_what_was_touched_of_it_and_a_little_more() {
    let mut guest = Guest::new();
    let mut probes = 0;
    let mut page = STACK_TOP - 4096;
    // As musl finds out where the stack of its first thread ends.
    while guest.call("mremap", [page, 4096, 8192, 0]) == crate::Answer::Return(-12) {
        page -= 4096;
        probes += 1;
    }
    guest.fails("mremap", [page, 4096, 8192, 0], Errno::EFAULT);
    assert!((32..40).contains(&probes), "{probes}");
    // All of it is there, and touching it shows.
    let deep = STACK_TOP - (4 << 20);
    guest.space.write(deep, b"deep").unwrap();
    guest.fails("mremap", [deep, 4096, 8192, 0], Errno::ENOMEM);
    assert!(guest.space.is_mapped(STACK_TOP - (8 << 20), 8 << 20));
}

#[test]
fn holes_end_what_linux_ends_at_them() {
    let mut guest = Guest::new();
    let at = guest.map(4 * PAGE_SIZE);
    guest.ok("munmap", [at + 2 * PAGE_SIZE, 4096]);
    for page in [0, 1, 3] {
        guest.space.write(at + page * PAGE_SIZE, &[1]).unwrap();
    }
    // What lies before the hole gets the rights, what lies behind it does not.
    guest.fails("mprotect", [at, 4 * 4096, READ], Errno::ENOMEM);
    let rights = |guest: &Guest, page| guest.space.protection_at(at + page * PAGE_SIZE);
    assert_eq!(rights(&guest, 1), Some(Protection::READ));
    assert_eq!(rights(&guest, 3), Some(Protection::READ_WRITE));
    guest.fails("mprotect", [at + 2 * PAGE_SIZE, 4096, READ], Errno::ENOMEM);
    // Both sides of it are forgotten.
    guest.fails("madvise", [at, 4 * 4096, 4], Errno::ENOMEM);
    assert_eq!((guest.bytes(at, 1), guest.bytes(at + 3 * PAGE_SIZE, 1)), (vec![0], vec![0]));
    // Lengths that wrap are empty, and what is wrong is found in the kernel's order.
    guest.ok("msync", [at, u64::MAX, 4]);
    guest.ok("mlock", [at + 1, u64::MAX]);
    guest.fails("mlock2", [at, 4096, 2], Errno::EINVAL);
    guest.ok("mprotect", [at, 0, 99]);
    guest.fails("madvise", [at + 1, 0, 99], Errno::EINVAL);
    guest.fails("mmap", [0, 0, READ, PRIVATE, 77, 0], Errno::EBADF);
    guest.fails("mmap", [0, 4096, READ, PRIVATE, 77, 1], Errno::EINVAL);
    guest.ok("mmap", [0, 4096, 0xff08 | READ, PRIVATE | ANONYMOUS, NO_FILE, 0]);
}

#[test]
fn what_is_wrong_with_a_file_or_a_place_is_told_as_linux_does() {
    let mut guest = Guest::with_files(&[("/f", "contents")]);
    let file = guest.open("/f");
    let path = guest.text("/f");
    let named = guest.ok("open", [path, 0o1000_0000]);
    let validated = 3;
    guest.fails("mmap", [0, 4096, READ, PRIVATE, named, 0], Errno::EBADF);
    guest.ok("mmap", [0, 4096, READ, validated, file, 0]);
    guest.fails("mmap", [0, 4096, READ, validated | 0x80_0000, file, 0], Errno::EOPNOTSUPP);
    guest.fails("mmap", [0, 4096, READ, validated | ANONYMOUS, NO_FILE, 0], Errno::EINVAL);
    let last = (1 << 63) - 4096;
    guest.fails("mmap", [0, 4096, READ, PRIVATE, file, last], Errno::EOVERFLOW);
    guest.fails("mmap", [0, 8192, READ, PRIVATE, file, negative(-4096)], Errno::EOVERFLOW);
    // Nothing is mapped at the lowest addresses, which is no more than that.
    guest.ok("munmap", [0, 4096]);
    guest.ok("munmap", [0, NULL_GUARD_END + 4096]);
    guest.fails("mprotect", [0, 4096, READ], Errno::ENOMEM);
    guest.fails("madvise", [0, 4096, 4], Errno::ENOMEM);
    // What lies before a hole is told of.
    let at = guest.map(2 * PAGE_SIZE);
    guest.ok("munmap", [at + PAGE_SIZE, 4096]);
    let out = guest.room(4);
    guest.space.write(out, &[7; 4]).unwrap();
    guest.fails("mincore", [at, 8192, out], Errno::ENOMEM);
    assert_eq!(guest.bytes(out, 2), [1, 7]);
    guest.fails("mincore", [at, 8192, NOWHERE], Errno::EFAULT);
    for (flags, right) in [(0, false), (1, true), (3, true), (4, false), (7, true), (8, false)] {
        assert_eq!(guest.call("mlockall", [flags]) == crate::Answer::Return(0), right, "{flags}");
    }
}
