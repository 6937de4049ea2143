//! What the init function does.

use super::host::Host;
use crate::trace::subscriber;
use std::cell::Cell;
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, info, info_span};

const CAPACITY: usize = 32 << 10;

/// The lines without callsites.
fn lines(host: &Host) -> Vec<String> {
    host.lines().into_iter().filter(|line| !line.starts_with("callsite")).collect()
}

fn init() {
    info_span!("init").in_scope(|| info!("getting ready"));
}

const INIT: [&str; 4] =
    ["call", "open 1 in 0: init", "event in 1: event message=\"getting ready\"", "close 1"];

#[test]
fn is_told_if_the_host_wants_it_and_calls_are_afterwards() {
    for level in [3, 0] {
        let host = Host::starting(CAPACITY, level, init);
        assert_eq!(lines(&host), if level > 0 { &INIT[..] } else { &[] });
        host.quiet_call(init);
        assert_eq!(lines(&host), Vec::<String>::new());
        host.call(3, "info", || drop(info_span!("later")));
        let number = if level > 0 { 2 } else { 1 };
        let expected = [format!("open {number} in 0: later"), format!("close {number}")];
        assert_eq!(lines(&host)[1..], expected);
    }
}

#[test]
fn is_told_until_there_is_another_subscriber() {
    let host = Host::starting(CAPACITY, 3, || {
        init();
        assert!(subscriber::is_attached());
        drop(Dispatch::new(NoSubscriber::default()));
        assert!(!subscriber::is_attached());
    });
    assert_eq!(lines(&host), INIT);
}

#[test]
fn a_subscriber_that_is_made_while_an_event_is_written_breaks_nothing() {
    thread_local! {
        static MADE: Cell<bool> = const { Cell::new(false) };
    }
    struct Making;
    impl std::fmt::Display for Making {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            drop(Dispatch::new(NoSubscriber::default()));
            MADE.set(true);
            formatter.write_str("made")
        }
    }
    let host = Host::starting(CAPACITY, 3, || info!("{Making}"));
    assert!(MADE.get());
    assert_eq!(lines(&host), ["call", "event in 0: event message=\"made\""]);
}

#[test]
fn log_records_are_told_behind_install() {
    let host = Host::starting(CAPACITY, 3, || {
        crate::trace::install();
        log::info!("a log record");
        log::debug!("too much");
    });
    assert!(host.lines().iter().any(|line| line.contains("message=\"a log record\"")));
    assert_eq!(log::max_level(), log::LevelFilter::Off);
}
