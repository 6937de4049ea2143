//! The times of spans against the host's own: see `docs/tracing.md`, *How exact times are*.

use super::{Spans, begin, result};
use ampoule_machine::time_stamp;
use ampoule_sandbox::{Resumption, Sandbox, Step, TraceEntry, wall_offset};
use ampoule_testkit::kvm_is_available;

const MICROSECONDS: [u32; 4] = [5, 50, 500, 5000];
/// Nanoseconds within which 99 of 100 times have to be.
const TOLERANCE: i128 = 1000;

/// A counter value and the Unix time at that moment, the tightest of seven readings.
#[derive(Debug, Clone, Copy)]
struct Moment {
    tsc: i128,
    wall: i128,
}

fn monotonic() -> i128 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

fn moment(offset: i128) -> Moment {
    let readings = (0..7).map(|_| {
        let before = time_stamp();
        let now = monotonic();
        let after = time_stamp();
        (after - before, Moment { tsc: i128::from(before.midpoint(after)), wall: now + offset })
    });
    readings.min_by_key(|&(window, _)| window).unwrap().1
}

/// Errors of the times of one call, in nanoseconds, against an interpolation of the test's own.
fn call(sandbox: &mut Sandbox, offset: i128) -> Vec<i128> {
    let start = moment(offset);
    let mut step = begin(sandbox, "busy", &(MICROSECONDS, true));
    assert!(matches!(step, Step::HostCall { .. }));
    let called = moment(offset).wall;
    let mut entries = sandbox.take_trace();
    let resumed = moment(offset).wall;
    sandbox.resume(Resumption::HostReturn(&[0])).unwrap();
    step = sandbox.run();
    assert_eq!(step, Step::Return);
    let end = moment(offset);
    entries.extend(sandbox.take_trace());

    let raw: Vec<u64> = result(sandbox);
    let truth = |tsc: u64| {
        let ticks = i128::from(tsc) - start.tsc;
        start.wall + ticks * (end.wall - start.wall) / (end.tsc - start.tsc)
    };
    let host = entries.iter().filter_map(|entry| match entry {
        TraceEntry::HostCall { at, .. } | TraceEntry::HostReturn { at, .. } => {
            Some(i128::from(*at))
        }
        _ => None,
    });
    let host: Vec<i128> = host.collect();
    // Behind what the guest did before, not after the host knew of it; and the same on the way back.
    let (before, after) = (truth(raw[8]), truth(raw[9]));
    let order = [before, host[0], called, resumed, host[1], after];
    assert!(order.windows(2).all(|pair| pair[0] <= pair[1] + TOLERANCE), "{order:?}");

    let mut spans = Spans::default();
    spans.add(entries);
    assert!(spans.problems.is_empty(), "{spans:#?}");
    spans.assert_nested();
    let mut errors = Vec::new();
    for (index, span) in spans.spans.iter().enumerate() {
        let (closed, ending) = span.closed.unwrap();
        assert_eq!(ending, 0);
        let duration = u64::from(MICROSECONDS[index..].iter().sum::<u32>()) * 1000;
        assert!(closed - span.opened + 100 >= duration, "{spans:#?}");
        // The guest has read the counter right before and right after.
        let outside = |at: u64, first: usize| {
            let (at, before, after) = (i128::from(at), truth(raw[first]), truth(raw[first + 1]));
            if at < before { at - before } else { (at - after).max(0) }
        };
        errors.push(outside(span.opened, 2 * index));
        errors.push(outside(closed, 16 - 2 * index));
    }
    errors
}

fn check(mut errors: Vec<i128>) {
    let wrong = errors.iter().filter(|error| !(-TOLERANCE..=TOLERANCE).contains(error)).count();
    errors.sort_unstable();
    let at = |share: usize| errors[(errors.len() - 1) * share / 1000];
    let shown = format!(
        "of {} times: least {}, p1 {}, median {}, p99 {}, p99.9 {}, most {} ns",
        errors.len(),
        at(0),
        at(10),
        at(500),
        at(990),
        at(999),
        at(1000)
    );
    eprintln!("{shown}");
    assert!(wrong * 100 <= errors.len(), "{wrong} beyond {TOLERANCE} ns {shown}");
}

#[test]
fn times_are_true_over_a_thousand_calls() {
    if !kvm_is_available() {
        return;
    }
    let mut sandbox = super::ready("testing");
    check((0..1000).flat_map(|_| call(&mut sandbox, wall_offset())).collect());
}

#[test]
fn times_are_true_after_restores_and_in_other_sandboxes() {
    if !kvm_is_available() {
        return;
    }
    let mut first = super::ready("testing");
    call(&mut first, wall_offset());
    let snapshot = first.snapshot().unwrap();
    let mut errors = Vec::new();
    let mut sandboxes = vec![first];
    for round in 0..500 {
        if round % 25 == 0 && sandboxes.len() < 8 {
            sandboxes.push(crate::support::from_snapshot(&snapshot));
        }
        let at = round % sandboxes.len();
        let sandbox = &mut sandboxes[at];
        errors.extend(call(sandbox, wall_offset()));
        sandbox.restore(Some(&snapshot)).unwrap();
    }
    check(errors);
}
