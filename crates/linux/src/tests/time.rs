//! Clocks and sleeping.

use super::{Guest, NOWHERE, SECOND, negative};
use crate::{Answer, Clock, Errno, HostClock, MONOTONIC_ORIGIN, Termination, WaitFor};

#[test]
fn clocks_read_the_injected_time() {
    let mut guest = Guest::new();
    guest.advance(5);
    guest.personality.add_computed(50 * SECOND + 2);
    let out = guest.room(16);
    let mut read = |clock: i64| {
        guest.ok("clock_gettime", [negative(clock), out]);
        (guest.u64_at(out), guest.u64_at(out + 8))
    };
    for realtime in [0, 5, 8, 11] {
        assert_eq!(read(realtime), (1_700_000_100, 5));
    }
    for monotonic in [1, 4, 6, 7, 9] {
        assert_eq!(read(monotonic), (100, 5));
    }
    for processor in [2, 3, -6, -2, -22] {
        assert_eq!(read(processor), (50, 2));
    }
    for unknown in [10, 12, -1, 1 << 20] {
        guest.fails("clock_gettime", [negative(unknown), out], Errno::EINVAL);
    }
    guest.fails("clock_gettime", [0, NOWHERE], Errno::EFAULT);
    guest.ok("clock_getres", [1, out]);
    assert_eq!((guest.u64_at(out), guest.u64_at(out + 8)), (0, 1));
    guest.ok("clock_getres", [1, 0]);
    guest.ok("gettimeofday", [out, 0]);
    assert_eq!(guest.u64_at(out), 1_700_000_100);
    assert_eq!(guest.ok("time", [out]), 1_700_000_100);
    assert_eq!(guest.u64_at(out), 1_700_000_100);
    assert_eq!(guest.ok("times", [0]), 10_000);
    guest.fails("clock_settime", [0, out], Errno::EPERM);
}

#[test]
fn sleeping_parks_until_the_time_has_come() {
    let mut guest = Guest::new();
    let duration = guest.words(&[2, 500]);
    let sleep = [duration, 0];
    assert_eq!(
        guest.call("nanosleep", sleep),
        Answer::Wait(WaitFor::Time { nanoseconds: 2 * SECOND + 500 })
    );
    guest.advance(SECOND);
    assert_eq!(
        guest.call("nanosleep", sleep),
        Answer::Wait(WaitFor::Time { nanoseconds: SECOND + 500 })
    );
    guest.advance(SECOND + 500);
    assert_eq!(guest.ok("nanosleep", sleep), 0);
    // Another sleep starts from its own now.
    assert_eq!(
        guest.call("nanosleep", sleep),
        Answer::Wait(WaitFor::Time { nanoseconds: 2 * SECOND + 500 })
    );
    guest.advance(9 * SECOND);
    assert_eq!(guest.ok("nanosleep", sleep), 0);

    let now = 1_700_000_111;
    let until = guest.words(&[now + 3, 0]);
    let absolute = [0, 1, until, 0];
    let answer = guest.call("clock_nanosleep", absolute);
    assert!(
        matches!(answer, Answer::Wait(WaitFor::Time { nanoseconds }) if nanoseconds < 3 * SECOND)
    );
    guest.advance(3 * SECOND);
    assert_eq!(guest.ok("clock_nanosleep", absolute), 0);
    let past = guest.words(&[5, 0]);
    assert_eq!(guest.ok("clock_nanosleep", [1, 1, past, 0]), 0);
    let none = guest.words(&[0, 0]);
    assert_eq!(guest.ok("nanosleep", [none, 0]), 0);
}

#[test]
fn a_call_that_waits_is_counted_once() {
    let mut guest = Guest::new();
    let second = guest.words(&[1, 0]);
    let counted = |guest: &Guest, name: &str| {
        guest.personality.counts().find(|call| call.name == name).map(|call| call.count)
    };
    assert!(!guest.personality.is_serving());
    for rest in [SECOND, SECOND] {
        let wait = Answer::Wait(WaitFor::Time { nanoseconds: rest });
        assert_eq!(guest.call("nanosleep", [second, 0]), wait);
        assert!(guest.personality.is_serving());
        assert_eq!(counted(&guest, "nanosleep"), None);
    }
    guest.advance(SECOND);
    assert_eq!(guest.ok("nanosleep", [second, 0]), 0);
    assert!(!guest.personality.is_serving());
    assert_eq!(guest.personality.go_on(&mut guest.space), None, "the guest is to run");
    assert_eq!(counted(&guest, "nanosleep"), Some(1));
    let deadlock = Termination::Deadlock { waiting_for: "a signal that nobody can send" };
    assert_eq!(guest.call("pause", []), Answer::End(deadlock));
    assert_eq!(counted(&guest, "pause"), Some(1));
}

#[test]
fn senseless_sleeps_are_refused() {
    let mut guest = Guest::new();
    let too_many = guest.words(&[0, SECOND]);
    guest.fails("nanosleep", [too_many, 0], Errno::EINVAL);
    let before = guest.words(&[negative(-1), 0]);
    guest.fails("nanosleep", [before, 0], Errno::EINVAL);
    guest.fails("nanosleep", [NOWHERE, 0], Errno::EFAULT);
    guest.fails("clock_nanosleep", [99, 0, before, 0], Errno::EINVAL);
    let for_ever = guest.words(&[i64::MAX.unsigned_abs(), 0]);
    assert!(matches!(guest.call("nanosleep", [for_ever, 0]), Answer::Wait(WaitFor::Time { .. })));
}

#[test]
fn waiting_is_not_computing() {
    let mut guest = Guest::new();
    let (duration, out) = (guest.words(&[3, 0]), guest.room(144));
    assert!(matches!(guest.call("nanosleep", [duration, 0]), Answer::Wait(WaitFor::Time { .. })));
    guest.advance(3 * SECOND);
    guest.ok("nanosleep", [duration, 0]);
    guest.ok("clock_gettime", [2, out]);
    assert_eq!((guest.u64_at(out), guest.u64_at(out + 8)), (0, 0));
    guest.personality.add_computed(1_234_567_890);
    for clock in [2, 3] {
        guest.ok("clock_gettime", [clock, out]);
        assert_eq!((guest.u64_at(out), guest.u64_at(out + 8)), (1, 234_567_890));
    }
    // What the host does for it is the system's share.
    guest.personality.add_served(2_010_000_000);
    guest.ok("clock_gettime", [2, out]);
    assert_eq!((guest.u64_at(out), guest.u64_at(out + 8)), (3, 244_567_890));
    guest.ok("getrusage", [0, out]);
    let parts: Vec<_> = (0..4).map(|at| guest.u64_at(out + at * 8)).collect();
    assert_eq!(parts, [1, 234_567, 2, 10_000]);
    guest.ok("times", [out]);
    assert_eq!((guest.u64_at(out), guest.u64_at(out + 8)), (123, 201));
    // Nothing computes while it waits for that.
    assert!(matches!(
        guest.call("clock_nanosleep", [2, 0, duration]),
        Answer::End(Termination::Deadlock { .. })
    ));
}

/// A timer of `which`, due after and then every so many microseconds.
fn start_timer(guest: &mut Guest, which: u64, first: u64, interval: u64) {
    let timer = guest.words(&[0, interval, 0, first]);
    guest.ok("setitimer", [which, timer, 0]);
}

#[test]
fn a_timer_ends_whatever_the_guest_waits_in() {
    let far = SECOND * 100;
    for call in ["pause", "nanosleep", "poll", "read", "futex", "rt_sigtimedwait"] {
        let mut guest = Guest::new();
        let ends = guest.room(8);
        guest.ok("pipe", [ends]);
        let reader = guest.u32_at(ends).into();
        let (long, word, none) =
            (guest.words(&[far / SECOND, 0]), guest.words(&[7]), guest.words(&[0]));
        start_timer(&mut guest, 0, 5000, 0);
        let arguments = match call {
            "nanosleep" => [long, 0, 0, 0],
            "poll" => [0, 0, negative(-1), 0],
            "read" => [reader, ends, 1, 0],
            "futex" => [word, 0, 7, 0],
            "rt_sigtimedwait" => [none, 0, 0, 8],
            _ => [0; 4],
        };
        assert_eq!(
            guest.call(call, arguments),
            Answer::Wait(WaitFor::Time { nanoseconds: 5_000_000 }),
            "{call}"
        );
        guest.advance(4_000_000);
        assert_eq!(
            guest.call(call, arguments),
            Answer::Wait(WaitFor::Time { nanoseconds: 1_000_000 }),
            "{call}"
        );
        guest.advance(1_000_000);
        assert_eq!(
            guest.call(call, arguments),
            Answer::End(Termination::Killed { signal: 14 }),
            "{call}"
        );
    }
}

#[test]
fn a_blocked_signal_of_a_timer_ends_a_wait_for_it() {
    let mut guest = Guest::new();
    let (alarm, out) = (guest.words(&[1 << 13]), guest.room(128));
    guest.ok("rt_sigprocmask", [0, alarm, 0, 8]);
    start_timer(&mut guest, 0, 5000, 0);
    let wait = [alarm, out, 0, 8];
    let until_then = Answer::Wait(WaitFor::Time { nanoseconds: 5_000_000 });
    assert_eq!(guest.call("rt_sigtimedwait", wait), until_then);
    guest.advance(5_000_000);
    assert_eq!(guest.ok("rt_sigtimedwait", wait), 14);
    // Others are not ended by it, and wait on.
    let long = guest.words(&[9, 0]);
    start_timer(&mut guest, 0, 5000, 0);
    assert_eq!(guest.call("nanosleep", [long, 0]), until_then);
    guest.advance(5_000_000);
    let rest = Answer::Wait(WaitFor::Time { nanoseconds: 9 * SECOND - 5_000_000 });
    assert_eq!(guest.call("nanosleep", [long, 0]), rest);
}

#[test]
fn timers_of_what_was_computed_ask_to_be_looked_at() {
    let mut guest = Guest::new();
    assert_eq!(guest.personality.timer_due(), None);
    start_timer(&mut guest, 1, 3000, 0);
    guest.advance(SECOND);
    assert_eq!(guest.personality.timer_due(), Some(3_000_000), "it does not run while it waits");
    guest.personality.add_computed(2_000_000);
    assert_eq!(guest.personality.tick(), None);
    assert_eq!(guest.personality.timer_due(), Some(1_000_000));
    guest.personality.add_computed(1_000_000);
    assert_eq!(guest.personality.tick(), Some(Termination::Killed { signal: 26 }));
    start_timer(&mut guest, 2, 1000, 0);
    guest.personality.add_served(1_000_000);
    assert_eq!(guest.call("getpid", []), Answer::End(Termination::Killed { signal: 27 }));
}

#[test]
fn a_timer_that_repeats_counts_missed_times_as_one() {
    let mut guest = Guest::new();
    let alarm = guest.words(&[1 << 13]);
    guest.ok("rt_sigprocmask", [0, alarm, 0, 8]);
    start_timer(&mut guest, 0, 1000, 1000);
    guest.advance(10_500_000);
    let at_once = guest.words(&[0, 0]);
    assert_eq!(guest.ok("rt_sigtimedwait", [alarm, 0, at_once, 8]), 14);
    guest.fails("rt_sigtimedwait", [alarm, 0, at_once, 8], Errno::EAGAIN);
    assert_eq!(guest.personality.timer_due(), Some(500_000), "it keeps its beat");
    assert_eq!(guest.ok("alarm", [0]), 1, "a part of a second is one");
    assert_eq!(guest.personality.timer_due(), None);
}

#[test]
fn processor_time_has_a_limit_that_a_program_sets_itself() {
    let mut guest = Guest::new();
    assert_eq!(guest.personality.timer_due(), None);
    let (limit, ignore) = (guest.words(&[2, 4]), guest.words(&[1, 0, 0, 0]));
    guest.ok("setrlimit", [0, limit]);
    guest.ok("rt_sigaction", [24, ignore, 0, 8]);
    guest.personality.add_computed(SECOND);
    assert_eq!(guest.personality.timer_due(), Some(SECOND));
    guest.personality.add_served(SECOND);
    assert_eq!(guest.personality.tick(), None, "SIGXCPU is ignored");
    assert_eq!(guest.personality.timer_due(), Some(SECOND), "and comes again");
    guest.personality.add_computed(2 * SECOND);
    assert_eq!(guest.personality.tick(), Some(Termination::Killed { signal: 9 }));
}

#[test]
fn timers_outlive_a_snapshot() {
    let mut guest = Guest::new();
    guest.personality.add_computed(5);
    start_timer(&mut guest, 0, 700, 0);
    let (state, contents) = guest.personality.state();
    let loaded = crate::Personality::from_state(&state, &contents).unwrap();
    assert!(loaded.timer_due().is_some_and(|due| due <= 700_000));
    assert_eq!(loaded.kernel.accounting.computed, 5);
}

#[test]
fn the_host_clock_hides_the_uptime() {
    let clock = HostClock::new();
    let first = clock.monotonic();
    assert!((MONOTONIC_ORIGIN..MONOTONIC_ORIGIN + 60 * SECOND).contains(&first));
    assert!(clock.monotonic() >= first);
    assert!(clock.realtime() > 1_700_000_000 * SECOND);
}
