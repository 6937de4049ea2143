//! Levels and targets, which the host chooses for each call.

use super::host::Host;
use tracing::level_filters::LevelFilter;
use tracing::{debug, error, info, trace, warn};

fn one_of_each() {
    error!("error");
    warn!("warn");
    info!("info");
    debug!("debug");
    trace!("trace");
    error!(target: "other::target", "other error");
    trace!(target: "other::target", "other trace");
    trace!(target: "others", "others trace");
}

fn messages(host: &Host) -> Vec<String> {
    let lines = host.lines();
    let events = lines.iter().filter(|line| line.starts_with("event"));
    events.filter_map(|line| line.split('"').nth(1).map(str::to_owned)).collect()
}

#[test]
fn each_call_has_its_own_level_and_targets() {
    let host = Host::new();
    let hear = |level, directives: &str| {
        host.call(level, directives, one_of_each);
        messages(&host)
    };
    assert_eq!(hear(1, "error"), ["error", "other error"]);
    assert_eq!(hear(3, "info"), ["error", "warn", "info", "other error"]);
    assert_eq!(
        hear(5, "trace"),
        ["error", "warn", "info", "debug", "trace", "other error", "other trace", "others trace"]
    );
    assert_eq!(hear(5, "warn,other=trace"), ["error", "warn", "other error", "other trace"]);
    assert_eq!(hear(5, "other::target=error,others=trace"), ["other error", "others trace"]);
    assert_eq!(hear(2, ""), ["error", "warn", "other error"]);
}

#[test]
fn nothing_is_written_while_nothing_is_wanted() {
    let host = Host::new();
    host.quiet_call(one_of_each);
    assert_eq!((host.published(), host.lines().len()), ((0, 0), 0));

    host.call(3, "info", one_of_each);
    let published = host.published();
    host.lines();
    for _ in 0..10 {
        host.quiet_call(one_of_each);
    }
    assert_eq!((host.published(), host.lines().len()), (published, 0));
    assert_eq!(LevelFilter::current(), LevelFilter::OFF);
    assert_eq!(log::max_level(), log::LevelFilter::Off);
}

#[test]
fn a_call_begins_with_its_start() {
    let host = Host::new();
    host.call(1, "error", || ());
    host.call_again(|| error!("one"));
    let lines = host.lines();
    assert_eq!(lines[..2], ["call", "call"]);
    assert_eq!(lines.len(), 4);
}

#[test]
fn the_level_alone_may_change() {
    let host = Host::new();
    host.call(3, "info", one_of_each);
    assert_eq!(messages(&host).len(), 4);
    host.quiet_call(one_of_each);
    host.set_level(3);
    host.call_again(one_of_each);
    assert_eq!(messages(&host).len(), 4);
    host.set_level(1);
    host.call_again(one_of_each);
    assert_eq!(messages(&host).len(), 2);
}

#[test]
fn a_level_that_is_none_is_everything() {
    let host = Host::new();
    host.call(77, "trace", one_of_each);
    assert_eq!(messages(&host).len(), 8);
}

#[test]
fn a_disabled_callsite_does_not_evaluate_its_values() {
    let host = Host::new();
    let mut evaluated = 0;
    let mut count = || {
        evaluated += 1;
        evaluated
    };
    host.call(3, "info,levels=off", || {
        debug!(value = count());
        info!(target: "levels", value = count());
    });
    host.quiet_call(|| info!(value = count()));
    assert_eq!(evaluated, 0);
}
