//! Values: their types, and what their code may do meanwhile.

use super::host::Host;
use std::fmt;
use tracing::{error, info, info_span};

fn event(host: &Host) -> String {
    host.lines().into_iter().find(|line| line.starts_with("event")).unwrap()
}

#[test]
fn values_keep_their_types() {
    let host = Host::new();
    host.call(3, "info", || {
        info!(
            signed = i64::MIN,
            unsigned = u64::MAX,
            float = f64::NAN,
            yes = true,
            wide = i128::MIN,
            wider = u128::MAX,
            text = "ä\0",
            empty = "",
            debug = ?Some(1),
            display = %1.5,
            error = &std::io::Error::other("broken") as &dyn std::error::Error,
            "all of {}",
            "them"
        );
    });
    assert_eq!(
        event(&host),
        "event in 0: event message=\"all of them\" signed=-9223372036854775808i \
         unsigned=18446744073709551615u float=NaN yes=true \
         wide=\"-170141183460469231731687303715884105728\" \
         wider=\"340282366920938463463374607431768211455\" text=\"ä\\0\" empty=\"\" \
         debug=\"Some(1)\" display=\"1.5\" error=\"broken\""
    );
}

/// A value that makes spans and events when it is written.
struct Talks(u32);

impl fmt::Debug for Talks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _span = info_span!("talks", inner = ?Plain).entered();
        info!(left = self.0, "talking");
        if self.0 > 0 {
            info!(inner = ?Talks(self.0 - 1), "nested");
        }
        formatter.write_str("talked")
    }
}

#[derive(Debug)]
struct Plain;

#[test]
fn values_that_trace_are_written_around_what_they_trace() {
    let host = Host::new();
    host.call(3, "info", || info!(value = ?Talks(0), other = 7, "outer"));
    let lines: Vec<String> =
        host.lines().into_iter().filter(|line| !line.starts_with("callsite")).collect();
    assert_eq!(
        lines,
        [
            "call",
            "open 1 in 0: talks inner=\"Plain\"",
            "event in 1: event message=\"talking\" left=0u",
            "close 1",
            "event in 0: event message=\"outer\" value=\"talked\" other=7i",
        ]
    );
    assert!(host.times().is_sorted());
    assert_eq!(host.dropped(), 0);
}

#[test]
fn values_that_trace_without_end_are_cut_off() {
    let host = Host::new();
    host.call(3, "info", || info!(value = ?Talks(100), "outer"));
    assert!(host.dropped() > 0);
    host.call_again(|| info!("afterwards"));
    assert!(host.lines().iter().any(|line| line.contains("afterwards")));
}

#[test]
fn values_that_panic_are_marked() {
    struct Panics;
    impl fmt::Debug for Panics {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("half")?;
            panic!("while it is written");
        }
    }
    let host = Host::new();
    host.call(3, "info", || error!(value = ?Panics, next = 1));
    assert_eq!(event(&host), "event in 0: event value=\"half<panicked>\" next=1i");
    host.call_again(|| info!("afterwards"));
    assert_eq!(host.dropped(), 0);
}

#[test]
fn a_panic_is_an_event_in_the_current_span() {
    let host = Host::new();
    host.call(3, "info", || {
        let _span = info_span!("outer").entered();
        crate::trace::panicked("out of paper", Some("printer.rs"), 3);
    });
    let lines = host.lines();
    assert_eq!(
        lines[3..],
        [
            "callsite Event panic \"panic\" Error [\"message\"] printer.rs with a line",
            "event in 1: panic message=\"out of paper\"",
            "close 1"
        ]
    );
    host.call(3, "app=info", || crate::trace::panicked("unwanted", None, 0));
    assert_eq!(host.lines(), ["call"]);
}
