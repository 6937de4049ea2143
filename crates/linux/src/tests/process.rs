//! Identity, limits, random bytes, futexes and the end of a process.

use super::{Guest, NOWHERE, SECOND, negative};
use crate::{Answer, Errno, Termination, WaitFor};

#[test]
fn the_process_is_root_and_alone() {
    let mut guest = Guest::new();
    let own = guest.ok("getpid", []);
    assert_eq!(guest.ok("gettid", []), own);
    assert_eq!(guest.ok("set_tid_address", [NOWHERE]), own);
    assert_ne!(guest.ok("getppid", []), own);
    for name in ["getuid", "geteuid", "getgid", "getegid"] {
        assert_eq!(guest.ok(name, []), 0);
    }
    guest.ok("setuid", [0]);
    guest.fails("setuid", [1], Errno::EPERM);
    guest.ok("setresuid", [negative(-1), 0, negative(-1)]);
    guest.fails("setresgid", [0, 5, 0], Errno::EPERM);
    guest.fails("wait4", [negative(-1), 0, 0, 0], Errno::ECHILD);
    guest.fails("fork", [], Errno::ENOSYS);
    guest.fails("clone", [17], Errno::ENOSYS);
    guest.fails("clone", [0x3d_0f00], Errno::ENOSYS);
    guest.fails("clone3", [0, 88], Errno::ENOSYS);
    guest.fails("rseq", [0, 32, 0, 0], Errno::ENOSYS);
    assert_eq!(guest.ok("umask", [0o077]), 0o022);
    assert_eq!(guest.ok("umask", [0o022]), 0o077);
    assert_eq!(guest.ok("getpgid", [0]), own);
    guest.fails("getsid", [own + 1], Errno::ESRCH);
}

#[test]
fn the_machine_introduces_itself() {
    let mut guest = Guest::new();
    let out = guest.room(400);
    guest.ok("uname", [out]);
    assert_eq!(guest.bytes(out, 6), b"Linux\0");
    assert_eq!(guest.bytes(out + 4 * 65, 7), b"x86_64\0");
    guest.fails("uname", [NOWHERE], Errno::EFAULT);
    guest.ok("sysinfo", [out]);
    assert_eq!(guest.u64_at(out), 100);
    assert_eq!(guest.u64_at(out + 32), super::CAPACITY);
    guest.ok("getcpu", [out, out + 4, 0]);
    assert_eq!(guest.ok("sched_getaffinity", [0, 128, out]), 8);
    assert_eq!(guest.u64_at(out), 1);
    guest.fails("sched_getaffinity", [0, 4, out], Errno::EINVAL);
    guest.fails("sched_getaffinity", [99, 8, out], Errno::ESRCH);
    guest.personality.add_computed(50 * SECOND);
    guest.ok("getrusage", [0, out]);
    assert_eq!(guest.u64_at(out), 50);
    guest.fails("getrusage", [5, out], Errno::EINVAL);
    assert_eq!(guest.ok("sched_get_priority_max", [1]), 99);
    assert_eq!(guest.ok("membarrier", [0, 0, 0]), 0);
    guest.fails("membarrier", [8, 0, 0], Errno::EINVAL);
}

#[test]
fn limits_are_kept() {
    let mut guest = Guest::new();
    let out = guest.room(16);
    guest.ok("prlimit64", [0, 3, 0, out]);
    assert_eq!((guest.u64_at(out), guest.u64_at(out + 8)), (8 << 20, 8 << 20));
    let lower = guest.words(&[100, 200]);
    guest.ok("prlimit64", [0, 0, lower, out]);
    assert_eq!(guest.u64_at(out), u64::MAX);
    guest.ok("getrlimit", [0, out]);
    assert_eq!((guest.u64_at(out), guest.u64_at(out + 8)), (100, 200));
    let crossed = guest.words(&[300, 200]);
    guest.fails("setrlimit", [0, crossed], Errno::EINVAL);
    let raised = guest.words(&[300, 300]);
    guest.fails("setrlimit", [0, raised], Errno::EPERM);
    guest.fails("getrlimit", [16, out], Errno::EINVAL);
    guest.fails("prlimit64", [77, 0, 0, out], Errno::ESRCH);
}

#[test]
fn fs_base_is_the_drivers_to_load() {
    let mut guest = Guest::new();
    let out = guest.room(8);
    assert_eq!(guest.call("arch_prctl", [0x1002, 0x1234_5678]), Answer::SetFsBase(0x1234_5678));
    guest.ok("arch_prctl", [0x1003, out]);
    assert_eq!(guest.u64_at(out), 0x1234_5678);
    guest.fails("arch_prctl", [0x1002, 1 << 47], Errno::EPERM);
    guest.fails("arch_prctl", [0x1001, 0], Errno::EINVAL);
    guest.fails("arch_prctl", [0x1003, NOWHERE], Errno::EFAULT);
}

#[test]
fn names_are_kept() {
    let mut guest = Guest::new();
    let out = guest.room(16);
    guest.ok("prctl", [16, out]);
    assert_eq!(guest.bytes(out, 8), b"program\0");
    let name = guest.text("a rather long name");
    guest.ok("prctl", [15, name]);
    guest.ok("prctl", [16, out]);
    assert_eq!(guest.bytes(out, 16), b"a rather long n\0");
    guest.fails("prctl", [15, NOWHERE], Errno::EFAULT);
    guest.fails("prctl", [999], Errno::EINVAL);
}

#[test]
fn random_bytes_depend_on_the_seed_alone() {
    let draw = |seed| {
        let mut guest = Guest::with(crate::Start { random: [seed; 32], ..crate::Start::default() });
        let out = guest.room(40_000);
        assert_eq!(guest.ok("getrandom", [out, 40_000, 0]), 40_000);
        guest.bytes(out, 40_000)
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let mut guest = Guest::new();
    guest.fails("getrandom", [NOWHERE, 16, 0], Errno::EFAULT);
    guest.fails("getrandom", [super::SCRATCH, 16, 8], Errno::EINVAL);
    let edge = super::SCRATCH + super::SCRATCH_BYTES - 5;
    assert_eq!(guest.ok("getrandom", [edge, u64::MAX, 1]), 5);
}

#[test]
fn a_futex_wakes_nobody_and_waits_in_vain() {
    let mut guest = Guest::new();
    let word = guest.words(&[7]);
    assert_eq!(guest.ok("futex", [word, 129, 1]), 0);
    guest.fails("futex", [word, 128, 8, 0], Errno::EAGAIN);
    assert!(matches!(
        guest.call("futex", [word, 128, 7, 0]),
        Answer::End(Termination::Deadlock { .. })
    ));
    guest.fails("futex", [word + 1, 0, 7, 0], Errno::EINVAL);
    guest.fails("futex", [NOWHERE, 0, 7, 0], Errno::EFAULT);
    let second = guest.words(&[1, 0]);
    let wait = [word, 128, 7, second];
    assert_eq!(guest.call("futex", wait), Answer::Wait(WaitFor::Time { nanoseconds: SECOND }));
    guest.advance(SECOND);
    guest.fails("futex", wait, Errno::ETIMEDOUT);
    // Absolute, monotonic: 103 s, and it is 101 s.
    let at = guest.words(&[103, 0]);
    let wait = [word, 137, 7, at, 0, u64::from(u32::MAX)];
    assert_eq!(guest.call("futex", wait), Answer::Wait(WaitFor::Time { nanoseconds: 2 * SECOND }));
    guest.advance(2 * SECOND);
    guest.fails("futex", wait, Errno::ETIMEDOUT);
    guest.fails("futex", [word, 128 | 6, 0, 0], Errno::ENOSYS);
}

#[test]
fn exit_codes_are_bytes() {
    let mut guest = Guest::new();
    assert_eq!(guest.call("exit_group", [3]), Answer::End(Termination::Exit { code: 3 }));
    assert_eq!(guest.call("exit", [negative(-1)]), Answer::End(Termination::Exit { code: 255 }));
    assert_eq!(guest.call("exit_group", [256]), Answer::End(Termination::Exit { code: 0 }));
}
