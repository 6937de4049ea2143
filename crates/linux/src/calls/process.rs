//! The process: identity, random bytes, its end.
//!
//! There is one process, owned by root of a machine without anybody else.

use super::call::Call;
use super::files::place::path_here;
use crate::answer::{Answer, Outcome, Termination};
use crate::errno::Errno;
use crate::guest::{CHUNK, Record, to_usize, write_some};
use crate::kernel::accounting::Accounting;
use crate::kernel::clock::NANOSECONDS_PER_SECOND;
use crate::kernel::random::{DEVICE_READ_MAX, RANDOM_PRICE};
use crate::task::id::{PARENT_ID, PROCESS_ID};
use crate::task::progress::Progress;
use crate::vfs::path::{Found, Last};
use crate::vfs::system::Kind;

/// Calls that succeed without a visible effect.
pub(crate) fn zero(_: &mut Call<'_>) -> Outcome {
    Ok(Answer::ZERO)
}

/// `exit(int code)` and `exit_group(int code)`
pub(crate) fn exit(_: &mut Call<'_>, code: i32) -> Outcome {
    Ok(Answer::End(Termination::Exit { code: code & 0xff }))
}

/// `gettid()`, `set_tid_address(int *)`
pub(crate) fn task_id(call: &mut Call<'_>) -> Outcome {
    Ok(Answer::value(call.task.id.into()))
}

/// `getpid()`, `getpgrp()`
pub(crate) fn process_id(_: &mut Call<'_>) -> Outcome {
    Ok(Answer::value(PROCESS_ID.into()))
}

/// `getppid()`
pub(crate) fn getppid(_: &mut Call<'_>) -> Outcome {
    Ok(Answer::value(PARENT_ID.into()))
}

/// Checks that an argument means this process, by its number or by 0.
///
/// # Errors
/// `ESRCH`.
pub(crate) fn check_self(id: i32) -> Result<(), Errno> {
    if id == 0 || u32::try_from(id) == Ok(PROCESS_ID) { Ok(()) } else { Err(Errno::ESRCH) }
}

/// `getpgid(pid_t process)` and `getsid(pid_t process)`
pub(crate) fn own_group(_: &mut Call<'_>, process: i32) -> Outcome {
    check_self(process)?;
    Ok(Answer::value(PROCESS_ID.into()))
}

/// `setpgid(pid_t process, pid_t group)`, which the leader of a session may not.
pub(crate) fn setpgid(_: &mut Call<'_>, process: i32, group: i32) -> Outcome {
    if group < 0 || process < 0 {
        return Err(Errno::EINVAL);
    }
    check_self(process)?;
    Err(Errno::EPERM)
}

/// `setuid(uid_t id)`, `setgid(gid_t id)`: nobody but root exists.
pub(crate) fn set_one_id(_: &mut Call<'_>, id: i32) -> Outcome {
    match id {
        0 => Ok(Answer::ZERO),
        -1 => Err(Errno::EINVAL),
        _ => Err(Errno::EPERM),
    }
}

/// `setreuid(uid_t real, uid_t effective)`, `setregid`
pub(crate) fn set_two_ids(_: &mut Call<'_>, real: i32, effective: i32) -> Outcome {
    check_ids(&[real, effective])
}

/// `setresuid(uid_t real, uid_t effective, uid_t saved)`, `setresgid`
pub(crate) fn set_three_ids(_: &mut Call<'_>, real: i32, effective: i32, saved: i32) -> Outcome {
    check_ids(&[real, effective, saved])
}

/// Each is root's, or -1, which leaves it as it is.
fn check_ids(ids: &[i32]) -> Outcome {
    if ids.iter().all(|id| matches!(id, 0 | -1)) { Ok(Answer::ZERO) } else { Err(Errno::EPERM) }
}

/// `getgroups(int size, gid_t *list)`: there are none.
pub(crate) fn getgroups(_: &mut Call<'_>, size: i32) -> Outcome {
    if size < 0 { Err(Errno::EINVAL) } else { Ok(Answer::ZERO) }
}

/// `getresuid(uid_t *real, uid_t *effective, uid_t *saved)`, `getresgid`
pub(crate) fn get_three_ids(call: &mut Call<'_>, real: u64, effective: u64, saved: u64) -> Outcome {
    for out in [real, effective, saved] {
        Record::<4>::new().store(call.space, out)?;
    }
    Ok(Answer::ZERO)
}

/// `umask(mode_t mask)`: kept, though nothing can be created.
pub(crate) fn umask(call: &mut Call<'_>, mask: u64) -> Outcome {
    let kept = &mut call.kernel.identity.file_mode_mask;
    let before = std::mem::replace(kept, mask & 0o777);
    Ok(Answer::value(before))
}

/// `uname(struct utsname *out)`
pub(crate) fn uname(call: &mut Call<'_>, out: u64) -> Outcome {
    const FIELD: usize = 65;
    // A release that glibc and others take for recent; the version tells what this really is.
    let fields: [&[u8]; 6] = [b"Linux", b"ampoule", b"6.1.0", b"#1 Ampoule", b"x86_64", b"(none)"];
    let mut record = Record::<{ FIELD * 6 }>::new();
    for (index, field) in fields.into_iter().enumerate() {
        record = record.bytes(index * FIELD, field);
    }
    record.store(call.space, out)?;
    Ok(Answer::ZERO)
}

/// `sysinfo(struct sysinfo *out)`
pub(crate) fn sysinfo(call: &mut Call<'_>, out: u64) -> Outcome {
    let total = call.space.capacity_bytes();
    Record::<112>::new()
        .set_u64(0, call.kernel.clock.monotonic() / NANOSECONDS_PER_SECOND)
        .set_u64(32, total)
        .set_u64(40, total.saturating_sub(call.space.committed_bytes()))
        .set_u16(80, 1)
        .set_u32(104, 1)
        .store(call.space, out)?;
    Ok(Answer::ZERO)
}

/// `getrusage(int who, struct rusage *out)`
pub(crate) fn getrusage(call: &mut Call<'_>, who: i32, out: u64) -> Outcome {
    const CHILDREN: i32 = -1;
    const OWN: i32 = 0;
    const THREAD: i32 = 1;
    let mut record = Record::<144>::new();
    match who {
        OWN | THREAD => {
            let Accounting { computed, served, peak_memory } = call.kernel.accounting;
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
    record.store(call.space, out)?;
    Ok(Answer::ZERO)
}

/// `getcpu(unsigned *processor, unsigned *node, void *)`
pub(crate) fn getcpu(call: &mut Call<'_>, processor: u64, node: u64) -> Outcome {
    Record::<4>::new().store_if(call.space, processor)?;
    Record::<4>::new().store_if(call.space, node)?;
    Ok(Answer::ZERO)
}

/// `personality(unsigned long persona)`
pub(crate) fn persona(call: &mut Call<'_>, persona: u32) -> Outcome {
    const ASK_ONLY: u32 = 0xffff_ffff;
    let before = call.kernel.identity.persona;
    if persona != ASK_ONLY {
        call.kernel.identity.persona = persona.into();
    }
    Ok(Answer::value(before))
}

/// `getrandom(void *out, size_t length, unsigned flags)`
pub(crate) fn getrandom(call: &mut Call<'_>, out: u64, length: u64, flags: u32) -> Outcome {
    const RANDOM: u32 = 2;
    const INSECURE: u32 = 4;
    if flags & !7 != 0 || flags & (RANDOM | INSECURE) == RANDOM | INSECURE {
        return Err(Errno::EINVAL);
    }
    let length = length.min(DEVICE_READ_MAX);
    let mut chunk = [0; CHUNK];
    let mut done = call.take_done();
    while done < length {
        if call.space.portion_is_over() {
            return Ok(call.park(Progress::Done(done)));
        }
        let wanted = to_usize((length - done).min(CHUNK as u64));
        call.kernel.random.fill(&mut chunk[..wanted]);
        call.space.charge_bytes(RANDOM_PRICE * wanted as u64);
        let at = out.checked_add(done);
        let written = at.map_or(0, |at| write_some(call.space, at, &chunk[..wanted]));
        done += written as u64;
        if written < wanted {
            return if done == 0 { Err(Errno::EFAULT) } else { Ok(Answer::value(done)) };
        }
    }
    Ok(Answer::value(done))
}

/// `execve(const char *path, ...)`: what a shell needs to tell "not found" from the rest.
pub(crate) fn execve(call: &mut Call<'_>, path: u64) -> Outcome {
    let (base, path) = path_here(call, path)?;
    let files = &call.kernel.files;
    match files.resolve(base, &path, Last::Follow)? {
        Found::Node(node) if files.system.status(node).kind == Kind::Regular => {
            let runnable = files.system.status(node).permissions & 0o111 != 0;
            Err(if runnable { Errno::ENOSYS } else { Errno::EACCES })
        }
        _ => Err(Errno::EACCES),
    }
}

/// `membarrier(int command, unsigned flags, int processor)`: no command is offered, which the query tells.
pub(crate) fn membarrier(_: &mut Call<'_>, command: u32, flags: u32) -> Outcome {
    let asks = command == 0 && flags == 0;
    if asks { Ok(Answer::ZERO) } else { Err(Errno::EINVAL) }
}
