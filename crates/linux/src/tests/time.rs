//! Clocks and sleeping.

use super::{Guest, NOWHERE, SECOND, negative};
use crate::{Answer, Clock, Errno, HostClock, MONOTONIC_ORIGIN};

#[test]
fn clocks_read_the_injected_time() {
    let mut guest = Guest::new();
    guest.advance(5);
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
    assert_eq!(guest.call("nanosleep", sleep), Answer::Sleep { nanoseconds: 2 * SECOND + 500 });
    guest.advance(SECOND);
    assert_eq!(guest.call("nanosleep", sleep), Answer::Sleep { nanoseconds: SECOND + 500 });
    guest.advance(SECOND + 500);
    assert_eq!(guest.ok("nanosleep", sleep), 0);
    // Another sleep starts from its own now.
    assert_eq!(guest.call("nanosleep", sleep), Answer::Sleep { nanoseconds: 2 * SECOND + 500 });
    guest.advance(9 * SECOND);
    assert_eq!(guest.ok("nanosleep", sleep), 0);

    let now = 1_700_000_111;
    let until = guest.words(&[now + 3, 0]);
    let absolute = [0, 1, until, 0];
    let answer = guest.call("clock_nanosleep", absolute);
    assert!(matches!(answer, Answer::Sleep { nanoseconds } if nanoseconds < 3 * SECOND));
    guest.advance(3 * SECOND);
    assert_eq!(guest.ok("clock_nanosleep", absolute), 0);
    let past = guest.words(&[5, 0]);
    assert_eq!(guest.ok("clock_nanosleep", [1, 1, past, 0]), 0);
    let none = guest.words(&[0, 0]);
    assert_eq!(guest.ok("nanosleep", [none, 0]), 0);
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
    assert!(matches!(guest.call("nanosleep", [for_ever, 0]), Answer::Sleep { .. }));
}

#[test]
fn timers_are_accepted_and_never_run() {
    let mut guest = Guest::new();
    assert_eq!(guest.ok("alarm", [5]), 0);
    let timer = guest.words(&[1, 1, 1, 1]);
    let old = guest.words(&[9, 9, 9, 9]);
    guest.ok("setitimer", [0, timer, old]);
    assert_eq!(guest.u64_at(old), 0);
    guest.fails("getitimer", [3, old], Errno::EINVAL);
    guest.fails("setitimer", [0, NOWHERE, 0], Errno::EFAULT);
}

#[test]
fn the_host_clock_hides_the_uptime() {
    let clock = HostClock::new();
    let first = clock.monotonic();
    assert!((MONOTONIC_ORIGIN..MONOTONIC_ORIGIN + 60 * SECOND).contains(&first));
    assert!(clock.monotonic() >= first);
    assert!(clock.realtime() > 1_700_000_000 * SECOND);
    assert!(clock.processor() < 60 * SECOND);
}
