//! Batches: publishing, acknowledging, and what does not fit.

use super::host::Host;
use tracing::{info, info_span};

fn events(lines: &[String]) -> usize {
    lines.iter().filter(|line| line.starts_with("event")).count()
}

#[test]
fn a_batch_begins_when_the_one_before_was_acknowledged() {
    let host = Host::new();
    assert_eq!(host.published(), (0, 0));
    host.call(3, "info", || {
        let at_start = host.published();
        assert_eq!(at_start.0, 1);
        info!("one");
        let after_one = host.published();
        assert!(after_one.0 == 1 && after_one.1 > at_start.1 && after_one.1.is_multiple_of(8));
        host.stop();
        assert_eq!(host.published(), after_one);
        info!("two");
        assert_eq!(host.published().0, 2);
    });
    host.call_again(|| assert_eq!(host.published().0, 3));
    assert_eq!(events(&host.lines()), 2);
    assert_eq!(host.rings(), 0);
}

#[test]
fn a_full_batch_rings_and_nothing_is_lost() {
    let host = Host::with_capacity(1024);
    host.call(3, "info", || (0..100).for_each(|number| info!(number)));
    assert_eq!(events(&host.lines()), 100);
    // 1024 bytes hold seven or more of these.
    assert!((5..=15).contains(&host.rings()), "{}", host.rings());
    assert_eq!(host.dropped(), 0);
}

#[test]
fn a_host_that_takes_nothing_is_asked_once_a_call() {
    let host = Host::with_capacity(1024);
    host.take_nothing();
    host.call(3, "info", || (0..100).for_each(|number| info!(number)));
    let first = events(&host.lines());
    assert!((5..=15).contains(&first));
    assert_eq!((host.rings(), host.dropped()), (1, u64::try_from(100 - first).unwrap()));
    // The end of the call has emptied the batch.
    host.call_again(|| info!("again"));
    assert_eq!((events(&host.lines()), host.rings()), (1, 1));
}

#[test]
fn spans_that_could_not_be_told_are_not_spoken_of() {
    let host = Host::with_capacity(1024);
    host.take_nothing();
    host.call(3, "info", || {
        let _outer = info_span!("outer").entered();
        while host.dropped() == 0 {
            info!("filling");
        }
        let lost = info_span!("lost", value = 1).entered();
        assert_eq!(host.dropped(), 2);
        // The host reads, and so there is room again.
        host.stop();
        info!("within the lost span");
        lost.record("value", 2);
        drop(info_span!("inner"));
        drop(lost);
    });
    let lines = host.lines();
    let end = lines.iter().position(|line| line.contains("within the lost span")).unwrap();
    assert!(lines[end].starts_with("event in 1"));
    let spans = |line: &&String| !line.starts_with("callsite");
    let rest: Vec<_> = lines[end + 1..].iter().filter(spans).collect();
    assert_eq!(rest, ["open 2 in 1: inner", "close 2", "close 1"]);
}

#[test]
fn a_span_that_ends_before_more_is_told_is_one_record() {
    let host = Host::new();
    let leaf = || drop(info_span!("leaf", number = 1));
    host.call(3, "info", leaf);
    assert_eq!(host.lines().last().unwrap(), "close 1");
    assert_eq!(host.records(), "call callsite leaf".split(' ').count());
    host.call_again(|| {
        let outer = info_span!("outer").entered();
        leaf();
        leaf();
        drop(outer);
        info!("last");
    });
    assert_eq!(
        host.records(),
        "call callsite outer leaf leaf close callsite event".split(' ').count()
    );
    let times = host.times();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn the_end_of_a_span_is_a_record_once_the_host_has_read_or_more_was_told() {
    let host = Host::new();
    host.call(3, "info", || {
        let read = info_span!("read");
        host.stop();
        drop(read);
        let changed = info_span!("changed", field = 1);
        changed.record("field", 2);
        drop(changed);
    });
    assert_eq!(
        host.records(),
        "call callsite read close callsite changed edit close".split(' ').count()
    );
    let lines = host.lines();
    assert_eq!(lines.iter().filter(|line| line.starts_with("close")).count(), 2, "{lines:?}");
}

#[test]
fn spans_of_full_batches_are_closed_once() {
    let host = Host::with_capacity(1024);
    host.call(3, "info", || {
        let _outer = info_span!("outer").entered();
        (0..100).for_each(|number| drop(info_span!("one of many", number)));
    });
    let lines = host.lines();
    let count = |kind: &str| lines.iter().filter(|line| line.starts_with(kind)).count();
    assert_eq!((count("open"), count("close")), (101, 101));
    // One is larger than a sixteenth of 1024 bytes.
    assert!(host.rings() > 100 / 16, "{}", host.rings());
    assert_eq!(host.dropped(), 0);
}

#[test]
fn what_does_not_fit_an_empty_batch_is_cut_and_marked() {
    let host = Host::with_capacity(2048);
    let text = "ä".repeat(1 << 20);
    host.call(3, "info", || {
        info!(number = 1, text, debug = ?text, "large");
        info!("small");
    });
    let lines = host.lines();
    let events: Vec<_> = lines.iter().filter(|line| line.starts_with("event")).collect();
    assert_eq!(events.len(), 2);
    assert!(events[0].starts_with("event in 0: event message=\"large\" number=1i text=\"ääää"));
    assert!(events[0].ends_with(" cut") && events[0].len() > 1000);
    assert!(!events[1].ends_with(" cut"));
    assert_eq!(host.dropped(), 0);
}

#[test]
fn an_area_without_room_is_none() {
    use crate::channel::trace::TraceArea;
    use ampoule_abi::channel::Area;
    let area = |offset, size| TraceArea::new(4096, Area { offset, size }, || ());
    assert!(area(4096, 0).unwrap().is_none());
    assert!(area(4096, 64).unwrap().is_none());
    assert!(area(4096, 500).unwrap().is_none());
    assert!(area(4096, 4096).unwrap().is_some());
    assert!(area(4100, 4096).is_err());
    assert!(area(u64::MAX, 4096).is_err());
    assert!(area(4096, u64::MAX).is_err());
}
