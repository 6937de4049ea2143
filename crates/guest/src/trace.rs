//! Tracing: what a guest tells about what it does.
//!
//! Spans and events of the [`tracing`](https://docs.rs/tracing) crate and records of the
//! [`log`](https://docs.rs/log) crate appear in the trace of whoever calls the guest. The host chooses
//! level and targets for each call; where it wants nothing, a span costs a load and a branch.
//!
//! The SDK becomes the default subscriber and logger after the init function has run, unless that
//! function installed others, which then stay. What the function itself does is told, too, until it makes a
//! subscriber of its own; its log records are, if it calls [`install`] first.

// A span or an event goes this way: `subscriber`, `logger` or `c` collects its values as `fields`, if the
// `producer` says that they are wanted; the `recorder` gives it a number from `spans` and `callsites` and
// appends the record to the `batch`. What the host makes of it is the business of the crate
// `ampoule-spans`.

mod batch;
#[cfg(feature = "c")]
#[expect(unsafe_code, reason = "what C callers hand over")]
mod c;
mod callsites;
mod context;
mod directives;
mod fields;
#[cfg(feature = "log")]
mod logger;
mod producer;
mod recorder;
mod spans;
#[cfg(feature = "tracing")]
mod subscriber;

pub use context::{TraceContext, context};

use crate::channel::{self, Channel, current};
use ampoule_wire::trace::{Kind, Level, Value};
use callsites::{NamedCallsite, Origin};
use fields::MESSAGE_FIELD;
use recorder::Parent;
use std::cell::Cell;
use std::num::NonZeroU64;

/// Frequency in Hz of the counter that [`timestamp`] reads, as far as the host knows it. It may differ
/// after a sandbox was restored. `None` on plain Linux.
#[must_use]
pub fn tsc_frequency() -> Option<NonZeroU64> {
    current::get().and_then(|channel| NonZeroU64::new(channel.tsc_frequency()))
}

/// The processor's time-stamp counter, which dates spans and events.
#[must_use]
pub fn timestamp() -> u64 {
    channel::trace::timestamp()
}

/// Makes the SDK the process's logger now, for an init function that writes log records and wants the host
/// to get them. A logger that is there stays; one that is installed later, cannot be. Does nothing on plain
/// Linux.
pub fn install() {
    #[cfg(feature = "log")]
    if producer::with(|_| ()).is_some() {
        logger::install();
        logger::apply_level();
    }
}

/// The init function is about to run: its spans and events are taken in, if the host wants them.
pub(crate) fn start_begins(channel: &Channel) {
    let Some(area) = channel.trace() else { return };
    begin_start(area);
}

fn begin_start(area: channel::trace::TraceArea) {
    producer::install(area);
    if producer::with(producer::Producer::call_begins) == Some(true) {
        #[cfg(feature = "tracing")]
        {
            subscriber::attach();
            subscriber::apply_level();
        }
    }
}

/// It has run. From now on the guest's spans, events and log records are taken in, unless that function has
/// made others take them in.
pub(crate) fn start_ends() {
    let was_on = producer::with(|producer| {
        let was_on = producer.is_on();
        producer.start_ends();
        was_on
    });
    let Some(was_on) = was_on else { return };
    #[cfg(feature = "tracing")]
    subscriber::install();
    #[cfg(feature = "log")]
    logger::install();
    if was_on {
        #[cfg(feature = "tracing")]
        subscriber::apply_level();
        #[cfg(feature = "log")]
        logger::apply_level();
    }
}

thread_local! {
    /// The call that is being answered is traced, or the one before was. A call without a trace looks at
    /// nothing else of this module's: under nested virtualisation each page that is touched counts.
    static IS_TRACED: Cell<bool> = const { Cell::new(false) };
}

/// A call was received.
pub(crate) fn call_begins(channel: &Channel, is_traced: bool) {
    begin(is_traced, || channel.context());
}

fn begin(is_traced: bool, header: impl FnOnce() -> channel::HeaderContext) {
    if is_traced || IS_TRACED.get() {
        IS_TRACED.set(is_traced);
        context::set(header());
        look_at_host();
    }
}

/// Looks at what the host wants to hear of the call that begins.
fn look_at_host() {
    if producer::with(producer::Producer::call_begins) == Some(true) {
        #[cfg(feature = "tracing")]
        subscriber::apply_level();
        #[cfg(feature = "log")]
        logger::apply_level();
    }
}

/// The call's function has returned.
pub(crate) fn call_ends() {
    if IS_TRACED.get() {
        context::set(channel::HeaderContext::default());
    }
}

/// The span from which a host call is made, 0 for none.
pub(crate) fn current_span() -> u64 {
    if !IS_TRACED.get() {
        return 0;
    }
    producer::with(|producer| producer.current()).unwrap_or_default()
}

/// Tells of a panic. It may yet be caught.
pub(crate) fn panicked(message: &str, file: Option<&str>, line: u32) {
    let (kind, level) = (Kind::Event, Level::Error);
    let site = NamedCallsite { kind, level, name: "panic", target: "panic", file, line };
    producer::with(|producer| {
        if producer.allows(level, site.target) {
            producer.event(Origin::Named(site), Parent::Current, |fields| {
                fields.plain(MESSAGE_FIELD, Value::Text(message));
            });
        }
    });
}

#[cfg(test)]
#[cfg(all(feature = "log", feature = "tracing"))]
mod tests;
