//! No system call keeps the host for long, whatever it is asked for: every entry of the table is made at
//! its worst and held to a bound of *counted* work between two looks at whether the guest is to stop.
//!
//! An entry whose work is sized by the guest stands in [`SIZED`], with the worst that it can be asked for. One whose
//! work is constant is given whatever arguments look expensive.

use super::{CAPACITY, Guest, TestClock, negative};
use crate::calls::table::entries::ENTRIES;
use crate::calls::table::entry::{Treatment, Work};
use crate::{Answer, File, OutputStream, Personality, Start, SystemCall, WaitFor};
use ampoule_abi::layout::PAGE_SIZE;
use ampoule_memory::{Access, AddressSpace, FaultOutcome, PORTION, SealedSpace};
use std::collections::BTreeSet;
use std::sync::Arc;

const READ_WRITE: u64 = 3;
const RESERVED: u64 = 0x4022;
const FIXED: u64 = 0x10;
const NO_FILE: u64 = u64::MAX;
const MAYMOVE: u64 = 1;
const DONTNEED: u64 = 4;

/// Every second page of it has a frame, and so every second of those frames is free.
const HOLEY: u64 = 0x5000_0000_0000;
/// Mappings of one page each: 20,000 in a row, no two neighbours alike, and 10,000 with holes between them.
const AREAS: u64 = 0x5100_0000_0000;
/// A reservation of which nothing was touched.
const FRESH: u64 = 0x5200_0000_0000;
/// Pages whose frames lie the other way round.
const SHUFFLED: u64 = 0x5300_0000_0000;
const HOLEY_BYTES: u64 = 24 << 20;
const SHUFFLED_BYTES: u64 = 8 << 20;
const AREAS_BYTES: u64 = 20_000 * PAGE_SIZE;
const FRESH_BYTES: u64 = 1 << 36;

/// A guest that has done what makes its host's work dear: its memory has fallen into pieces, and the image
/// holds the frames that are free.
struct Hostile {
    image: Arc<SealedSpace>,
    personality: Personality,
    clock: Arc<TestClock>,
    next: u64,
}

impl Hostile {
    fn new() -> Self {
        let names = (0..2_000).map(|index| File {
            path: format!("/many/{index:0>200}").into_bytes(),
            contents: b"".as_slice().into(),
        });
        let large = File { path: b"/large".to_vec(), contents: vec![7; 12 << 20].into() };
        let mut guest =
            Guest::with(Start { files: names.chain([large]).collect(), ..Start::default() });
        let straight = SHUFFLED + SHUFFLED_BYTES;
        for (start, length) in
            [(HOLEY, HOLEY_BYTES), (FRESH, FRESH_BYTES), (straight, SHUFFLED_BYTES)]
        {
            guest.ok("mmap", [start, length, READ_WRITE, RESERVED | FIXED, NO_FILE, 0]);
        }
        for page in (0..SHUFFLED_BYTES).step_by(4096) {
            guest.space.write(straight + page, &[1]).unwrap();
        }
        for page in (0..SHUFFLED_BYTES).step_by(4096) {
            let to = straight - 4096 - page;
            guest.ok("mremap", [straight + page, 4096, 4096, MAYMOVE | 2, to]);
        }
        for page in (0..HOLEY_BYTES).step_by(4096) {
            guest.space.write(HOLEY + page, &[1]).unwrap();
        }
        for page in (0..HOLEY_BYTES).step_by(8192) {
            guest.ok("madvise", [HOLEY + page, 4096, DONTNEED]);
        }
        guest.ok("mmap", [AREAS, 2 * AREAS_BYTES, 0, RESERVED | FIXED, NO_FILE, 0]);
        for page in (0..AREAS_BYTES).step_by(8192) {
            guest.ok("mprotect", [AREAS + page, 4096, READ_WRITE]);
            guest.ok("munmap", [AREAS + AREAS_BYTES + page, 4096]);
        }
        let Guest { mut space, personality, clock, next, .. } = guest;
        Self { image: space.seal().unwrap(), personality, clock, next }
    }

    fn guest(&self) -> Guest {
        let (personality, clock) = (self.personality.clone(), Arc::clone(&self.clock));
        let space = self.image.instantiate().unwrap();
        Guest { space, personality, clock, next: self.next, worst: 0, portions: 0, parked: None }
    }
}

/// 1,024 pieces of untouched memory, as an `iovec`.
fn vector(guest: &mut Guest, length: u64) -> u64 {
    let words: Vec<u64> = (0..1024).flat_map(|at| [FRESH + at * (16 << 10) + 5, length]).collect();
    guest.words(&words)
}

fn zeros(guest: &mut Guest) -> u64 {
    guest.open("/dev/zero")
}

/// Takes output until a write is done.
fn written<const N: usize>(guest: &mut Guest, name: &str, arguments: [u64; N]) -> u64 {
    loop {
        match guest.call(name, arguments) {
            Answer::Wait(WaitFor::OutputRoom) => {
                drop(guest.personality.take_output(OutputStream::Stdout))
            }
            Answer::Return(value) => return value.unsigned_abs(),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// How often a call is expected to go on in another portion, at least.
type Worst = (&'static str, u64, fn(&mut Guest));

/// What a guest chooses the size of.
const SIZED: &[Worst] = &[
    ("read", 30, |guest| {
        let (zero, large) = (zeros(guest), guest.open("/large"));
        assert_eq!(guest.ok("read", [zero, FRESH + 1, 20 << 20]), 20 << 20);
        assert_eq!(guest.ok("read", [large, HOLEY, 1 << 40]), 12 << 20);
        assert_eq!(guest.bytes(HOLEY + (12 << 20) - 1, 2), [7, 0]);
    }),
    ("pread64", 10, |guest| {
        let large = guest.open("/large");
        assert_eq!(guest.ok("pread64", [large, FRESH, 12 << 20, 5]), (12 << 20) - 5);
        assert_eq!(guest.ok("lseek", [large, 0, 1]), 0);
    }),
    ("readv", 5, |guest| {
        let (zero, vector) = (zeros(guest), vector(guest, 9_000));
        assert_eq!(guest.ok("readv", [zero, vector, 1024]), 1024 * 9_000);
    }),
    ("preadv", 5, |guest| {
        let (large, vector) = (guest.open("/large"), vector(guest, 9_000));
        assert_eq!(guest.ok("preadv", [large, vector, 1024, 1]), 1024 * 9_000);
    }),
    ("preadv2", 5, |guest| {
        let (large, vector) = (guest.open("/large"), vector(guest, 9_000));
        assert_eq!(guest.ok("preadv2", [large, vector, 1024, u64::MAX, 0, 0]), 1024 * 9_000);
        assert_eq!(guest.ok("lseek", [large, 0, 1]), 1024 * 9_000);
    }),
    ("write", 0, |guest| {
        assert_eq!(written(guest, "write", [1, FRESH, 1 << 20]), 1 << 20);
    }),
    ("pwrite64", 0, |guest| {
        let null = guest.text("/dev/null");
        let null = guest.ok("open", [null, 1]);
        assert_eq!(guest.ok("pwrite64", [null, FRESH, 1 << 40, 0]), 0x7fff_f000);
    }),
    ("writev", 0, |guest| {
        let vector = vector(guest, 700);
        assert_eq!(written(guest, "writev", [1, vector, 1024]), 1024 * 700);
    }),
    ("pwritev", 0, |guest| {
        let (null, vector) = (guest.text("/dev/null"), vector(guest, 1 << 20));
        let null = guest.ok("open", [null, 1]);
        assert_eq!(guest.ok("pwritev", [null, vector, 1024, 0]), 1 << 30);
    }),
    ("pwritev2", 0, |guest| {
        let vector = vector(guest, 700);
        assert_eq!(written(guest, "pwritev2", [1, vector, 1024, u64::MAX]), 1024 * 700);
    }),
    ("getrandom", 10, |guest| {
        assert_eq!(guest.ok("getrandom", [FRESH + 7, 8 << 20, 0]), 8 << 20);
        let counted = guest.personality.counts().find(|call| call.name == "getrandom");
        assert_eq!(counted.map(|call| call.count), Some(1), "one call, in however many portions");
    }),
    ("mmap", 10, |guest| {
        let large = guest.open("/large");
        let file = guest.ok("mmap", [0, 12 << 20, 1, 2, large, 0]);
        assert_eq!(guest.bytes(file + (12 << 20) - 1, 1), [7]);
        // Over pieces, over areas, and in search of a place behind all of them.
        for (at, length) in [(HOLEY, HOLEY_BYTES), (AREAS, 2 * AREAS_BYTES)] {
            guest.ok("mmap", [at, length, 0, RESERVED | FIXED, NO_FILE, 0]);
            assert_eq!(guest.space.mapping_at(at).map(|(end, _)| end), Some(at + length));
        }
        guest.ok("mmap", [0, 1 << 44, 0, RESERVED, NO_FILE, 0]);
    }),
    ("mprotect", 20, |guest| {
        guest.ok("mprotect", [HOLEY, HOLEY_BYTES, 1]);
        guest.ok("mprotect", [SHUFFLED, SHUFFLED_BYTES, 0]);
        guest.ok("mprotect", [FRESH, FRESH_BYTES, 0]);
        guest.fails("mprotect", [AREAS, 2 * AREAS_BYTES, 1], crate::Errno::ENOMEM);
        assert_eq!(guest.space.mapping_at(AREAS).map(|(end, _)| end), Some(AREAS + AREAS_BYTES));
    }),
    ("munmap", 20, |guest| {
        for (at, length) in
            [(HOLEY, HOLEY_BYTES), (SHUFFLED, SHUFFLED_BYTES), (AREAS, 2 * AREAS_BYTES)]
        {
            guest.ok("munmap", [at, length]);
            assert!(!guest.space.is_mapped(at, 1) && !guest.space.is_mapped(at + length / 2, 1));
        }
        guest.ok("munmap", [0x80_0000_0000, (1 << 47) - 4096 - 0x80_0000_0000]);
    }),
    ("mremap", 20, |guest| {
        for (at, length) in [(HOLEY, HOLEY_BYTES), (SHUFFLED, SHUFFLED_BYTES), (FRESH, FRESH_BYTES)]
        {
            let to = at + (1 << 43);
            assert_eq!(guest.ok("mremap", [at, length, length, MAYMOVE | 2, to]), to);
            assert!(!guest.space.is_mapped(at, 1));
        }
        assert_eq!(guest.bytes(HOLEY + (1 << 43) + 4096, 1), [1]);
        assert_eq!(guest.bytes(SHUFFLED + (1 << 43) + SHUFFLED_BYTES - 4096, 1), [1]);
    }),
    ("madvise", 10, |guest| {
        guest.ok("madvise", [HOLEY, HOLEY_BYTES, DONTNEED]);
        assert_eq!(guest.bytes(HOLEY + 4096, 1), [0]);
        guest.ok("madvise", [FRESH, FRESH_BYTES, DONTNEED]);
        guest.fails("madvise", [AREAS, 2 * AREAS_BYTES, DONTNEED], crate::Errno::ENOMEM);
    }),
    ("brk", 1, |guest| {
        let start = guest.ok("brk", [0]);
        let end = start + (8 << 20);
        assert_eq!(guest.ok("brk", [end]), end);
        for page in (start..end).step_by(4096) {
            assert_eq!(guest.space.handle_fault(page, Access::Write), FaultOutcome::Repaired);
        }
        assert_eq!(guest.ok("brk", [start]), start);
    }),
    ("mincore", 2, |guest| {
        guest.ok("mincore", [FRESH + (1 << 30), 16 << 30, FRESH]);
        assert_eq!(guest.bytes(FRESH, 2), [1, 1]);
    }),
    ("poll", 0, |guest| {
        let fds: Vec<u64> = (0..1024).map(|fd| fd | 1 << 32).collect();
        let at = guest.words(&fds);
        guest.call("poll", [at, 1024, 0]);
    }),
    ("ppoll", 0, |guest| {
        guest.call("ppoll", [FRESH + 4091, 1024, 0, 0]);
    }),
    ("select", 0, |guest| {
        guest.call("select", [1024, FRESH + 4091, FRESH + (4 << 20), FRESH + (8 << 20), 0]);
    }),
    ("pselect6", 0, |guest| {
        guest.call("pselect6", [1024, FRESH + 4091, FRESH + (4 << 20), FRESH + (8 << 20), 0]);
    }),
    ("getdents64", 0, |guest| {
        let many = guest.open("/many");
        while guest.ok("getdents64", [many, FRESH, u64::from(u32::MAX)]) > 0 {}
    }),
];

/// Arguments that look expensive: long paths, all memory, the largest numbers, descriptors.
fn dear(guest: &mut Guest) -> Vec<[u64; 6]> {
    let long = guest.put([b"/many/../".repeat(450), vec![0]].concat());
    let links = guest.text(&"/proc/self/fd/".repeat(200));
    let all = (1 << 47) - 4096;
    vec![
        [0; 6],
        [u64::MAX; 6],
        [long; 6],
        [negative(-100), long, links, long, 0, 0],
        [links, links, links, 0, 0, 0],
        [HOLEY, HOLEY_BYTES, 0, 0, 0, 0],
        [AREAS, 2 * AREAS_BYTES, 0, FRESH, FRESH, FRESH],
        [0x1_0000, all, FRESH, FRESH, FRESH, FRESH],
        [0, u64::from(u32::MAX), 0, 0, 0, 0],
        [3, FRESH, FRESH_BYTES, FRESH, FRESH, FRESH],
        [FRESH, FRESH + (1 << 30), FRESH + (2 << 30), FRESH + (3 << 30), FRESH, FRESH],
    ]
}

/// Names and numbers of the calls that are answered with this kind of work.
fn answered(of: Work) -> impl Iterator<Item = (&'static str, u64)> {
    ENTRIES.iter().filter_map(move |entry| match entry.treatment {
        Treatment::Answered { work, .. } if work == of => Some((entry.name, entry.number.into())),
        _ => None,
    })
}

#[test]
fn every_sized_call_is_known_at_its_worst() {
    let known: BTreeSet<&str> = SIZED.iter().map(|(name, ..)| *name).collect();
    let sized: BTreeSet<&str> = answered(Work::Sized).map(|(name, _)| name).collect();
    assert_eq!(known, sized);
}

#[test]
fn every_sized_call_stays_within_its_portions_at_its_worst() {
    let hostile = Hostile::new();
    for (name, portions, act) in SIZED {
        let mut guest = hostile.guest();
        // `Guest::make` holds each portion to the bound.
        act(&mut guest);
        assert!(guest.portions >= *portions, "{name} took {} portions", guest.portions);
        assert!(guest.worst > 0, "{name}");
    }
}

#[test]
fn constant_calls_cost_little_whatever_they_are_asked_for() {
    let hostile = Hostile::new();
    for (name, number) in answered(Work::Constant) {
        let mut guest = hostile.guest();
        for arguments in dear(&mut guest) {
            guest.worst = 0;
            guest.make(&SystemCall { number, arguments });
            assert_eq!(guest.portions, 0, "{name} {arguments:x?} was parked");
            assert!(guest.worst <= PORTION, "{name} {arguments:x?}: {}", guest.worst);
        }
    }
}

#[test]
fn a_page_fault_stays_within_a_portion_when_memory_is_full_and_in_pieces() {
    let mut guest = Hostile::new().guest();
    let (mut faults, mut worst) = (0, 0);
    // Where each fault needs tables, and then where every page there is gets used.
    for step in [2 << 20, 4096] {
        for page in (FRESH..FRESH + FRESH_BYTES).step_by(step) {
            guest.space.begin_portion();
            let outcome = guest.space.handle_fault(page, Access::Write);
            worst = worst.max(guest.space.work());
            if outcome == FaultOutcome::OutOfMemory {
                break;
            }
            faults += 1;
        }
    }
    assert!(faults > 100, "{faults} faults filled memory");
    assert!(worst <= PORTION, "one fault took {worst} units of work");
    assert_eq!(guest.space.committed_bytes(), CAPACITY);
}

/// A space with room for large leaves, one of which is worth 512 pages.
#[test]
fn large_leaves_are_taken_apart_in_portions() {
    let mut space = AddressSpace::new(512 << 20).unwrap();
    let (personality, _) = Personality::start(
        &mut space,
        Start { executable: b"/bin/program".to_vec(), ..Start::default() },
    )
    .unwrap();
    let space = space.seal().unwrap().instantiate().unwrap();
    let clock = Arc::new(TestClock::default());
    let mut guest =
        Guest { space, personality, clock, next: 0, worst: 0, portions: 0, parked: None };
    let bytes = 256 << 20;
    for act in ["mprotect", "mremap", "munmap", "madvise"] {
        let at = guest.ok("mmap", [FRESH, bytes, READ_WRITE, RESERVED | FIXED, NO_FILE, 0]);
        for block in (at..at + bytes).step_by(2 << 20) {
            assert_eq!(guest.space.handle_fault(block, Access::Write), FaultOutcome::Repaired);
        }
        let before = guest.portions;
        match act {
            "mprotect" => guest.ok("mprotect", [at, bytes, 1]),
            "mremap" => guest.ok("mremap", [at, bytes, bytes, MAYMOVE | 2, HOLEY]),
            "munmap" => guest.ok("munmap", [at, bytes]),
            _ => guest.ok("madvise", [at, bytes, DONTNEED]),
        };
        assert!(guest.portions - before > 5, "{act}: {}", guest.portions - before);
        guest.ok("munmap", [HOLEY, bytes]);
    }
}
