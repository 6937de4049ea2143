//! The subscriber of the `tracing` crate's spans and events.

use super::callsites::{Metadata, Origin, level};
use super::fields::Fields;
use super::producer;
use super::recorder::Parent;
use super::spans::NO_SPAN;
use ampoule_wire::trace::{FieldName, Value};
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use tracing_core::callsite::rebuild_interest_cache;
use tracing_core::dispatcher::{
    DefaultGuard, Dispatch, get_default, set_default, set_global_default,
};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Current, Id, Record};
use tracing_core::subscriber::{Interest, NoSubscriber};
use tracing_core::{Event, LevelFilter, Subscriber};

/// What a span is called of which nothing can be kept: its methods do nothing.
const UNKNOWN: u64 = u64::MAX;

/// Hands everything to the thread's producer.
///
/// What a callsite is worth depends on nothing but level and directives, so that `tracing` can keep it
/// (`Interest`) until [`apply_level`].
#[derive(Debug)]
struct GuestSubscriber;

thread_local! {
    /// While the init function runs: this subscriber, which becomes the process's afterwards if the
    /// function has not made another one that.
    static EARLY: RefCell<Option<Dispatch>> = const { RefCell::new(None) };
    /// What makes it the thread's meanwhile.
    static GUARD: Cell<Option<DefaultGuard>> = const { Cell::new(None) };
}

/// Makes this the subscriber of the init function. A default for the process could not be replaced, and
/// the function may want another one.
pub(super) fn attach() {
    let dispatch = Dispatch::new(GuestSubscriber);
    GUARD.set(Some(set_default(&dispatch)));
    EARLY.set(Some(dispatch));
}

/// Makes this the default subscriber, unless there is one.
pub(super) fn install() {
    GUARD.take();
    let early = EARLY.take();
    // Asked first, because a second `Dispatch` would take the first one's fast path away for good.
    if get_default(|dispatch| dispatch.is::<NoSubscriber>()) {
        // Fails only if there is one after all, which then stays.
        let _ = set_global_default(early.unwrap_or_else(|| Dispatch::new(GuestSubscriber)));
    }
}

/// Lets another subscriber take over in the init function. Called when `tracing` asks all of them how much
/// they want, which it does when one is made, and when this module makes it ask.
fn step_aside() {
    let Some(guard) = GUARD.take() else { return };
    // From the inside of an event the current one cannot be changed; nobody is told what it is there.
    let is_current = get_default(|dispatch| dispatch.is::<GuestSubscriber>());
    if is_current && !APPLIES.get() {
        drop(guard);
    } else {
        GUARD.set(Some(guard));
    }
}

/// Whether this is the subscriber of the init function.
#[cfg(test)]
pub(super) fn is_attached() -> bool {
    let guard = GUARD.take();
    let is_attached = guard.is_some();
    GUARD.set(guard);
    is_attached
}

thread_local! {
    /// This module makes `tracing` ask.
    static APPLIES: Cell<bool> = const { Cell::new(false) };
}

/// Level or directives have changed: every callsite is asked again.
pub(super) fn apply_level() {
    if get_default(|dispatch| dispatch.is::<GuestSubscriber>()) {
        APPLIES.set(true);
        rebuild_interest_cache();
        APPLIES.set(false);
    }
}

/// The span that attributes name.
fn parent(is_contextual: bool, explicit: Option<&Id>) -> Parent {
    match explicit {
        _ if is_contextual => Parent::Current,
        Some(id) => Parent::Id(id.into_u64()),
        None => Parent::Id(NO_SPAN),
    }
}

impl Subscriber for GuestSubscriber {
    fn register_callsite(&self, metadata: &'static Metadata) -> Interest {
        let allowed = producer::with(|producer| {
            producer.callsites(|callsites| callsites.number(Origin::Static(metadata)));
            producer.allows(level(metadata), metadata.target())
        });
        if allowed == Some(true) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &tracing_core::Metadata<'_>) -> bool {
        producer::with(|producer| producer.allows(level(metadata), metadata.target()))
            .unwrap_or(false)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        step_aside();
        let level = producer::with(|producer| producer.max_level()).unwrap_or(0);
        Some(match level {
            0 => LevelFilter::OFF,
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let parent = parent(attributes.is_contextual(), attributes.parent());
        let origin = Origin::Static(attributes.metadata());
        let id = producer::with(|producer| {
            producer.open(origin, parent, |fields| attributes.record(&mut Collect(fields)))
        });
        Id::from_u64(id.filter(|&id| id != NO_SPAN).unwrap_or(UNKNOWN))
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        producer::with(|producer| {
            producer.edit(span.into_u64(), |fields| values.record(&mut Collect(fields)));
        });
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        producer::with(|producer| producer.link(span.into_u64(), follows.into_u64()));
    }

    fn event(&self, event: &Event<'_>) {
        let parent = parent(event.is_contextual(), event.parent());
        let origin = Origin::Static(event.metadata());
        producer::with(|producer| {
            producer.event(origin, parent, |fields| event.record(&mut Collect(fields)));
        });
    }

    fn enter(&self, span: &Id) {
        producer::with(|producer| producer.enter(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        producer::with(|producer| producer.exit(span.into_u64()));
    }

    fn clone_span(&self, span: &Id) -> Id {
        producer::with(|producer| producer.retain(span.into_u64()));
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        producer::with(|producer| producer.release(span.into_u64())).unwrap_or(false)
    }

    fn current_span(&self) -> Current {
        match producer::with(|producer| producer.current_fixed()).flatten() {
            Some((id, metadata)) => Current::new(Id::from_u64(id), metadata),
            None => Current::none(),
        }
    }
}

/// Collects values with their types.
struct Collect<'a>(&'a mut Fields);

fn name(field: &Field) -> FieldName<'static> {
    // The `tracing` crate allows 32 fields.
    u16::try_from(field.index()).map_or(FieldName::Text(field.name()), FieldName::Index)
}

impl Visit for Collect<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.plain(name(field), Value::Float(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.plain(name(field), Value::Signed(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.plain(name(field), Value::Unsigned(value));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.0.formatted(name(field), format_args!("{value}"));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.0.formatted(name(field), format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.plain(name(field), Value::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.plain(name(field), Value::Text(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.0.formatted(name(field), format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.formatted(name(field), format_args!("{value:?}"));
    }
}
