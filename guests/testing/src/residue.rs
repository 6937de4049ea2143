//! Leaving traces everywhere a run can, and looking for those of another run.
//!
//! [`fingerprint`] tells everything that a guest can see of its own state, part by part. Two sandboxes
//! that begin as the same snapshot, and one that went back to it, must tell the same.

use crate::found::{Found, leave_in_registers, leave_in_vectors};
use ampoule_guest::{Error, guest_function};
use std::cell::{Cell, UnsafeCell};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};
use std::hint::black_box;
use std::io::Read;

const PAGE: usize = 4096;
/// `AT_EXECFN`: the string that stands highest on the stack.
const AT_EXECFN: c_ulong = 31;
/// `AT_RANDOM`.
const AT_RANDOM: c_ulong = 25;
/// Where the channel is, as in `ampoule-abi`.
const AT_AMPOULE: c_ulong = 0x414d_504f;
const PROT_READ_WRITE: c_int = 3;
const MAP_PRIVATE_ANONYMOUS: c_int = 0x22;
const PR_SET_NAME: c_int = 15;
const PR_GET_NAME: c_int = 16;

unsafe extern "C" {
    static __data_start: u8;
    static _end: u8;
    safe fn getauxval(kind: c_ulong) -> c_ulong;
    safe fn lseek(descriptor: c_int, offset: i64, whence: c_int) -> i64;
    safe fn umask(mask: u32) -> u32;
    safe fn dup(descriptor: c_int) -> c_int;
    fn sbrk(more: isize) -> *mut u8;
    fn mmap(at: *mut u8, length: usize, prot: c_int, flags: c_int, fd: c_int, at: i64) -> *mut u8;
    fn munmap(at: *mut u8, length: usize) -> c_int;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn read(descriptor: c_int, to: *mut u8, length: usize) -> isize;
    fn write(descriptor: c_int, from: *const u8, length: usize) -> isize;
    fn pipe(ends: *mut c_int) -> c_int;
    fn chdir(path: *const c_char) -> c_int;
    fn getcwd(to: *mut u8, length: usize) -> *const c_char;
    fn prctl(option: c_int, ...) -> c_int;
    fn getrandom(to: *mut u8, length: usize, flags: u32) -> isize;
    fn sigprocmask(how: c_int, set: *const [u64; 16], old: *mut [u64; 16]) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn malloc(length: usize) -> *mut u8;
    fn free(memory: *mut c_void);
}

/// Memory of the program's own that any function may write.
struct Global(UnsafeCell<[u64; 4096]>);

// SAFETY: a guest has one thread.
unsafe impl Sync for Global {}

static ZEROED: Global = Global(UnsafeCell::new([0; 4096]));
static INITIALISED: Global = Global(UnsafeCell::new([1; 4096]));

thread_local! {
    static LOCAL: Cell<u64> = const { Cell::new(0) };
}

/// Everything that the guest can see of its state, a hash for each part.
#[guest_function]
fn fingerprint() -> BTreeMap<String, String> {
    let registers = Found::now();
    let here = 0_u64;
    let here = (&raw const here).addr() & !(PAGE - 1);
    let mut parts = Vec::with_capacity(32);
    parts.push(("data", hash((&raw const __data_start).addr(), (&raw const _end).addr())));
    // SAFETY: only asks where the heap ends.
    let heap_end = unsafe { sbrk(0) }.addr();
    let heap_start = (&raw const _end).addr().next_multiple_of(PAGE);
    parts.push(("heap", hash(heap_start, heap_end)));
    parts.push(("below", hash(here - (256 << 10), here)));
    parts.push(("stack", hash(here, getauxval(AT_EXECFN) as usize & !7)));
    parts.push(("grown", grown()));
    parts.push(("mapped", mapped()));
    parts.push(("channel", channel()));
    parts.extend(registers.parts());
    parts.push(("files", files()));
    parts.push(("process", process()));
    parts.push(("local", LOCAL.get()));
    parts.into_iter().map(|(name, hash)| (name.to_owned(), format!("{hash:016x}"))).collect()
}

/// Leaves `mark` in every place that a guest can write to, and then ends as told: `return`, `error`,
/// `panic`, `exit`, `fault`, `null`, `trap`, `spin`, `memory`, or `host` to call the host until it answers 0.
/// The host is also called before `spin`.
#[guest_function]
fn leave(mark: u64, end: String) -> Result<(), Error> {
    LOCAL.set(mark);
    // SAFETY: no reference to either exists.
    unsafe {
        (*ZEROED.0.get()).fill(mark);
        (*INITIALISED.0.get()).fill(mark);
    }
    leave_in_heap(mark);
    leave_on_stack(mark, 200);
    leave_in_mappings(mark);
    leave_in_files(mark);
    println!("{mark:x}");
    let _ = std::io::stdin().read(&mut [0; 4]);
    match end.as_str() {
        "return" => {
            // Those that a function may leave behind.
            leave_in_vectors(mark);
            Ok(())
        }
        "error" => Err(Error::new("Left", "as told")),
        "panic" => panic!("as told"),
        "exit" => std::process::exit(3),
        "fault" | "null" | "trap" => leave_in_registers(mark, &end),
        "spin" => {
            crate::hosted::ask_host()?;
            leave_in_registers(mark, &end)
        }
        "memory" => loop {
            black_box(vec![mark; 1 << 17].leak());
        },
        "host" => loop {
            leave_in_vectors(mark);
            if crate::hosted::ask_host()? == 0 {
                return Ok(());
            }
        },
        _ => Err(Error::new("Unknown", end)),
    }
}

/// Bytes of the system's random numbers.
#[guest_function]
fn random_bytes(length: u32) -> Vec<u8> {
    let mut bytes = vec![0; length as usize];
    // SAFETY: the kernel writes no more than the length.
    let drawn = unsafe { getrandom(bytes.as_mut_ptr(), bytes.len(), 0) };
    bytes.truncate(usize::try_from(drawn).unwrap_or(0));
    bytes
}

/// The bytes that every program is given at its start.
#[guest_function]
fn start_random() -> Vec<u8> {
    let bytes = getauxval(AT_RANDOM) as *const [u8; 16];
    // SAFETY: the kernel's part of the stack lives as long as the program.
    unsafe { *bytes }.to_vec()
}

fn leave_in_heap(mark: u64) {
    // Kept: from the heap, and large enough for a mapping of its own.
    for length in [100, 1 << 15, 1 << 20] {
        black_box(vec![mark; length].leak());
    }
    // Freed again.
    for length in [10, 1000, 1 << 15, 1 << 20] {
        drop(black_box(vec![mark; length]));
    }
    let small: Vec<_> = (0..500).map(|_| Box::new([mark; 32])).collect();
    drop(black_box(small));
}

#[inline(never)]
fn leave_on_stack(mark: u64, depth: u32) -> u64 {
    let frame = black_box([mark; 512]);
    if depth == 0 { frame[0] } else { leave_on_stack(mark, depth - 1) ^ frame[511] }
}

fn leave_in_mappings(mark: u64) {
    const LENGTH: usize = 1 << 20;
    for keep in [true, false, true] {
        let memory = map(LENGTH);
        fill(memory, LENGTH, mark);
        if !keep {
            // SAFETY: nobody else uses the mapping.
            unsafe { munmap(memory, LENGTH) };
        }
    }
    // SAFETY: `malloc` copes with others that grow the heap, and the memory is nobody else's.
    let more = unsafe { sbrk(1 << 18) };
    fill(more, 1 << 18, mark);
}

fn leave_in_files(mark: u64) {
    let mark = mark.to_le_bytes();
    let (mut buffer, mut ends) = ([0_u8; 100], [0; 2]);
    // SAFETY: every pointer is to something that is as long as the call is told.
    unsafe {
        let file = open(c"/data/file".as_ptr(), 0);
        read(file, buffer.as_mut_ptr(), buffer.len());
        pipe(ends.as_mut_ptr());
        write(ends[1], mark.as_ptr(), mark.len());
        chdir(c"/data".as_ptr());
        prctl(PR_SET_NAME, mark.as_ptr());
        sigprocmask(0, &[u64::MAX; 16], std::ptr::null_mut());
    }
    dup(ends[0]);
    umask(0o123);
    black_box(random_bytes(64));
}

/// What is in use of the descriptors, and where in their files they are.
fn files() -> u64 {
    let mut offsets = [0; 64];
    for (descriptor, offset) in (0..).zip(&mut offsets) {
        *offset = lseek(descriptor, 0, 1).cast_unsigned() ^ u64::from(is_open(descriptor));
    }
    hash_of(&offsets)
}

fn is_open(descriptor: c_int) -> bool {
    // SAFETY: `F_GETFD` takes no pointer.
    unsafe { syscall(72, c_long::from(descriptor), 1_i64) >= 0 }
}

/// What else a process has: directory, mask, name, signals.
fn process() -> u64 {
    let (mut directory, mut name, mut signals) = ([0_u8; 256], [0_u8; 16], [0; 16]);
    // SAFETY: every pointer is to something as long as the kernel expects.
    let length = unsafe {
        prctl(PR_GET_NAME, name.as_mut_ptr());
        sigprocmask(0, std::ptr::null(), &mut signals);
        let path = getcwd(directory.as_mut_ptr(), directory.len());
        if path.is_null() { 0 } else { CStr::from_ptr(path).to_bytes().len() }
    };
    let mask = umask(0);
    umask(mask);
    let bytes = [&directory[..length], &name[..]].concat();
    let bytes: Vec<u64> = bytes.into_iter().map(u64::from).collect();
    hash_of(&bytes) ^ hash_of(&[u64::from(mask), signals[0]])
}

/// What fresh memory of the heap holds, and where it lies.
fn grown() -> u64 {
    // SAFETY: as in `leave_in_mappings`.
    let more = unsafe { sbrk(1 << 19) }.addr();
    // SAFETY: never freed here; only what an allocation holds at first is looked at.
    let allocated = unsafe { malloc(1 << 16) };
    let held = hash(allocated.addr(), allocated.addr() + (1 << 16));
    // SAFETY: allocated just now.
    unsafe { free(allocated.cast()) };
    hash(more, more + (1 << 19)) ^ held ^ more as u64
}

/// What fresh mappings hold, and where they lie.
fn mapped() -> u64 {
    const LENGTH: usize = 8 << 20;
    let memory = map(LENGTH);
    let hash = hash(memory.addr(), memory.addr() + LENGTH) ^ memory.addr() as u64;
    // SAFETY: nobody else uses the mapping.
    unsafe { munmap(memory, LENGTH) };
    hash
}

/// What stands in both directions of the channel.
fn channel() -> u64 {
    let control = getauxval(AT_AMPOULE) as usize;
    // Offset and size of both areas, behind magic, versions and features.
    let word = |at: usize| peek(control + at) as usize;
    let areas = [(word(24), word(32)), (word(40), word(48))];
    let hashes = areas.map(|(offset, size)| hash(control + offset, control + offset + size));
    hash_of(&hashes)
}

fn map(length: usize) -> *mut u8 {
    // SAFETY: asks for memory anywhere.
    unsafe { mmap(std::ptr::null_mut(), length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0) }
}

fn fill(memory: *mut u8, length: usize, mark: u64) {
    for at in (0..length).step_by(8) {
        // SAFETY: the caller owns as much, aligned to pages.
        unsafe { memory.add(at).cast::<u64>().write_volatile(mark) };
    }
}

/// Reads what no reference could be to.
fn peek(address: usize) -> u64 {
    // SAFETY: callers name mapped, aligned memory; whatever stands there is a number.
    unsafe { std::ptr::with_exposed_provenance::<u64>(address).read_volatile() }
}

fn hash(start: usize, end: usize) -> u64 {
    (start.next_multiple_of(8)..end & !7).step_by(8).fold(SEED, |state, at| mix(state, peek(at)))
}

pub(crate) fn hash_of(words: &[u64]) -> u64 {
    words.iter().fold(SEED, |state, &word| mix(state, word))
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

const fn mix(state: u64, word: u64) -> u64 {
    (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}
