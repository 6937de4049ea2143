//! The process: identity, random bytes, its end.
//!
//! There is one process with one thread, owned by root of a machine without anybody else.

use crate::answer::{Answer, Outcome};
use crate::clock::NANOSECONDS_PER_SECOND;
use crate::errno::Errno;
use crate::files::path::{Found, Last, path_argument};
use crate::files::system::Kind;
use crate::files::transfer::DEVICE_READ_MAX;
use crate::guest::{Arguments, CHUNK, Record, to_usize, write_some};
use crate::limits::Limits;
use crate::personality::{Parked, Personality};
use crate::state::{StateError, ensure};
use crate::timers::{TIMERS, Timer};
use ampoule_memory::AddressSpace;
use serde::{Deserialize, Serialize};

/// Bytes that could be copied in the time in which a random one is made.
pub(crate) const RANDOM_PRICE: u64 = 3;

/// What `getpid` and `gettid` say.
pub(crate) const PROCESS_ID: u32 = 2;
/// What `getppid` says.
pub(crate) const PARENT_ID: u32 = 1;
/// What `PR_GET_TIMERSLACK` says at first, in nanoseconds.
pub(crate) const TIMER_SLACK: u64 = 50_000;

/// What a process may read back of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Process {
    pub(crate) limits: Limits,
    file_mode_mask: u64,
    persona: u64,
    /// Nanoseconds that it computed.
    pub(crate) computed: u64,
    /// Nanoseconds for which the host worked for it: on its system calls and page faults.
    pub(crate) served: u64,
    /// The most bytes of memory that it had at a system call.
    pub(crate) peak_memory: u64,
    pub(crate) timers: [Timer; TIMERS],
    pub(crate) nice: i32,
    pub(crate) is_dumpable: bool,
    pub(crate) timer_slack: u64,
    pub(crate) gets_no_privileges: bool,
    pub(crate) parent_death_signal: u32,
}

impl Process {
    pub(crate) fn new(stack_bytes: u64) -> Self {
        Self {
            limits: Limits::new(stack_bytes),
            file_mode_mask: 0o022,
            persona: 0,
            computed: 0,
            served: 0,
            peak_memory: 0,
            timers: [Timer::default(); TIMERS],
            nice: 0,
            is_dumpable: true,
            timer_slack: TIMER_SLACK,
            gets_no_privileges: false,
            parent_death_signal: 0,
        }
    }

    /// Nanoseconds of processor time, of which a system call is a part, too.
    pub(crate) const fn processor_time(&self) -> u64 {
        self.computed.saturating_add(self.served)
    }

    /// Checks what comes from a description.
    pub(crate) fn check(&self) -> Result<(), StateError> {
        ensure(self.file_mode_mask <= 0o777 && self.persona <= u32::MAX.into(), "process")?;
        ensure((-20..20).contains(&self.nice) && self.parent_death_signal <= 64, "process")
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
    Ok(Answer::value(PARENT_ID.into()))
}

/// Checks that an argument means this process, by its number or by 0.
///
/// # Errors
/// `ESRCH`.
pub(crate) fn check_self(id: i32) -> Result<(), Errno> {
    if id == 0 || u32::try_from(id) == Ok(PROCESS_ID) { Ok(()) } else { Err(Errno::ESRCH) }
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

/// `setpgid(pid_t process, pid_t group)`, which the leader of a session may not.
pub(crate) fn setpgid(_: &mut Personality, _: &mut AddressSpace, arguments: &Arguments) -> Outcome {
    let (process, group) = (arguments.int(0), arguments.int(1));
    if group < 0 || process < 0 {
        return Err(Errno::EINVAL);
    }
    check_self(process)?;
    Err(Errno::EPERM)
}

/// `setuid(uid_t)`, `setgid(gid_t)`: nobody but root exists.
pub(crate) fn set_one_id(
    _: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    match arguments.int(0) {
        0 => Ok(Answer::ZERO),
        -1 => Err(Errno::EINVAL),
        _ => Err(Errno::EPERM),
    }
}

/// `setreuid(uid_t, uid_t)`, `setregid`
pub(crate) fn set_two_ids(
    _: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_ids(arguments, 2)
}

/// `setresuid(uid_t, uid_t, uid_t)`, `setresgid`
pub(crate) fn set_three_ids(
    _: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_ids(arguments, 3)
}

/// Each is root's, or -1, which leaves it as it is.
fn check_ids(arguments: &Arguments, count: usize) -> Outcome {
    let known = |index| matches!(arguments.int(index), 0 | -1);
    if (0..count).all(known) { Ok(Answer::ZERO) } else { Err(Errno::EPERM) }
}

/// `getgroups(int size, gid_t *list)`: there are none.
pub(crate) fn getgroups(
    _: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    if arguments.int(0) < 0 { Err(Errno::EINVAL) } else { Ok(Answer::ZERO) }
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
            let Process { computed, served, peak_memory, .. } = personality.process;
            record = record
                .set_u64(0, computed / NANOSECONDS_PER_SECOND)
                .set_u64(8, computed % NANOSECONDS_PER_SECOND / 1000)
                .set_u64(16, served / NANOSECONDS_PER_SECOND)
                .set_u64(24, served % NANOSECONDS_PER_SECOND / 1000)
                .set_u64(32, peak_memory / 1024);
        }
        CHILDREN => {}
        _ => return Err(Errno::EINVAL),
    }
    record.store(space, arguments.get(1))?;
    Ok(Answer::ZERO)
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
    let asks = arguments.uint(0) == 0 && arguments.uint(1) == 0;
    if asks { Ok(Answer::ZERO) } else { Err(Errno::EINVAL) }
}
