//! The stack that a program finds: arguments, environment and auxiliary vector (kernel: `create_elf_tables` in
//! `fs/binfmt_elf.c`).

use super::start::Start;
use crate::kernel::clock::CLOCK_TICKS;
use ampoule_abi::channel::AT_AMPOULE;
use ampoule_abi::layout::{PAGE_SIZE, STACK_TOP};

/// Bytes of a program header of a 64-bit ELF file.
const PROGRAM_HEADER_SIZE: u64 = 56;
/// Bytes that `AT_RANDOM` leads to.
pub(super) const RANDOM_BYTES: usize = 16;

/// The bytes from the stack pointer to the stack's end, and the stack pointer.
pub(super) fn stack_image(start: &Start, random: &[u8; RANDOM_BYTES]) -> (Vec<u8>, u64) {
    // Strings lie above the pointers. They are laid out first, at addresses known only when their
    // total size is, so positions are kept relative to the start of the strings.
    let mut strings = Vec::new();
    let mut place = |bytes: &[u8]| {
        let at = strings.len() as u64;
        strings.extend_from_slice(bytes);
        strings.push(0);
        at
    };
    let platform = place(b"x86_64");
    let arguments: Vec<u64> = start.arguments.iter().map(|string| place(string)).collect();
    let environment: Vec<u64> = start.environment.iter().map(|string| place(string)).collect();
    let executable = place(&start.executable);
    // Linux, too, leaves a null pointer at the very end.
    strings.resize((strings.len() + RANDOM_BYTES + size_of::<u64>()).next_multiple_of(16), 0);
    let random_at = strings.len() - RANDOM_BYTES - size_of::<u64>();
    strings[random_at..random_at + RANDOM_BYTES].copy_from_slice(random);
    let base = STACK_TOP - strings.len() as u64;

    let auxiliary = auxiliary_vector(
        start,
        Strings {
            platform: base + platform,
            executable: base + executable,
            random: base + random_at as u64,
        },
    );
    let mut words = vec![arguments.len() as u64];
    words.extend(arguments.iter().map(|at| base + at));
    words.push(0);
    words.extend(environment.iter().map(|at| base + at));
    words.push(0);
    words.extend(auxiliary.iter().flat_map(|&(kind, value)| [kind, value]));
    // An odd number of words would leave the stack pointer off its 16-byte alignment.
    let padding = words.len() % 2 * size_of::<u64>();

    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.resize(bytes.len() + padding, 0);
    let stack_pointer = base - bytes.len() as u64;
    bytes.append(&mut strings);
    (bytes, stack_pointer)
}

/// Addresses of the strings that the auxiliary vector refers to.
struct Strings {
    platform: u64,
    executable: u64,
    random: u64,
}

/// In the order in which Linux gives the entries; ours comes last. There is no `AT_SYSINFO_EHDR`,
/// so libc reads the clock by system call.
fn auxiliary_vector(start: &Start, strings: Strings) -> Vec<(u64, u64)> {
    const AT_NULL: u64 = 0;
    const AT_PHDR: u64 = 3;
    const AT_PHENT: u64 = 4;
    const AT_PHNUM: u64 = 5;
    const AT_PAGESZ: u64 = 6;
    const AT_BASE: u64 = 7;
    const AT_FLAGS: u64 = 8;
    const AT_ENTRY: u64 = 9;
    const AT_UID: u64 = 11;
    const AT_EUID: u64 = 12;
    const AT_GID: u64 = 13;
    const AT_EGID: u64 = 14;
    const AT_PLATFORM: u64 = 15;
    const AT_HWCAP: u64 = 16;
    const AT_CLKTCK: u64 = 17;
    const AT_SECURE: u64 = 23;
    const AT_RANDOM: u64 = 25;
    const AT_HWCAP2: u64 = 26;
    const AT_EXECFN: u64 = 31;
    let mut entries = vec![
        (AT_HWCAP, start.hwcap),
        (AT_PAGESZ, PAGE_SIZE),
        (AT_CLKTCK, CLOCK_TICKS),
        (AT_PHDR, start.program_headers),
        (AT_PHENT, PROGRAM_HEADER_SIZE),
        (AT_PHNUM, start.program_header_count.into()),
        (AT_BASE, 0),
        (AT_FLAGS, 0),
        (AT_ENTRY, start.entry),
        (AT_UID, 0),
        (AT_EUID, 0),
        (AT_GID, 0),
        (AT_EGID, 0),
        (AT_SECURE, 0),
        (AT_RANDOM, strings.random),
        (AT_HWCAP2, 0),
        (AT_EXECFN, strings.executable),
        (AT_PLATFORM, strings.platform),
    ];
    entries.extend(start.channel.map(|address| (AT_AMPOULE, address)));
    entries.push((AT_NULL, 0));
    entries
}
