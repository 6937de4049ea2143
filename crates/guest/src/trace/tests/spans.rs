//! Spans: what the host hears of them, and when.

use super::host::Host;
use tracing::{Level, Span, debug_span, error_span, event, info, info_span, span};

/// The lines without callsites.
fn lines(host: &Host) -> Vec<String> {
    host.lines().into_iter().filter(|line| !line.starts_with("callsite")).collect()
}

#[test]
fn a_span_opens_with_its_fields_and_closes() {
    let host = Host::new();
    host.call(3, "info", || drop(info_span!("add", left = 1_i32, right = 2_u8)));
    let target = module_path!();
    assert_eq!(
        host.lines(),
        [
            "call".to_owned(),
            format!("callsite Span add {target:?} Info [\"left\", \"right\"] spans.rs with a line"),
            "open 1 in 0: add left=1i right=2u".to_owned(),
            "close 1".to_owned(),
        ]
    );
    let times = host.times();
    assert!(times.is_sorted() && times[0] > 0, "{times:?}");
}

#[test]
fn a_callsite_is_told_once_in_a_generation() {
    let host = Host::new();
    let body = || (0..2).for_each(|_| drop(info_span!("again")));
    let callsites =
        |host: &Host| host.lines().iter().filter(|line| line.starts_with("callsite")).count();
    host.call(3, "info", body);
    assert_eq!(callsites(&host), 1);
    host.call_again(body);
    assert_eq!(callsites(&host), 0);
    host.forget();
    host.call_again(body);
    assert_eq!(callsites(&host), 1);
}

#[test]
fn spans_are_in_the_span_that_is_entered_or_named() {
    let host = Host::new();
    host.call(5, "trace", || {
        let outer = info_span!("outer");
        let entered = outer.enter();
        let inner = error_span!("inner").entered();
        info!("within");
        drop(span!(parent: None, Level::INFO, "root"));
        drop(info_span!(parent: &outer, "named"));
        drop(inner);
        event!(parent: None, Level::INFO, "outside");
        drop(entered);
        drop(debug_span!(parent: &outer, "late"));
    });
    assert_eq!(
        lines(&host),
        [
            "call",
            "open 1 in 0: outer",
            "open 2 in 1: inner",
            "event in 2: event message=\"within\"",
            "open 3 in 0: root",
            "close 3",
            "open 4 in 1: named",
            "close 4",
            "close 2",
            "event in 0: event message=\"outside\"",
            "open 5 in 1: late",
            "close 5",
            "close 1",
        ]
    );
}

#[test]
fn a_span_stays_open_for_its_handles_and_for_those_inside_it() {
    let host = Host::new();
    host.call(3, "info", || {
        let outer = info_span!("outer");
        let handle = outer.clone();
        let inner = outer.in_scope(|| info_span!("inner"));
        drop(outer);
        drop(handle);
        info!("between");
        drop(inner);
    });
    assert_eq!(
        lines(&host),
        [
            "call",
            "open 1 in 0: outer",
            "open 2 in 1: inner",
            "event in 0: event message=\"between\"",
            "close 2",
            "close 1"
        ]
    );
}

#[test]
fn more_fields_of_a_span_are_told() {
    let host = Host::new();
    host.call(3, "info", || {
        let span = info_span!("late", known = true, size = tracing::field::Empty);
        span.record("size", 12_u64);
        span.record("unknown", 1);
    });
    assert_eq!(lines(&host)[1..], ["open 1 in 0: late known=true", "edit 1: #1=12u", "close 1"]);
}

#[test]
fn the_current_span_is_known_to_tracing_and_to_host_calls() {
    let host = Host::new();
    host.call(3, "info", || {
        assert_eq!(host.current_span(), 0);
        let outer = info_span!("outer").entered();
        assert_eq!(host.current_span(), 1);
        let current = Span::current();
        assert_eq!(current.metadata().map(|metadata| metadata.name()), Some("outer"));
        let inner = info_span!("inner").entered();
        assert_eq!(host.current_span(), 2);
        drop(inner);
        drop(outer);
        assert!(Span::current().is_none());
    });
}

#[test]
fn a_span_of_another_call_is_not_spoken_of() {
    let host = Host::new();
    let mut kept = None;
    host.call(3, "info", || {
        let span = info_span!("kept");
        std::mem::forget(span.clone().entered());
        kept = Some(span);
    });
    assert_eq!(lines(&host), ["call", "open 1 in 0: kept"]);

    let kept = kept.unwrap();
    host.call(3, "info", || {
        info!("in no span, for the guard is gone with its call");
        kept.in_scope(|| drop(info_span!("inner")));
        kept.record("unknown", 1);
        drop(kept);
    });
    let lines = lines(&host);
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[1].starts_with("event in 0"));
    assert_eq!(lines[2..], ["open 2 in 0: inner", "close 2"]);
}

#[test]
fn spans_survive_changes_of_level() {
    let host = Host::new();
    let mut kept = None;
    host.call(3, "info", || kept = Some(info_span!("kept")));
    let published = host.published();
    let kept = kept.unwrap();
    host.quiet_call(|| {
        kept.in_scope(|| info!("nothing"));
        kept.record("unknown", 1);
        drop(kept.clone());
        drop(kept);
    });
    assert_eq!(host.published(), published);
    host.call(5, "trace", || drop(info_span!("new")));
    assert_eq!(lines(&host).len(), 2 + 3);
}

#[test]
fn many_spans_need_no_more_room_than_are_open() {
    let host = Host::new();
    host.call(3, "info", || {
        for number in 0..5000 {
            drop(info_span!("one of many", number));
        }
    });
    let lines = lines(&host);
    assert_eq!(lines.len(), 1 + 2 * 5000);
    assert_eq!(lines.last().unwrap(), "close 5000");
    assert_eq!(host.dropped(), 0);
}

#[test]
fn a_span_that_a_panic_closes_says_so_and_those_around_it_do_not() {
    let host = Host::new();
    struct Cleanup;
    impl Drop for Cleanup {
        fn drop(&mut self) {
            drop(info_span!("in a destructor"));
        }
    }
    host.call(3, "info", || {
        let outer = info_span!("outer").entered();
        let caught = std::panic::catch_unwind(|| {
            let _inner = info_span!("inner").entered();
            let _cleanup = Cleanup;
            // Not by the macro: no hook, no message in the test's output.
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(caught.is_err());
        drop(info_span!("after"));
        drop(outer);
    });
    assert_eq!(
        lines(&host),
        [
            "call",
            "open 1 in 0: outer",
            "open 2 in 1: inner",
            "open 3 in 2: in a destructor",
            "close 3",
            "close 2 by a panic",
            "open 4 in 1: after",
            "close 4",
            "close 1",
        ]
    );
}

#[test]
fn a_span_follows_from_open_and_closed_ones_of_its_call() {
    let host = Host::new();
    let mut kept = None;
    host.call(3, "info", || kept = Some(info_span!("kept")));
    host.lines();
    host.call(3, "info", || {
        let closed = info_span!("closed").id();
        let open = info_span!("open");
        let follower = info_span!("follower");
        follower.follows_from(closed);
        follower.follows_from(&open);
        follower.follows_from(kept.as_ref().and_then(Span::id));
        follower.follows_from(debug_span!("not wanted").id());
        follower.follows_from(None::<tracing::Id>);
    });
    assert_eq!(
        lines(&host)[1..],
        [
            "open 2 in 0: closed",
            "close 2",
            "open 3 in 0: open",
            "open 4 in 0: follower",
            "link 4 to 2",
            "link 4 to 3",
            "close 4",
            "close 3",
        ]
    );
}
