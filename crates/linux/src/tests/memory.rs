//! The guest's memory: what it may do with its own, and that it gets nothing else.

use super::{CAPACITY, Guest, NOWHERE, negative};
use crate::Errno;
use ampoule_abi::layout::{
    CHANNEL_BASE, MMAP_TOP, NULL_GUARD_END, PAGE_SIZE, PIE_BASE, STACK_TOP, SYSTEM_BASE, USER_END,
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
    guest.fails("mmap", [0, 1 << 45, NONE, anonymous, NO_FILE, 0], Errno::ENOMEM);
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
    guest.fails("mremap", [target, 8192, 4096, 0], Errno::EFAULT);
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
