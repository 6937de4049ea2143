//! Signals that a program sends to itself.

use super::{Guest, NOWHERE, negative};
use crate::{Answer, Errno, Termination, WaitFor};

const SIGHUP: u64 = 1;
const SIGABRT: u64 = 6;
const SIGKILL: u64 = 9;
const SIGUSR1: u64 = 10;
const SIGPIPE: u64 = 13;
const SIGCHLD: u64 = 17;
const BLOCK: u64 = 0;
const UNBLOCK: u64 = 1;
const SET: u64 = 2;

impl Guest {
    fn handle(&mut self, signal: u64, handler: u64) {
        let action = self.words(&[handler, 0, 0, 0]);
        self.ok("rt_sigaction", [signal, action, 0, 8]);
    }
}

#[test]
fn default_actions_are_carried_out() {
    let mut guest = Guest::new();
    let own = guest.ok("getpid", []);
    for call in [("kill", [own, SIGABRT, 0]), ("tkill", [own, SIGABRT, 0])] {
        assert_eq!(guest.call(call.0, call.1), Answer::End(Termination::Killed { signal: 6 }));
    }
    assert_eq!(
        guest.call("tgkill", [own, own, SIGKILL]),
        Answer::End(Termination::Killed { signal: 9 })
    );
    assert_eq!(guest.call("kill", [0, 64]), Answer::End(Termination::Killed { signal: 64 }));
    assert_eq!(guest.ok("kill", [own, SIGCHLD]), 0);
    assert_eq!(guest.ok("kill", [own, 0]), 0);
    guest.fails("kill", [own, 65], Errno::EINVAL);
    guest.fails("kill", [4711, SIGHUP], Errno::ESRCH);
    assert_eq!(guest.ok("kill", [1, SIGKILL]), 0, "the parent does not mind");
    guest.fails("kill", [negative(-1), SIGHUP], Errno::ESRCH);
    guest.fails("tkill", [0, SIGHUP], Errno::EINVAL);
    guest.fails("tgkill", [own, 4711, SIGHUP], Errno::ESRCH);
}

#[test]
fn ignored_signals_do_nothing_and_handled_ones_are_named() {
    let mut guest = Guest::new();
    let own = guest.ok("getpid", []);
    guest.handle(SIGHUP, 1);
    assert_eq!(guest.ok("kill", [own, SIGHUP]), 0);
    guest.handle(SIGABRT, 0x1234);
    let handler = Answer::End(Termination::Handler { signal: 6 });
    assert_eq!(guest.call("kill", [own, SIGABRT]), handler);
    assert_eq!(guest.call("tkill", [own, SIGABRT]), handler);
    assert_eq!(guest.call("tgkill", [own, own, SIGABRT]), handler);
    let info = guest.words(&[0, u64::from(u32::MAX), 0, 0, 0, 0]);
    assert_eq!(guest.call("rt_sigqueueinfo", [own, SIGABRT, info]), handler);
    assert_eq!(guest.call("rt_tgsigqueueinfo", [own, own, SIGABRT, info]), handler);
    // What abort() does then.
    guest.handle(SIGABRT, 0);
    assert_eq!(guest.call("kill", [own, SIGABRT]), Answer::End(Termination::Killed { signal: 6 }));
}

#[test]
fn a_handled_signal_is_named_when_it_is_no_longer_blocked() {
    let mut guest = Guest::new();
    let own = guest.ok("getpid", []);
    let (all, none) = (guest.words(&[u64::MAX]), guest.words(&[0]));
    let pending = |guest: &mut Guest| {
        guest.handle(SIGUSR1, 0x1234);
        guest.ok("rt_sigprocmask", [SET, all, 0, 8]);
        assert_eq!(guest.ok("tgkill", [own, own, SIGUSR1]), 0);
    };
    let handler = Answer::End(Termination::Handler { signal: 10 });
    pending(&mut guest);
    assert_eq!(guest.call("rt_sigprocmask", [UNBLOCK, all, 0, 8]), handler);
    pending(&mut guest);
    assert_eq!(guest.call("rt_sigsuspend", [none, 8]), handler);
    pending(&mut guest);
    let at_once = guest.words(&[0, 0]);
    assert_eq!(guest.call("ppoll", [0, 0, at_once, none, 8]), handler);
    pending(&mut guest);
    let pair = guest.words(&[none, 8]);
    assert_eq!(guest.call("pselect6", [0, 0, 0, 0, at_once, pair]), handler);
    // Taken, it needs no handler.
    pending(&mut guest);
    assert_eq!(guest.ok("rt_sigtimedwait", [all, 0, 0, 8]), SIGUSR1);
    assert_eq!(guest.ok("rt_sigprocmask", [UNBLOCK, all, 0, 8]), 0);
}

#[test]
fn a_handler_of_a_broken_pipe_is_named() {
    let mut guest = Guest::new();
    let ends = guest.room(8);
    guest.ok("pipe", [ends]);
    let (reader, writer) = (guest.u32_at(ends).into(), guest.u32_at(ends + 4).into());
    guest.ok("close", [reader]);
    guest.handle(SIGPIPE, 0x1234);
    assert_eq!(
        guest.call("write", [writer, ends, 1]),
        Answer::End(Termination::Handler { signal: 13 })
    );
}

#[test]
fn no_more_signals_wait_than_the_limit_says() {
    let mut guest = Guest::new();
    let own = guest.ok("getpid", []);
    let all = guest.words(&[u64::MAX]);
    guest.ok("rt_sigprocmask", [SET, all, 0, 8]);
    let info = guest.words(&[0, u64::from(u32::MAX), 0, 0, 0, 0]);
    let sent = (0..1000)
        .filter(|_| guest.call("rt_sigqueueinfo", [own, 40, info]) == Answer::Return(0))
        .count();
    assert_eq!(sent, 64);
    guest.fails("rt_sigqueueinfo", [own, 40, info], Errno::EAGAIN);
    guest.fails("tgkill", [own, own, 40], Errno::EAGAIN);
    assert_eq!(guest.ok("kill", [own, 40]), 0, "kill does not say so");
    for _ in 0..64 {
        assert_eq!(guest.ok("rt_sigtimedwait", [all, 0, 0, 8]), 40);
    }
    assert!(matches!(
        guest.call("rt_sigtimedwait", [all, 0, 0, 8]),
        Answer::End(Termination::Deadlock { .. })
    ));
}

#[test]
fn dispositions_read_back() {
    let mut guest = Guest::new();
    let action = guest.words(&[0x1234, 0x400_0000, 0x5678, 0xff]);
    let old = guest.words(&[9, 9, 9, 9]);
    guest.ok("rt_sigaction", [SIGHUP, action, old, 8]);
    assert_eq!(guest.bytes(old, 32), [0; 32]);
    guest.ok("rt_sigaction", [SIGHUP, 0, old, 8]);
    assert_eq!(guest.bytes(old, 32), guest.bytes(action, 32));
    guest.fails("rt_sigaction", [SIGHUP, action, old, 16], Errno::EINVAL);
    guest.fails("rt_sigaction", [0, action, old, 8], Errno::EINVAL);
    guest.fails("rt_sigaction", [65, action, old, 8], Errno::EINVAL);
    guest.fails("rt_sigaction", [SIGKILL, action, 0, 8], Errno::EINVAL);
    guest.fails("rt_sigaction", [SIGHUP, NOWHERE, 0, 8], Errno::EFAULT);
}

#[test]
fn blocked_signals_wait() {
    let mut guest = Guest::new();
    let own = guest.ok("getpid", []);
    let all = guest.words(&[u64::MAX]);
    let out = guest.words(&[5]);
    guest.ok("rt_sigprocmask", [BLOCK, all, out, 8]);
    assert_eq!(guest.u64_at(out), 0);
    guest.ok("rt_sigprocmask", [SET, 0, out, 8]);
    assert_eq!(guest.u64_at(out), !(1 << 8 | 1 << 18), "SIGKILL and SIGSTOP cannot be blocked");
    assert_eq!(guest.ok("kill", [own, SIGABRT]), 0);
    guest.ok("rt_sigpending", [out, 8]);
    assert_eq!(guest.u64_at(out), 1 << 5);
    // musl's raise: the mask comes back, and with it the signal.
    let none = guest.words(&[0]);
    assert_eq!(
        guest.call("rt_sigprocmask", [SET, none, 0, 8]),
        Answer::End(Termination::Killed { signal: 6 })
    );

    guest.ok("rt_sigprocmask", [SET, all, 0, 8]);
    guest.ok("kill", [own, SIGABRT]);
    assert_eq!(guest.ok("rt_sigtimedwait", [all, 0, 0, 8]), SIGABRT);
    assert_eq!(guest.ok("rt_sigprocmask", [UNBLOCK, all, 0, 8]), 0);
    guest.fails("rt_sigprocmask", [3, all, 0, 8], Errno::EINVAL);
    guest.fails("rt_sigprocmask", [SET, all, 0, 4], Errno::EINVAL);
}

#[test]
fn waiting_for_a_signal_is_a_deadlock() {
    let mut guest = Guest::new();
    let none = guest.words(&[0]);
    assert!(matches!(guest.call("pause", []), Answer::End(Termination::Deadlock { .. })));
    assert!(matches!(
        guest.call("rt_sigsuspend", [none, 8]),
        Answer::End(Termination::Deadlock { .. })
    ));
    assert!(matches!(
        guest.call("rt_sigtimedwait", [none, 0, 0, 8]),
        Answer::End(Termination::Deadlock { .. })
    ));
    let timeout = guest.words(&[1, 0]);
    assert!(matches!(
        guest.call("rt_sigtimedwait", [none, 0, timeout, 8]),
        Answer::Wait(WaitFor::Time { .. })
    ));
    guest.advance(super::SECOND);
    guest.fails("rt_sigtimedwait", [none, 0, timeout, 8], Errno::EAGAIN);
    assert_eq!(guest.call("rt_sigreturn", []), Answer::End(Termination::Killed { signal: 11 }));
}

#[test]
fn the_alternate_stack_reads_back() {
    let mut guest = Guest::new();
    let old = guest.room(24);
    guest.ok("sigaltstack", [0, old]);
    assert_eq!(guest.u32_at(old + 8), 2, "SS_DISABLE");
    let stack = guest.words(&[0x1000, 0, 8192]);
    guest.ok("sigaltstack", [stack, 0]);
    guest.ok("sigaltstack", [0, old]);
    assert_eq!(guest.bytes(old, 24), guest.bytes(stack, 24));
    let small = guest.words(&[0x1000, 0, 100]);
    guest.fails("sigaltstack", [small, 0], Errno::ENOMEM);
    let odd = guest.words(&[0x1000, 64, 8192]);
    guest.fails("sigaltstack", [odd, 0], Errno::EINVAL);
    let disable = guest.words(&[0, 2, 0]);
    guest.ok("sigaltstack", [disable, old]);
    assert_eq!(guest.u64_at(old), 0x1000);
}
