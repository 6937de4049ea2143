//! System calls, with arguments that a hostile guest would choose.
//!
//! An input is a page of guest memory and then calls. A call is its number (two bytes) and six
//! arguments of one byte, which chooses a value: a small number, a landmark of the address space, a
//! place in the page, or any eight bytes.

use ampoule_abi::layout::{MMAP_TOP, NULL_GUARD_END, PAGE_SIZE, PIE_BASE, STACK_TOP, USER_END};
use ampoule_linux::{
    Answer, Clock, File, OutputStream, Personality, Start, SystemCall, Termination, WaitFor,
};
use ampoule_memory::{AddressSpace, PORTION, Protection};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const CAPACITY: u64 = 16 << 20;
const OUTPUT_HIGH_WATER: usize = 1 << 16;
/// Where the page from the input is mapped, with two more behind it.
const PAGE: u64 = PIE_BASE - 16 * PAGE_SIZE;
/// Most calls of one input, so that none takes long.
const CALLS_MAX: usize = 64;
/// Most times that one call is repeated because it parked.
const REPEATS_MAX: usize = 8;

/// Time that passes only when it is looked at.
#[derive(Debug, Default)]
struct Ticks(AtomicU64);

impl Ticks {
    fn tick(&self) -> u64 {
        self.0.fetch_add(1_000_000, Ordering::Relaxed)
    }
}

impl Clock for Ticks {
    fn realtime(&self) -> u64 {
        self.tick()
    }

    fn monotonic(&self) -> u64 {
        self.tick()
    }
}

/// No sequence of calls panics, and none gets more memory or output than there is.
pub fn check(input: &[u8]) {
    let (page, mut calls) = input.split_at(input.len().min(256));
    let mut space = AddressSpace::new(CAPACITY).expect("the host has memory");
    space.map(PAGE, 3 * PAGE_SIZE, Protection::READ_WRITE).expect("the page is free");
    let start = Start {
        executable: b"/guest".to_vec(),
        arguments: vec![b"guest".to_vec()],
        files: vec![File { path: b"/etc/a".to_vec(), contents: Arc::from(&b"contents\n"[..]) }],
        stack_bytes: 1 << 16,
        output_high_water: OUTPUT_HIGH_WATER,
        clock: Arc::new(Ticks::default()),
        ..Start::default()
    };
    let (mut personality, _) = Personality::start(&mut space, start).expect("the guest starts");
    // Twice, so that it is found at the page's start and across its end.
    for address in [PAGE, PAGE + PAGE_SIZE - 128] {
        space.write(address, page).expect("the page is writable");
    }
    for _ in 0..CALLS_MAX {
        let Some(call) = next_call(&mut calls) else { break };
        if !make(&mut personality, &mut space, &call) {
            break;
        }
    }
    assert!(space.committed_bytes() <= CAPACITY, "more memory than there is");
    assert!(personality.counts().count() < 1024, "counters grow with the guest's inventions");
}

/// Makes a call until it is answered; `false` when the guest is over.
fn make(personality: &mut Personality, space: &mut AddressSpace, call: &SystemCall) -> bool {
    let mut next = Some(personality.system_call(space, call));
    for repeat in 0..REPEATS_MAX {
        let Some(answer) = next else { return true };
        assert!(space.work() <= 2 * PORTION, "{} units of work at once", space.work());
        assert!(personality.pending_output() <= OUTPUT_HIGH_WATER, "output beyond its mark");
        match answer {
            Answer::Return(_) | Answer::SetFsBase(_) => return true,
            Answer::End(ending) => {
                if let Termination::Exit { code } = ending {
                    assert!((0..=255).contains(&code), "exit code {code}");
                }
                return false;
            }
            Answer::Wait(WaitFor::Input { .. }) if repeat == 0 => {
                personality.provide_input(b"x\n".to_vec());
            }
            Answer::Wait(WaitFor::Input { .. }) => personality.end_input(),
            Answer::Wait(WaitFor::OutputRoom) => {
                personality.take_output(OutputStream::Stdout);
                personality.take_output(OutputStream::Stderr);
            }
            Answer::Wait(WaitFor::Time { .. }) | Answer::Again => {}
        }
        next = personality.go_on(space);
    }
    true
}

fn next_call(input: &mut &[u8]) -> Option<SystemCall> {
    let number = u16::from_le_bytes(take(input)?);
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = match take::<1>(input)?[0] {
            small @ 0..0x40 => u64::from(small),
            place @ 0x40..0x60 => PAGE + u64::from(place - 0x40) * 8,
            place @ 0x60..0x70 => PAGE + PAGE_SIZE - 128 + u64::from(place - 0x60) * 8,
            landmark @ 0x70..0x90 => LANDMARKS[usize::from(landmark - 0x70) % LANDMARKS.len()],
            _ => u64::from_le_bytes(take(input)?),
        };
    }
    Some(SystemCall { number: u64::from(number), arguments })
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*taken)
}

const LANDMARKS: [u64; 20] = [
    NULL_GUARD_END,
    PAGE_SIZE,
    PAGE + PAGE_SIZE,
    PAGE + 3 * PAGE_SIZE - 1,
    PIE_BASE,
    PIE_BASE + (1 << 20),
    MMAP_TOP,
    MMAP_TOP - PAGE_SIZE,
    STACK_TOP,
    STACK_TOP - PAGE_SIZE,
    USER_END,
    USER_END - PAGE_SIZE,
    CAPACITY,
    CAPACITY + PAGE_SIZE,
    1 << 40,
    u64::MAX,
    u64::MAX - PAGE_SIZE + 1,
    i64::MAX.unsigned_abs(),
    u32::MAX as u64,
    1 << 31,
];

/// What a libc does, and each family of calls once.
pub fn seeds() -> Vec<Vec<u8>> {
    let path = |text: &[u8]| {
        let mut page = text.to_vec();
        page.resize(256, 0);
        page
    };
    let call = |number: u16, arguments: [u8; 6]| {
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.extend(arguments);
        bytes
    };
    let program = |page: &[u8], calls: &[(u16, [u8; 6])]| {
        let mut input = path(page);
        for &(number, arguments) in calls {
            input.extend(call(number, arguments));
        }
        input
    };
    let page = 0x40;
    vec![
        // brk; mmap, mprotect, mremap, munmap of anonymous memory.
        program(
            b"",
            &[
                (12, [0; 6]),
                (12, [0x75, 0, 0, 0, 0, 0]),
                (9, [0, 0x71, 3, 0x22, 0x7f, 0]),
                (10, [page, 0x71, 1, 0, 0, 0]),
                (25, [page, 0x71, 0x7c, 1, 0, 0]),
                (11, [page, 0x71, 0, 0, 0, 0]),
            ],
        ),
        // openat, fstat, read, lseek, pread64, close of a file; readlink; getdents64.
        program(
            b"/etc/a\0/proc/self/exe",
            &[
                (257, [0x7f, page, 0, 0, 0, 0]),
                (5, [3, page + 8, 0, 0, 0, 0]),
                (0, [3, page + 8, 16, 0, 0, 0]),
                (8, [3, 1, 0, 0, 0, 0]),
                (17, [3, page + 8, 16, 2, 0, 0]),
                (89, [page, page + 8, 32, 0, 0, 0]),
                (217, [3, page, 0x71, 0, 0, 0]),
                (3, [3, 0, 0, 0, 0, 0]),
            ],
        ),
        // read from stdin, write and writev to stdout, poll, ioctl, dup, pipe2, fcntl.
        program(
            &(PAGE + 64).to_le_bytes().repeat(8),
            &[
                (0, [0, page, 32, 0, 0, 0]),
                (1, [1, page, 32, 0, 0, 0]),
                (20, [1, page, 2, 0, 0, 0]),
                (1, [2, page, 0x71, 0, 0, 0]),
                (7, [page, 1, 0, 0, 0, 0]),
                (16, [1, 0x14, page, 0, 0, 0]),
                (32, [1, 0, 0, 0, 0, 0]),
                (293, [page, 0, 0, 0, 0, 0]),
                (72, [1, 3, 0, 0, 0, 0]),
            ],
        ),
        // Signals, clocks, sleeping, random bytes, limits, threads that are refused, the end.
        program(
            &[1; 64],
            &[
                (13, [2, page, page + 8, 8, 0, 0]),
                (14, [0, page, page + 8, 8, 0, 0]),
                (131, [page, 0, 0, 0, 0, 0]),
                (228, [1, page, 0, 0, 0, 0]),
                (35, [page, 0, 0, 0, 0, 0]),
                (318, [page, 16, 0, 0, 0, 0]),
                (302, [0, 3, 0, page, 0, 0]),
                (56, [0; 6]),
                (202, [page, 0, 1, 0, 0, 0]),
                (62, [1, 6, 0, 0, 0, 0]),
                (231, [7, 0, 0, 0, 0, 0]),
            ],
        ),
    ]
}
