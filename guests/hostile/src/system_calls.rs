//! System calls with bad intent.

use crate::raw::{areas, control_page, store, survived, system_call};
use ampoule_abi::layout::{CHANNEL_BASE, STACK_TOP, SYSTEM_BASE, USER_END};
use ampoule_guest::guest_function;
use std::hint::black_box;

// Numbers of the x86-64 table (arch/x86/entry/syscalls/syscall_64.tbl).
const READ: u64 = 0;
const WRITE: u64 = 1;
pub(crate) const MMAP: u64 = 9;
const MPROTECT: u64 = 10;
const MUNMAP: u64 = 11;
const BRK: u64 = 12;
const RT_SIGRETURN: u64 = 15;
pub(crate) const MREMAP: u64 = 25;
pub(crate) const MADVISE: u64 = 28;
const PAUSE: u64 = 34;
pub(crate) const NANOSLEEP: u64 = 35;
const GETPID: u64 = 39;
const CLONE: u64 = 56;
const EXECVE: u64 = 59;
const EXIT: u64 = 60;
const KILL: u64 = 62;
const ARCH_PRCTL: u64 = 158;
const FUTEX: u64 = 202;
const EXIT_GROUP: u64 = 231;

const EXECUTE: u64 = 4;
pub(crate) const READ_WRITE: u64 = 3;
const ALL: u64 = 7;
pub(crate) const PRIVATE_ANONYMOUS: u64 = 0x22;
pub(crate) const FIXED: u64 = 0x10;
pub(crate) const NO_FILE: u64 = u64::MAX;

pub(crate) fn call(number: u64, arguments: &[u64]) -> i64 {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    system_call(number, all)
}

/// survives: any system call with any arguments; gives its result. The first argument is the number.
#[guest_function]
fn any_system_call(number: u64, arguments: Vec<u64>) -> i64 {
    call(number, &arguments[..arguments.len().min(6)])
}

/// TIMEOUT: makes a harmless system call for ever.
#[guest_function]
fn endless_system_calls() -> u64 {
    loop {
        call(GETPID, &[]);
    }
}

/// TIMEOUT: makes an unknown system call for ever.
#[guest_function]
fn endless_unknown_system_calls() -> u64 {
    loop {
        call(9999, &[]);
    }
}

/// OUTPUT_LIMIT: writes to standard output for ever.
#[guest_function]
fn endless_output() -> u64 {
    let block = vec![b'x'; 64 << 10];
    loop {
        call(WRITE, &[1, block.as_ptr() as u64, block.len() as u64]);
    }
}

/// OUTPUT_LIMIT or TIMEOUT: writes single bytes to standard error for ever.
#[guest_function]
fn endless_small_output() -> u64 {
    loop {
        call(WRITE, &[2, b"e".as_ptr() as u64, 1]);
    }
}

/// survives: tries numbers that no Linux has; gives how many were not `ENOSYS`, which is to be 0.
/// (Only the lower 32 bits count, on Linux, too.)
#[guest_function]
fn unknown_system_calls() -> u64 {
    let wild = [512, 1000, 9999, 1 << 20, 1 << 30, 1 << 31, u64::from(u32::MAX), u64::MAX];
    wild.iter().filter(|&&number| call(number, &[]) != -38).count() as u64
}

/// survives: every number up to 600 with all arguments 0, then with all ones, except the calls that
/// end a program or wait without end; gives the number of calls made. Standard input must have ended.
#[guest_function]
fn every_system_call() -> u64 {
    const POLL: u64 = 7;
    const SELECT: u64 = 23;
    const PSELECT: u64 = 270;
    const PPOLL: u64 = 271;
    let excluded = [RT_SIGRETURN, PAUSE, POLL, PPOLL, SELECT, PSELECT, EXIT, EXIT_GROUP];
    let mut calls = 0;
    for number in (0..600).filter(|number| !excluded.contains(number)) {
        for argument in [0, u64::MAX] {
            black_box(system_call(number, [argument; 6]));
            calls += 1;
        }
    }
    calls
}

/// survives: gives addresses that are not the guest's to every system call that takes one; the list
/// is of those that succeeded with more than 0, which is to be empty. Standard input must have ended.
#[guest_function]
fn wild_pointers() -> Vec<String> {
    let addresses = [
        0,
        1,
        0xffff,
        0x40_0000_0000,
        CHANNEL_BASE - 4096,
        SYSTEM_BASE,
        SYSTEM_BASE + 0x1000,
        USER_END - 1,
        USER_END,
        0x7fff_ffff_f000,
        0x8000_0000_0000,
        0xffff_8000_0000_0000,
        u64::MAX - 4095,
        u64::MAX,
    ];
    // (number, position of the address, position of a length)
    let calls: [(u64, usize, Option<usize>); 22] = [
        (READ, 1, Some(2)),
        (WRITE, 1, Some(2)),
        (4, 0, None),
        (5, 1, None),
        (7, 0, Some(1)),
        (13, 1, None),
        (14, 1, None),
        (16, 2, None),
        (17, 1, Some(2)),
        (19, 1, Some(2)),
        (20, 1, Some(2)),
        (NANOSLEEP, 0, None),
        (63, 0, None),
        (79, 0, Some(1)),
        (89, 0, Some(2)),
        (96, 0, None),
        (131, 0, None),
        (228, 1, None),
        (257, 1, None),
        (262, 1, None),
        (302, 3, None),
        (318, 0, Some(1)),
    ];
    let lengths = [1, 16, 4096, 1 << 31, 1 << 40, u64::MAX];
    let mut succeeded = Vec::new();
    for (number, pointer, length_at) in calls {
        for address in addresses {
            for length in &lengths[..if length_at.is_some() { lengths.len() } else { 1 }] {
                // Standard output, where a file is asked for.
                let mut arguments = [1; 6];
                if number == READ {
                    arguments[0] = 0;
                }
                arguments[pointer] = address;
                if let Some(position) = length_at {
                    arguments[position] = *length;
                }
                let result = system_call(number, arguments);
                if result > 0 {
                    succeeded.push(format!("{number}({address:#x}, {length}) = {result}"));
                }
            }
        }
    }
    succeeded
}

/// survives: lets the system write into memory that is read-only for the guest (control page, host's
/// area, own code, system pages); the list is of those that succeeded, which is to be empty.
#[guest_function]
fn write_by_system_call() -> Vec<String> {
    let [(to_guest, _), ..] = areas();
    let targets = [
        ("control page", control_page()),
        ("to guest", to_guest),
        ("code", write_by_system_call as *const () as u64 & !7),
        ("system", SYSTEM_BASE),
    ];
    // clock_gettime, uname, sigaltstack, getrandom
    let calls = [(228, 1), (63, 0), (131, 1), (318, 0)];
    let mut succeeded = Vec::new();
    for (name, target) in targets {
        for (number, pointer) in calls {
            let mut arguments = [0; 6];
            arguments[pointer] = target;
            if number == 318 {
                arguments[1] = 16;
            }
            if system_call(number, arguments) >= 0 {
                succeeded.push(format!("{number} into {name}"));
            }
        }
    }
    succeeded
}

/// survives: asks for memory that is writable and executable, in three ways; gives the results, all
/// negative.
#[guest_function]
fn writable_and_executable() -> Vec<i64> {
    let page = call(MMAP, &[0, 4096, READ_WRITE, PRIVATE_ANONYMOUS, NO_FILE, 0]);
    vec![
        call(MMAP, &[0, 4096, ALL, PRIVATE_ANONYMOUS, NO_FILE, 0]),
        call(MPROTECT, &[page as u64, 4096, ALL]),
        call(MPROTECT, &[writable_and_executable as *const () as u64 & !4095, 4096, ALL]),
    ]
}

/// survives: writes code into fresh memory and makes it executable, which is allowed in this order;
/// gives what the code gives, 42, or the error.
#[guest_function]
fn compile_and_run() -> i64 {
    let page = call(MMAP, &[0, 4096, READ_WRITE, PRIVATE_ANONYMOUS, NO_FILE, 0]) as u64;
    // mov eax, 42; ret
    for (offset, byte) in (0..).zip([0xb8, 42, 0, 0, 0, 0xc3]) {
        store(page + offset, byte);
    }
    let result = call(MPROTECT, &[page, 4096, EXECUTE | 1]);
    if result < 0 {
        return result;
    }
    let code: extern "C" fn() -> i64 = unsafe { std::mem::transmute(page) };
    code()
}

/// GUEST_FAULT: unmaps its own stack.
#[guest_function]
fn unmap_stack() -> String {
    call(MUNMAP, &[STACK_TOP - (1 << 20), 1 << 20]);
    survived()
}

unsafe extern "C" {
    // Where the program begins and where its code ends, both from the linker.
    static __executable_start: u8;
    static etext: u8;
}

/// GUEST_FAULT: unmaps its own code.
#[guest_function]
fn unmap_code() -> String {
    // All of it: one function's page would depend on which copy of it the compiler calls, and where.
    let (start, end) = (&raw const __executable_start as u64, &raw const etext as u64);
    call(MUNMAP, &[start, end - start]);
    survived()
}

/// survives or GUEST_FAULT: unmaps the channel, and writes there.
#[guest_function]
fn unmap_channel() -> String {
    call(MUNMAP, &[CHANNEL_BASE, 1 << 30]);
    survived()
}

/// survives: unmaps the system pages; gives the result, an error.
#[guest_function]
fn unmap_system_pages() -> i64 {
    call(MUNMAP, &[SYSTEM_BASE, 1 << 20])
}

/// GUEST_FAULT, or survives where the host's pages make that an error: unmaps everything.
#[guest_function]
fn unmap_everything() -> String {
    call(MUNMAP, &[0, USER_END]);
    survived()
}

/// survives: maps, moves and protects where it must not; gives how many succeeded, which is to be 0.
#[guest_function]
fn map_over_others() -> usize {
    let [(to_guest, size), ..] = areas();
    let fixed = PRIVATE_ANONYMOUS | FIXED;
    let page = call(MMAP, &[0, 4096, READ_WRITE, PRIVATE_ANONYMOUS, NO_FILE, 0]) as u64;
    let results = [
        call(MMAP, &[0, 4096, READ_WRITE, fixed, NO_FILE, 0]),
        call(MMAP, &[CHANNEL_BASE, 4096, READ_WRITE, fixed, NO_FILE, 0]),
        call(MMAP, &[SYSTEM_BASE, 4096, READ_WRITE, fixed, NO_FILE, 0]),
        call(MMAP, &[USER_END, 4096, READ_WRITE, fixed, NO_FILE, 0]),
        call(MMAP, &[!4095, 4096, READ_WRITE, fixed, NO_FILE, 0]),
        call(MMAP, &[1 << 47, 4096, READ_WRITE, fixed, NO_FILE, 0]),
        call(MMAP, &[0x50_0000_0000, !4095, READ_WRITE, fixed, NO_FILE, 0]),
        call(MPROTECT, &[control_page(), 4096, READ_WRITE]),
        call(MPROTECT, &[to_guest, size, READ_WRITE]),
        call(MPROTECT, &[SYSTEM_BASE, 4096, READ_WRITE]),
        call(MREMAP, &[page, 4096, 4096, 3, SYSTEM_BASE]),
        call(MREMAP, &[page, 4096, 4096, 3, CHANNEL_BASE]),
        call(MREMAP, &[SYSTEM_BASE, 4096, 8192, 1]),
        call(MREMAP, &[to_guest, size, size * 2, 1]),
    ];
    results.iter().filter(|&&result| result >= 0).count()
}

/// survives: asks the heap to end at places where it cannot; gives how often it moved, which is to
/// be 0.
#[guest_function]
fn heap_to_the_sky() -> usize {
    let now = call(BRK, &[0]);
    let ends = [u64::MAX, 1 << 63, 1 << 47, USER_END, SYSTEM_BASE, CHANNEL_BASE, STACK_TOP, 1];
    ends.iter().filter(|&&end| call(BRK, &[end]) != now).count()
}

/// MEMORY_LIMIT, or survives: maps pages one by one, never two neighbours alike, until that fails or
/// `limit` are there; gives their number.
#[guest_function]
fn map_flood(limit: u64) -> u64 {
    for count in 0..limit {
        let protection = if count % 2 == 0 { READ_WRITE } else { 1 };
        let page = call(MMAP, &[0, 4096, protection, PRIVATE_ANONYMOUS, NO_FILE, 0]);
        if page < 0 {
            return count;
        }
        if protection == READ_WRITE {
            store(page as u64, 1);
        }
    }
    limit
}

/// survives: maps a terabyte at once; gives the result, an error.
#[guest_function]
fn map_a_terabyte() -> i64 {
    call(MMAP, &[0, 1 << 40, READ_WRITE, PRIVATE_ANONYMOUS, NO_FILE, 0])
}

/// MEMORY_LIMIT, or survives with an error: maps more than there is, and writes to all of it.
#[guest_function]
fn map_and_fill(bytes: u64) -> i64 {
    let start = call(MMAP, &[0, bytes, READ_WRITE, PRIVATE_ANONYMOUS, NO_FILE, 0]);
    if start < 0 {
        return start;
    }
    (0..bytes).step_by(4096).for_each(|offset| store(start as u64 + offset, 1));
    0
}

/// GUEST_FAULT, or survives: forgets the contents of its own stack.
#[guest_function]
fn forget_stack() -> String {
    call(MADVISE, &[STACK_TOP - (1 << 20), 1 << 20, 4]);
    survived()
}

/// GUEST_FAULT, or survives with an error: thread pointers that cannot be; gives the results.
#[guest_function]
fn bad_thread_pointers() -> Vec<i64> {
    const ARCH_SET_GS: u64 = 0x1001;
    const ARCH_SET_FS: u64 = 0x1002;
    [1 << 63, u64::MAX, 0x8000_0000_0000]
        .iter()
        .flat_map(|&base| {
            [call(ARCH_PRCTL, &[ARCH_SET_FS, base]), call(ARCH_PRCTL, &[ARCH_SET_GS, base])]
        })
        .collect()
}

/// GUEST_FAULT or GUEST_EXITED, or survives: returns from a signal that there was none of.
#[guest_function]
fn return_from_no_signal() -> i64 {
    call(RT_SIGRETURN, &[])
}

/// survives: threads and processes; gives the results, all negative.
#[guest_function]
fn new_processes() -> Vec<i64> {
    let path = c"/bin/sh".as_ptr() as u64;
    vec![
        call(CLONE, &[0x3d0f00, 0]),
        call(CLONE, &[17, 0]),
        call(57, &[]),
        call(58, &[]),
        call(435, &[0, 0]),
        call(EXECVE, &[path, 0, 0]),
    ]
}

/// GUEST_EXITED with that signal, or survives if it does not end a program: sends itself a signal.
#[guest_function]
fn signal_itself(signal: u32) -> i64 {
    let own = call(GETPID, &[]);
    call(KILL, &[own as u64, u64::from(signal)])
}

/// survives: sends signals to others; gives the results, all negative.
#[guest_function]
fn signal_others() -> Vec<i64> {
    [1, 3, 99_999, u64::MAX].iter().map(|&process| call(KILL, &[process, 9])).collect()
}

/// GUEST_EXITED: waits for another thread, of which there is none, which is recognised.
#[guest_function]
fn wait_for_nobody() -> i64 {
    let word = black_box(Box::new(1_u32));
    loop {
        call(FUTEX, &[&raw const *word as u64, 128, 1, 0, 0, 0]);
    }
}

/// TIMEOUT: sleeps for 100 years.
#[guest_function]
fn sleep_for_ever() -> i64 {
    let time: [u64; 2] = black_box([3_000_000_000, 0]);
    loop {
        call(NANOSLEEP, &[time.as_ptr() as u64, 0]);
    }
}
