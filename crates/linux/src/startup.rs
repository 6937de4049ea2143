//! What a program finds when it starts: its stack with arguments, environment and auxiliary vector
//! (kernel: `create_elf_tables` in `fs/binfmt_elf.c`), and its files.

use crate::guest::to_usize;
use crate::kernel::Kernel;
use crate::kernel::clock::{CLOCK_TICKS, Clock, HostClock};
use crate::kernel::layout::{Layout, STACK_MAX, STACK_MIN};
use crate::kernel::random::Random;
use crate::personality::Personality;
use crate::task::Task;
use crate::task::registers::Registers;
use crate::task::signals::SignalState;
use crate::vfs::files::{Files, OUTPUT_HIGH_WATER};
use crate::vfs::system::{Device, File, FileSystem, MemoryFileSystem, PlaceError};
use ampoule_abi::channel::AT_AMPOULE;
use ampoule_abi::layout::{MMAP_TOP, PAGE_SIZE, STACK_TOP};
use ampoule_memory::{AccessError, AddressSpace, MapError, Protection, round_up_to_page};
use std::sync::Arc;

/// Linux' `MAX_ARG_STRLEN`: the longest argument or environment string, with its NUL.
pub const ARGUMENT_MAX: usize = 128 << 10;
/// Most bytes of arguments and environment altogether: three quarters of Linux' default stack limit
/// (kernel: `bprm_stack_limits`); with a smaller stack, a quarter of that.
pub const ARGUMENTS_MAX: usize = 6 << 20;
/// Bytes of a program header of a 64-bit ELF file.
const PROGRAM_HEADER_SIZE: u64 = 56;
const RANDOM_BYTES: usize = 16;

/// What a program starts with.
#[derive(Debug, Clone)]
pub struct Start {
    /// The program's path, as `AT_EXECFN` and `/proc/self/exe` tell it.
    pub executable: Vec<u8>,
    /// `argv`, with the program's name first.
    pub arguments: Vec<Vec<u8>>,
    /// `envp`, as `NAME=value`.
    pub environment: Vec<Vec<u8>>,
    /// Read-only files. One at the path of `executable` may be run and is what `/proc/self/exe`
    /// leads to.
    pub files: Vec<File>,
    /// Bytes of the stack; rounded up to pages, from [`STACK_MIN`] to [`STACK_MAX`].
    pub stack_bytes: u64,
    /// Seed of everything random that the guest sees.
    pub random: [u8; 32],
    /// Guest address of the program headers (`AT_PHDR`).
    pub program_headers: u64,
    /// Number of program headers.
    pub program_header_count: u16,
    /// Entry point (`AT_ENTRY`).
    pub entry: u64,
    /// End of the program's last segment: the heap starts at the next page.
    pub break_start: u64,
    /// Guest address of the channel's control page, for guests that use our SDK.
    pub channel: Option<u64>,
    /// What CPUID leaf 1 gives in EDX (`AT_HWCAP`).
    pub hwcap: u64,
    /// Bytes of undrained output at which a write parks with [`crate::WaitFor::OutputRoom`].
    pub output_high_water: usize,
    /// Where the guest's time comes from.
    pub clock: Arc<dyn Clock>,
}

impl Default for Start {
    /// Linux' usual stack of 8 MiB, the host's clock, and nothing else: no name, arguments or files,
    /// and a seed of zeros. Every caller sets what it knows.
    fn default() -> Self {
        Self {
            executable: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            files: Vec::new(),
            stack_bytes: 8 << 20,
            random: [0; 32],
            program_headers: 0,
            program_header_count: 0,
            entry: 0,
            break_start: ampoule_abi::layout::PIE_BASE,
            channel: None,
            hwcap: 0,
            output_high_water: OUTPUT_HIGH_WATER,
            clock: Arc::new(HostClock::new()),
        }
    }
}

/// Where the program starts to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitialStack {
    /// The value for `rsp`: `argc` stands there; a multiple of 16.
    pub stack_pointer: u64,
}

/// Which list a faulty string stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StringList {
    /// The program's path.
    Executable,
    /// The arguments.
    Arguments,
    /// The environment.
    Environment,
}

impl std::fmt::Display for StringList {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Executable => "executable path",
            Self::Arguments => "argument",
            Self::Environment => "environment variable",
        })
    }
}

/// Why a program cannot be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// A string holds a NUL byte, which would end it early.
    #[error("{list} {index} holds a NUL byte")]
    NulByte {
        /// Where the string stands.
        list: StringList,
        /// Its index there.
        index: usize,
    },
    /// One string is too long.
    #[error("{list} {index} has {bytes} bytes, the limit is {limit}")]
    StringTooLong {
        /// Where the string stands.
        list: StringList,
        /// Its index there.
        index: usize,
        /// Its length.
        bytes: usize,
        /// [`ARGUMENT_MAX`] less the NUL.
        limit: usize,
    },
    /// Arguments and environment together are too large.
    #[error("arguments and environment take {bytes} bytes, the limit is {limit}")]
    ArgumentsTooLarge {
        /// Bytes of all strings and the pointers to them.
        bytes: usize,
        /// How many fit.
        limit: usize,
    },
    /// The stack's size is out of range.
    #[error("a stack of {bytes} bytes is not between {minimum} and {maximum}")]
    StackSize {
        /// What was asked for.
        bytes: u64,
        /// [`STACK_MIN`].
        minimum: u64,
        /// [`STACK_MAX`].
        maximum: u64,
    },
    /// The program's end leaves no room for a heap.
    #[error("the program ends at {break_start:#x}, beyond the heap's addresses")]
    BreakOutOfRange {
        /// [`Start::break_start`].
        break_start: u64,
    },
    /// A file cannot be placed.
    #[error("the file {:?} cannot be placed in the guest", String::from_utf8_lossy(path))]
    File {
        /// Its path.
        path: Vec<u8>,
        /// What is wrong with it.
        source: PlaceError,
    },
    /// The stack cannot be mapped.
    #[error("the stack cannot be mapped")]
    Stack(#[from] MapError),
    /// The stack cannot be filled: the guest's memory is used up.
    #[error("the stack cannot be filled")]
    StackAccess(#[from] AccessError),
}

impl Personality {
    /// Maps the stack below [`STACK_TOP`] and puts on it what a program expects to find there.
    ///
    /// The executable itself is the caller's to load. What lies below the stack stays unmapped, so
    /// that an overflow faults.
    ///
    /// # Errors
    /// [`StartError`]; the stack may have been mapped then.
    pub fn start(
        space: &mut AddressSpace,
        start: Start,
    ) -> Result<(Self, InitialStack), StartError> {
        let stack_bytes = round_up_to_page(start.stack_bytes)
            .filter(|bytes| (STACK_MIN..=STACK_MAX).contains(bytes))
            .ok_or(StartError::StackSize {
                bytes: start.stack_bytes,
                minimum: STACK_MIN,
                maximum: STACK_MAX,
            })?;
        check_strings(&start, stack_bytes)?;
        let break_start = round_up_to_page(start.break_start)
            .filter(|&end| end < MMAP_TOP)
            .ok_or(StartError::BreakOutOfRange { break_start: start.break_start })?;
        let stack = STACK_TOP - stack_bytes..STACK_TOP;
        space.map(stack.start, stack_bytes, Protection::READ_WRITE)?;

        let layout =
            Layout { break_start, break_now: break_start, stack: stack.clone(), out_of_memory: 0 };
        let system = file_tree(&start, space.capacity_bytes(), &stack)?;
        let files = Files::new(Arc::new(system), start.output_high_water);
        let name = thread_name(&start.executable);
        let clock = Arc::clone(&start.clock);
        let mut generator = Random::new(start.random);

        let mut random = [0; RANDOM_BYTES];
        generator.fill(&mut random);
        let (bytes, stack_pointer) = stack_image(&start, &random);
        space.write(stack_pointer, &bytes)?;
        let task = Task::first(name, Registers { fs_base: 0 }, SignalState::new());
        let kernel = Kernel::new(layout, files, generator, clock);
        Ok((Self::new(task, kernel), InitialStack { stack_pointer }))
    }
}

fn check_strings(start: &Start, stack_bytes: u64) -> Result<(), StartError> {
    let executable = std::slice::from_ref(&start.executable);
    let lists = [
        (StringList::Executable, executable),
        (StringList::Arguments, &start.arguments),
        (StringList::Environment, &start.environment),
    ];
    let mut bytes = 0_usize;
    for (list, strings) in lists {
        for (index, string) in strings.iter().enumerate() {
            if string.contains(&0) {
                return Err(StartError::NulByte { list, index });
            }
            let limit = ARGUMENT_MAX - 1;
            if string.len() > limit {
                return Err(StartError::StringTooLong { list, index, bytes: string.len(), limit });
            }
            bytes = bytes.saturating_add(string.len() + 1 + size_of::<u64>());
        }
    }
    let limit = ARGUMENTS_MAX.min(to_usize(stack_bytes / 4));
    if bytes > limit {
        return Err(StartError::ArgumentsTooLarge { bytes, limit });
    }
    Ok(())
}

/// The last component of the path, cut to the 15 bytes that a thread's name has.
fn thread_name(executable: &[u8]) -> [u8; 16] {
    let last = executable.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let mut name = [0; 16];
    let count = last.len().min(15);
    name[..count].copy_from_slice(&last[..count]);
    name
}

/// The bytes from the stack pointer to the stack's end, and the stack pointer.
fn stack_image(start: &Start, random: &[u8; RANDOM_BYTES]) -> (Vec<u8>, u64) {
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

/// The user's files and, where they leave room, what programs expect of any Linux.
fn file_tree(
    start: &Start,
    capacity: u64,
    stack: &std::ops::Range<u64>,
) -> Result<MemoryFileSystem, StartError> {
    let mut executable = start.executable.clone();
    if !executable.starts_with(b"/") {
        executable.insert(0, b'/');
    }
    let mut tree = MemoryFileSystem::new();
    for file in &start.files {
        let mut absolute = file.path.clone();
        if !absolute.starts_with(b"/") {
            absolute.insert(0, b'/');
        }
        let permissions = if absolute == executable { 0o555 } else { 0o444 };
        tree.add_file(file.clone(), permissions)
            .map_err(|source| StartError::File { path: file.path.clone(), source })?;
    }
    // A path that the user gave to something else keeps it; hence no errors from here on.
    for directory in [&b"/tmp"[..], b"/dev", b"/proc/self", b"/etc"] {
        tree.add_directory(directory).unwrap_or_default();
    }
    let devices = [
        (&b"/dev/null"[..], Device::Null),
        (b"/dev/zero", Device::Zero),
        (b"/dev/full", Device::Full),
        (b"/dev/random", Device::Random),
        (b"/dev/urandom", Device::UnlimitedRandom),
    ];
    for (path, device) in devices {
        tree.add_device(path, device).unwrap_or_default();
    }
    tree.add_descriptors(b"/proc/self/fd").unwrap_or_default();
    let links = [
        (&b"/dev/fd"[..], &b"/proc/self/fd"[..]),
        (b"/dev/stdin", b"/proc/self/fd/0"),
        (b"/dev/stdout", b"/proc/self/fd/1"),
        (b"/dev/stderr", b"/proc/self/fd/2"),
        (b"/proc/self/exe", &executable),
    ];
    for (path, target) in links {
        tree.add_link(path, target).unwrap_or_default();
    }
    let joined = |strings: &[Vec<u8>]| -> Vec<u8> {
        strings.iter().flat_map(|string| string.iter().copied().chain([0])).collect()
    };
    let kibibytes = capacity / 1024;
    let texts = [
        (&b"/proc/self/cmdline"[..], joined(&start.arguments)),
        (b"/proc/self/environ", joined(&start.environment)),
        (b"/proc/self/maps", maps_text(stack)),
        (b"/proc/cpuinfo", b"processor\t: 0\n\n".to_vec()),
        (
            b"/proc/meminfo",
            format!("MemTotal: {kibibytes:>15} kB\nMemAvailable: {kibibytes:>11} kB\n")
                .into_bytes(),
        ),
        (b"/sys/devices/system/cpu/online", b"0\n".to_vec()),
        (b"/sys/devices/system/cpu/possible", b"0\n".to_vec()),
        // So that the owner of everything has a name (`getpwuid`).
        (b"/etc/passwd", b"root:x:0:0:root:/:/bin/sh\n".to_vec()),
        (b"/etc/group", b"root:x:0:\n".to_vec()),
    ];
    for (path, text) in texts {
        let file = File { path: path.to_vec(), contents: text.into() };
        tree.add_file(file, 0o444).unwrap_or_default();
    }
    debug_assert_eq!(tree.parent(tree.root()), tree.root());
    Ok(tree)
}

/// The one line of `/proc/self/maps` that programs look for: glibc finds the initial thread's stack
/// by it (`pthread_getattr_np`).
fn maps_text(stack: &std::ops::Range<u64>) -> Vec<u8> {
    let (start, end) = (stack.start, stack.end);
    format!("{start:x}-{end:x} rw-p 00000000 00:00 0                          [stack]\n")
        .into_bytes()
}
