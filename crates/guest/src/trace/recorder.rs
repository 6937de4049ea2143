//! The recorder: numbers spans and callsites and writes records about them.

use super::batch::Batch;
use super::callsites::{Callsites, NamedCallsite, Number, Origin};
use super::fields::{Fields, MESSAGE};
use super::spans::{NO_SPAN, Span, Spans};
use crate::channel::trace::{TraceArea, timestamp};
use ampoule_wire::trace::{Callsite, FieldName, Kind, Record, Value};
use std::borrow::Cow;

/// To which span something belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parent {
    /// The current one.
    Current,
    /// The one with this id, or none.
    Id(u64),
}

/// What the host was told, and the batch in which it is told more.
#[derive(Debug)]
pub(super) struct Recorder {
    area: TraceArea,
    batch: Batch,
    pub(super) callsites: Callsites,
    pub(super) spans: Spans,
    /// Counts traced calls, and times between them: what was told in one is unknown in another.
    call: u64,
    /// Which callsites the host knows.
    generation: u64,
}

impl Recorder {
    pub(super) fn new(area: TraceArea) -> Self {
        Self {
            area,
            batch: Batch::new(area),
            callsites: Callsites::default(),
            spans: Spans::default(),
            call: 0,
            generation: 0,
        }
    }

    /// A call begins, at a time and in a generation if the host wants to hear of it.
    pub(super) fn call_begins(&mut self, wanted: Option<(u64, u64)>) {
        self.call += 1;
        let Some((tsc, generation)) = wanted else { return };
        self.generation = generation;
        self.batch.call_begins();
        self.spans.exit_all();
        self.append(&mut Record::CallStart { tsc });
    }

    /// Opens a span, and tells the host of it if it is wanted.
    pub(super) fn open(
        &mut self,
        origin: Origin<'_>,
        parent: Parent,
        wanted: bool,
        fields: &mut Fields,
    ) -> u64 {
        let around = match parent {
            Parent::Current => self.spans.current().map_or(NO_SPAN, |(id, _)| id),
            Parent::Id(id) => id,
        };
        let metadata = match origin {
            Origin::Static(metadata) => Some(metadata),
            Origin::Named(_) => None,
        };
        let id = self.spans.open(Span::new(around, self.call, false, metadata));
        if !wanted {
            return id;
        }
        let parent = self.spans.told(around, self.call);
        let Some(callsite) = self.callsite(origin, fields) else { return id };
        let truncated = fields.truncated();
        let is_told = fields.with(|fields| {
            // The last thing before it is written, so that the span does not contain its own cost.
            let tsc = timestamp();
            let fields = Cow::Borrowed(fields);
            let closed = 0;
            let mut record =
                Record::OpenSpan { id, parent, callsite, tsc, fields, truncated, closed };
            self.append(&mut record)
        });
        if is_told {
            self.spans.tell(id);
        }
        id
    }

    /// Tells more fields of a span of which the host was told.
    pub(super) fn edit(&mut self, id: u64, fields: &mut Fields) {
        // The span itself or nothing: its fields would be wrong on the one around it.
        if self.spans.told(id, self.call) == id && id != NO_SPAN {
            let truncated = fields.truncated();
            fields.with(|fields| {
                self.append(&mut Record::EditSpan { id, fields: Cow::Borrowed(fields), truncated })
            });
        }
    }

    /// Tells that a span follows from another one, which may be closed.
    pub(super) fn link(&mut self, id: u64, from: u64) {
        let is_told = |id| self.spans.told(id, self.call) == id && id != NO_SPAN;
        if is_told(id) && (is_told(from) || self.spans.get(from).is_none()) {
            self.append(&mut Record::LinkSpan { id, from });
        }
    }

    /// Tells of an event.
    pub(super) fn event(&mut self, origin: Origin<'_>, parent: Parent, fields: &mut Fields) {
        let span = self.told(parent);
        let Some(callsite) = self.callsite(origin, fields) else { return };
        let truncated = fields.truncated();
        fields.with(|fields| {
            // Behind whatever the values did: the host expects the records in the order of their times.
            let tsc = timestamp();
            let fields = Cow::Borrowed(fields);
            self.append(&mut Record::Event { span, callsite, tsc, fields, truncated })
        });
    }

    /// Takes a handle back, and those that closed spans had of the spans around them.
    pub(super) fn release(&mut self, id: u64, tsc: u64) -> bool {
        let mut closed = self.spans.release(id);
        let was_last = closed.is_some();
        let mut id = id;
        while let Some(span) = closed {
            let unwinding = std::thread::panicking() && !span.unwinding;
            // Spans of another call were ended by the host, with that call.
            let is_told = span.told && span.call == self.call;
            if is_told && (unwinding || !self.batch.close(id, tsc)) {
                self.append(&mut Record::CloseSpan { id, tsc, unwinding });
            }
            id = span.parent;
            closed = self.spans.release(id);
        }
        was_last
    }

    /// The span that the host may be told of.
    pub(super) fn told(&self, parent: Parent) -> u64 {
        let id = match parent {
            Parent::Current => self.spans.current().map_or(NO_SPAN, |(id, _)| id),
            Parent::Id(id) => id,
        };
        self.spans.told(id, self.call)
    }

    /// The number of a callsite, of which the host is told if it does not know it. `None` if it cannot
    /// be, which counts as the event that is lost with it. What a shared callsite does not say goes
    /// into the fields.
    fn callsite(&mut self, origin: Origin<'_>, fields: &mut Fields) -> Option<u32> {
        let number = self.callsites.number(origin);
        if let Origin::Named(site) = origin
            && number.shared
        {
            for (name, text) in [("name", site.name), ("target", site.target)] {
                if !text.is_empty() {
                    fields.plain(FieldName::Text(name), Value::Text(text));
                }
            }
        }
        if !self.callsites.is_told(number, self.generation) {
            if !self.append(&mut Record::Callsite(describe(origin, number))) {
                return None;
            }
            self.callsites.tell(number, self.generation);
        }
        Some(number.number)
    }

    fn append(&mut self, record: &mut Record<'_>) -> bool {
        let is_written = self.batch.append(record);
        if !is_written {
            Batch::count_dropped(&self.area);
        }
        is_written
    }
}

fn describe(origin: Origin<'_>, number: Number) -> Callsite<'_> {
    match origin {
        #[cfg(feature = "tracing")]
        Origin::Static(metadata) => super::callsites::describe(metadata, number.number),
        #[cfg(not(feature = "tracing"))]
        Origin::Static(nothing) => match *nothing {},
        Origin::Named(site) => {
            let NamedCallsite { kind, level, .. } = site;
            let fields: &[&str] = if kind == Kind::Span { &[] } else { &[MESSAGE] };
            let known = if number.shared {
                NamedCallsite { name: "", target: "", file: None, line: 0, ..site }
            } else {
                site
            };
            Callsite {
                id: number.number,
                name: known.name,
                target: known.target,
                level,
                kind,
                file: known.file,
                line: known.line,
                fields: Cow::Borrowed(fields),
            }
        }
    }
}
