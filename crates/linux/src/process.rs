//! The process: identity, limits, scheduling, `futex`, random bytes, its end.
//!
//! There is one process with one thread, owned by root of a machine without anybody else.

use crate::answer::{Answer, Outcome};
use crate::clock::NANOSECONDS_PER_SECOND;
use crate::errno::Errno;
use crate::files::path::{Found, Last, path_argument};
use crate::files::system::Kind;
use crate::files::transfer::DEVICE_READ_MAX;
use crate::guest::{Arguments, CHUNK, Record, read_pair, read_u32, to_usize, write_some};
use crate::personality::{Parked, Personality};
use crate::time;
use ampoule_abi::layout::USER_END;
use ampoule_memory::AddressSpace;
use serde::{Deserialize, Serialize};

/// Bytes that could be copied in the time in which a random one is made.
pub(crate) const RANDOM_PRICE: u64 = 3;

/// What `getpid` and `gettid` say.
pub(crate) const PROCESS_ID: u32 = 2;
/// What `getppid` says.
const PARENT_ID: u64 = 1;
const RESOURCES: usize = 16;
const RLIMIT_NOFILE: usize = 7;
const UNLIMITED: u64 = u64::MAX;

/// What a process may read back of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Process {
    /// Soft and hard limit of each resource; only the one on descriptors has an effect.
    limits: [(u64, u64); RESOURCES],
    file_mode_mask: u64,
    persona: u64,
}

impl Process {
    pub(crate) const fn new(stack_bytes: u64) -> Self {
        let mut limits = [(UNLIMITED, UNLIMITED); RESOURCES];
        limits[3] = (stack_bytes, stack_bytes);
        limits[4] = (0, 0); // core files
        limits[6] = (1, 1); // processes
        limits[RLIMIT_NOFILE] = (1024, 1024);
        limits[8] = (8 << 20, 8 << 20); // locked memory
        limits[11] = (64, 64); // pending signals
        limits[12] = (819_200, 819_200); // message queues
        limits[13] = (0, 0); // nice
        limits[14] = (0, 0); // real-time priority
        Self { limits, file_mode_mask: 0o022, persona: 0 }
    }
}

/// Calls that succeed without a visible effect.
pub(crate) fn zero(_: &mut Personality, _: &mut AddressSpace, _: &Arguments) -> Outcome {
    Ok(Answer::ZERO)
}

/// `exit(int code)` and `exit_group(int code)`
pub(crate) fn exit(_: &mut Personality, _: &mut AddressSpace, arguments: &Arguments) -> Outcome {
    Ok(Answer::Exit { code: arguments.int(0) & 0xff })
}

/// `getpid`, `gettid`, `getpgrp`, `set_tid_address`
pub(crate) fn own_id(_: &mut Personality, _: &mut AddressSpace, _: &Arguments) -> Outcome {
    Ok(Answer::value(PROCESS_ID.into()))
}

/// `getppid()`
pub(crate) fn getppid(_: &mut Personality, _: &mut AddressSpace, _: &Arguments) -> Outcome {
    Ok(Answer::value(PARENT_ID))
}

/// Whether an argument means this process.
fn is_self(id: i32) -> bool {
    id == 0 || u32::try_from(id) == Ok(PROCESS_ID)
}

fn check_self(id: i32) -> Result<(), Errno> {
    if is_self(id) { Ok(()) } else { Err(Errno::ESRCH) }
}

/// `getpgid(pid_t)` and `getsid(pid_t)`
pub(crate) fn own_group(
    _: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_self(arguments.int(0))?;
    Ok(Answer::value(PROCESS_ID.into()))
}

/// `setpgid(pid_t process, pid_t group)`: it leads its group already.
pub(crate) fn setpgid(_: &mut Personality, _: &mut AddressSpace, arguments: &Arguments) -> Outcome {
    check_self(arguments.int(0))?;
    if is_self(arguments.int(1)) { Ok(Answer::ZERO) } else { Err(Errno::EPERM) }
}

/// `setuid(0)` and its relatives: nobody but root exists.
pub(crate) fn set_one_id(
    _: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_ids(arguments, 1)
}

/// `setreuid(0, 0)`, `setregid(0, 0)`
pub(crate) fn set_two_ids(
    _: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_ids(arguments, 2)
}

/// `setresuid(0, 0, 0)`, `setresgid(0, 0, 0)`
pub(crate) fn set_three_ids(
    _: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_ids(arguments, 3)
}

fn check_ids(arguments: &Arguments, count: usize) -> Outcome {
    let known = |index| arguments.uint(index) == 0 || count > 1 && arguments.int(index) == -1;
    if (0..count).all(known) { Ok(Answer::ZERO) } else { Err(Errno::EPERM) }
}

/// `getresuid(uid_t *, uid_t *, uid_t *)`, `getresgid`
pub(crate) fn get_three_ids(
    _: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    for index in 0..3 {
        Record::<4>::new().store(space, arguments.get(index))?;
    }
    Ok(Answer::ZERO)
}

/// `umask(mode_t)`: kept, though nothing can be created.
pub(crate) fn umask(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let mask = arguments.get(0) & 0o777;
    let before = std::mem::replace(&mut personality.process.file_mode_mask, mask);
    Ok(Answer::value(before))
}

/// `uname(struct utsname *)`
pub(crate) fn uname(
    _: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const FIELD: usize = 65;
    // A release that glibc and others take for recent; the version tells what this really is.
    let fields: [&[u8]; 6] = [b"Linux", b"ampoule", b"6.1.0", b"#1 Ampoule", b"x86_64", b"(none)"];
    let mut record = Record::<{ FIELD * 6 }>::new();
    for (index, field) in fields.into_iter().enumerate() {
        record = record.bytes(index * FIELD, field);
    }
    record.store(space, arguments.get(0))?;
    Ok(Answer::ZERO)
}

/// `sysinfo(struct sysinfo *)`
pub(crate) fn sysinfo(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let total = space.capacity_bytes();
    Record::<112>::new()
        .set_u64(0, personality.clock.monotonic() / NANOSECONDS_PER_SECOND)
        .set_u64(32, total)
        .set_u64(40, total.saturating_sub(space.committed_bytes()))
        .set_u16(80, 1)
        .set_u32(104, 1)
        .store(space, arguments.get(0))?;
    Ok(Answer::ZERO)
}

/// `getrusage(int who, struct rusage *)`
pub(crate) fn getrusage(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const CHILDREN: i32 = -1;
    const OWN: i32 = 0;
    const THREAD: i32 = 1;
    let mut record = Record::<144>::new();
    match arguments.int(0) {
        OWN | THREAD => {
            let used = personality.clock.processor();
            record = record
                .set_u64(0, used / NANOSECONDS_PER_SECOND)
                .set_u64(8, used % NANOSECONDS_PER_SECOND / 1000)
                .set_u64(32, space.committed_bytes() / 1024);
        }
        CHILDREN => {}
        _ => return Err(Errno::EINVAL),
    }
    record.store(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

fn limit_index(resource: u32) -> Result<usize, Errno> {
    let index = resource as usize;
    if index < RESOURCES { Ok(index) } else { Err(Errno::EINVAL) }
}

fn limits(
    personality: &mut Personality,
    space: &mut AddressSpace,
    index: usize,
    new: u64,
    old: u64,
) -> Outcome {
    let before = personality.process.limits[index];
    let wanted = if new == 0 { None } else { Some(read_pair(space, new)?) };
    if let Some((soft, hard)) = wanted {
        if soft > hard {
            return Err(Errno::EINVAL);
        }
        if hard > before.1 {
            return Err(Errno::EPERM);
        }
        personality.process.limits[index] = (soft, hard);
        if index == RLIMIT_NOFILE {
            let limit = to_usize(soft).min(crate::files::DESCRIPTORS_MAX);
            personality.files.descriptor_limit = limit;
        }
    }
    Record::<16>::new().set_u64(0, before.0).set_u64(8, before.1).store_if(space, old)?;
    Ok(Answer::ZERO)
}

/// `prlimit64(pid_t, int resource, const struct rlimit *new, struct rlimit *old)`
pub(crate) fn prlimit64(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_self(arguments.int(0))?;
    let index = limit_index(arguments.uint(1))?;
    limits(personality, space, index, arguments.get(2), arguments.get(3))
}

/// `getrlimit(int resource, struct rlimit *)`
pub(crate) fn getrlimit(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let index = limit_index(arguments.uint(0))?;
    let (soft, hard) = personality.process.limits[index];
    Record::<16>::new().set_u64(0, soft).set_u64(8, hard).store(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

/// `setrlimit(int resource, const struct rlimit *)`
pub(crate) fn setrlimit(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let index = limit_index(arguments.uint(0))?;
    if arguments.get(1) == 0 {
        return Err(Errno::EFAULT);
    }
    limits(personality, space, index, arguments.get(1), 0)
}

/// `sched_getaffinity(pid_t, size_t size, unsigned long *mask)`: processor 0.
pub(crate) fn sched_getaffinity(
    _: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let size = arguments.uint(1);
    if size < 8 || !size.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    check_self(arguments.int(0))?;
    Record::<8>::new().set_u64(0, 1).store(space, arguments.get(2))?;
    Ok(Answer::value(8))
}

/// `sched_setaffinity(pid_t, size_t size, const unsigned long *mask)`
pub(crate) fn sched_setaffinity(
    _: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_self(arguments.int(0))?;
    let mut first = [0];
    let size = arguments.get(1).min(1);
    space.read(arguments.get(2), &mut first[..to_usize(size)])?;
    if first[0] & 1 == 0 { Err(Errno::EINVAL) } else { Ok(Answer::ZERO) }
}

/// `sched_getparam(pid_t, struct sched_param *)`
pub(crate) fn sched_getparam(
    _: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_self(arguments.int(0))?;
    Record::<4>::new().store(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

/// `sched_get_priority_max(int policy)`
pub(crate) fn sched_get_priority_max(
    _: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    priority_bound(arguments, 99)
}

/// `sched_get_priority_min(int policy)`
pub(crate) fn sched_get_priority_min(
    _: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    priority_bound(arguments, 1)
}

fn priority_bound(arguments: &Arguments, real_time: u64) -> Outcome {
    match arguments.uint(0) {
        0 | 3 | 5 | 6 => Ok(Answer::ZERO),
        1 | 2 => Ok(Answer::value(real_time)),
        _ => Err(Errno::EINVAL),
    }
}

/// `getpriority(int which, id_t who)`: nice 0, which the kernel calls 20.
pub(crate) fn getpriority(_: &mut Personality, _: &mut AddressSpace, _: &Arguments) -> Outcome {
    Ok(Answer::value(20))
}

/// `getcpu(unsigned *processor, unsigned *node, void *)`
pub(crate) fn getcpu(
    _: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    Record::<4>::new().store_if(space, arguments.get(0))?;
    Record::<4>::new().store_if(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

/// `personality(unsigned long)`
pub(crate) fn persona(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const ASK_ONLY: u32 = 0xffff_ffff;
    let before = personality.process.persona;
    if arguments.uint(0) != ASK_ONLY {
        personality.process.persona = arguments.uint(0).into();
    }
    Ok(Answer::value(before))
}

/// `prctl(int option, ...)`
pub(crate) fn prctl(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const GET_DUMPABLE: u32 = 3;
    const SET_DUMPABLE: u32 = 4;
    const SET_NAME: u32 = 15;
    const GET_NAME: u32 = 16;
    const SET_TIMER_SLACK: u32 = 29;
    const SET_NO_NEW_PRIVILEGES: u32 = 38;
    match arguments.uint(0) {
        SET_NAME => {
            let mut name = [0; 16];
            let found = crate::guest::read_some(space, arguments.get(1), &mut name[..15]);
            let end = name[..found].iter().position(|&byte| byte == 0);
            if end.is_none() && found < 15 {
                return Err(Errno::EFAULT);
            }
            name[end.unwrap_or(15)..].fill(0);
            personality.thread_mut().name = name;
        }
        GET_NAME => {
            let name = personality.thread().name;
            space.write(arguments.get(1), &name)?;
        }
        GET_DUMPABLE => return Ok(Answer::value(1)),
        SET_DUMPABLE | SET_TIMER_SLACK | SET_NO_NEW_PRIVILEGES => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(Answer::ZERO)
}

/// `arch_prctl(int code, unsigned long address)`
pub(crate) fn arch_prctl(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const SET_FS: u32 = 0x1002;
    const GET_FS: u32 = 0x1003;
    let address = arguments.get(1);
    match arguments.uint(0) {
        SET_FS if address >= USER_END => Err(Errno::EPERM),
        SET_FS => {
            personality.thread_mut().fs_base = address;
            Ok(Answer::SetFsBase(address))
        }
        GET_FS => {
            let base = personality.thread().fs_base;
            Record::<8>::new().set_u64(0, base).store(space, address)?;
            Ok(Answer::ZERO)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// `futex(uint32_t *word, int operation, uint32_t value, timeout, uint32_t *word2, uint32_t value3)`
///
/// With one thread nobody waits, so waking wakes none, and a wait can end by its timeout only.
pub(crate) fn futex(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const WAIT: u32 = 0;
    const WAKE: u32 = 1;
    const REQUEUE: u32 = 3;
    const CMP_REQUEUE: u32 = 4;
    const WAIT_BITSET: u32 = 9;
    const WAKE_BITSET: u32 = 10;
    const PRIVATE: u32 = 128;
    const CLOCK_REALTIME: u32 = 256;
    let operation = arguments.uint(1);
    let command = operation & !(PRIVATE | CLOCK_REALTIME);
    let word = arguments.get(0);
    if !word.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    match command {
        WAIT | WAIT_BITSET => {
            if command == WAIT_BITSET && arguments.uint(5) == 0 {
                return Err(Errno::EINVAL);
            }
            let timeout = time::read_optional_timespec(space, arguments.get(3))?;
            if read_u32(space, word)? != arguments.uint(2) {
                return Err(Errno::EAGAIN);
            }
            let Some(time) = timeout else {
                return Ok(Answer::Deadlock { waiting_for: "a futex that nobody else can wake" });
            };
            let clock = &personality.clock;
            let nanoseconds = match (command, operation & CLOCK_REALTIME) {
                (WAIT, _) => time,
                (_, 0) => time.saturating_sub(clock.monotonic()),
                _ => time.saturating_sub(clock.realtime()),
            };
            personality.sleep(nanoseconds, Err(Errno::ETIMEDOUT))
        }
        WAKE | REQUEUE => Ok(Answer::ZERO),
        WAKE_BITSET if arguments.uint(5) == 0 => Err(Errno::EINVAL),
        WAKE_BITSET => Ok(Answer::ZERO),
        CMP_REQUEUE => {
            if read_u32(space, word)? == arguments.uint(5) {
                Ok(Answer::ZERO)
            } else {
                Err(Errno::EAGAIN)
            }
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// `getrandom(void *out, size_t length, unsigned flags)`
pub(crate) fn getrandom(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const RANDOM: u32 = 2;
    const INSECURE: u32 = 4;
    let flags = arguments.uint(2);
    if flags & !7 != 0 || flags & (RANDOM | INSECURE) == RANDOM | INSECURE {
        return Err(Errno::EINVAL);
    }
    let length = arguments.get(1).min(DEVICE_READ_MAX);
    let mut chunk = [0; CHUNK];
    let mut done = personality.take_done();
    while done < length {
        if space.portion_is_over() {
            return Ok(personality.park(Parked::Done(done)));
        }
        let wanted = to_usize((length - done).min(CHUNK as u64));
        personality.random.fill(&mut chunk[..wanted]);
        space.charge_bytes(RANDOM_PRICE * wanted as u64);
        let at = arguments.get(0).checked_add(done);
        let written = at.map_or(0, |at| write_some(space, at, &chunk[..wanted]));
        done += written as u64;
        if written < wanted {
            return if done == 0 { Err(Errno::EFAULT) } else { Ok(Answer::value(done)) };
        }
    }
    Ok(Answer::value(done))
}

/// `execve(const char *path, ...)`: what a shell needs to tell "not found" from the rest.
pub(crate) fn execve(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let files = &personality.files;
    let (base, path) = path_argument(files, space, arguments, None, 0)?;
    match files.resolve(base, &path, Last::Follow)? {
        Found::Node(node) if files.system.status(node).kind == Kind::Regular => {
            let runnable = files.system.status(node).permissions & 0o111 != 0;
            Err(if runnable { Errno::ENOSYS } else { Errno::EACCES })
        }
        _ => Err(Errno::EACCES),
    }
}

/// `membarrier(int command, ...)`: no command is offered, which the query tells.
pub(crate) fn membarrier(
    _: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    if arguments.uint(0) == 0 { Ok(Answer::ZERO) } else { Err(Errno::EINVAL) }
}
