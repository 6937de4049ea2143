//! Records of the `log` crate.

use super::host::Host;
use log::RecordBuilder;
use tracing::{info, info_span};

#[test]
fn log_records_are_events_of_their_place() {
    let host = Host::new();
    host.call(3, "info", || {
        let _span = info_span!("outer").entered();
        for number in 0..2 {
            log::warn!(target: "app::http", number = number, text = "t", yes = true; "n {number}");
        }
        log::debug!("unwanted");
    });
    let lines = host.lines();
    assert_eq!(
        lines[3..],
        [
            "callsite Log  \"app::http\" Warn [\"message\"] logs.rs with a line",
            "event in 1: app::http message=\"n 0\" number=0i text=\"t\" yes=true",
            "event in 1: app::http message=\"n 1\" number=1i text=\"t\" yes=true",
            "close 1",
        ]
    );
}

#[test]
fn log_records_follow_the_same_directives() {
    let host = Host::new();
    let records = || {
        log::error!(target: "app", "one");
        log::trace!(target: "app::db", "two");
        log::info!(target: "other", "three");
    };
    host.call(5, "warn,app::db=trace", records);
    let lines = host.lines();
    let events: Vec<_> = lines.iter().filter(|line| line.starts_with("event")).collect();
    assert_eq!(events.len(), 2);
    assert_eq!(log::max_level(), log::LevelFilter::Trace);
    host.quiet_call(records);
    assert_eq!(host.lines(), [""; 0]);
}

/// What the `tracing` crate's feature `log-always` does beside an event.
fn as_tracing_would(file: &str, line: u32) {
    let mut record = RecordBuilder::new();
    record.level(log::Level::Info).target(module_path!()).module_path(Some(module_path!()));
    record.file(Some(file)).line(Some(line));
    log::logger().log(&record.args(format_args!("a record")).build());
}

#[test]
fn what_tracing_logs_itself_comes_once() {
    let host = Host::new();
    host.call(3, "info", || {
        info!("an event");
        as_tracing_would(file!(), line!() - 1);
        as_tracing_would(file!(), 100_000);
        as_tracing_would("another.rs", 7);
    });
    let lines = host.lines();
    let events: Vec<_> = lines.iter().filter(|line| line.starts_with("event")).collect();
    assert_eq!(events.len(), 3, "{events:?}");
}

#[test]
fn records_from_too_many_places_share_a_callsite() {
    let host = Host::new();
    host.call(3, "info", || {
        for number in 0..3000 {
            log::info!(target: &format!("target {number}"), "text");
        }
    });
    let lines = host.lines();
    let callsites = lines.iter().filter(|line| line.starts_with("callsite")).count();
    assert_eq!(callsites, 2048 + 1);
    assert_eq!(lines.last().unwrap(), "event in 0:  message=\"text\" target=\"target 2999\"");
}

#[test]
fn values_that_panic_lose_only_themselves() {
    struct Panics;
    impl std::fmt::Display for Panics {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("while it is written");
        }
    }
    let host = Host::new();
    host.call(3, "info", || log::info!(target: "app", "a {Panics} b"));
    assert_eq!(host.lines().last().unwrap(), "event in 0: app message=\"a <panicked>\"");
}
