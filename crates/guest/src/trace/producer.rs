//! The producer: what the host wants of a call, and collecting the values of spans and events.

use super::batch::Batch;
use super::callsites::{Callsites, Metadata, Origin};
use super::directives::Directives;
use super::fields::Fields;
use super::recorder::{Parent, Recorder};
use super::spans::NO_SPAN;
use crate::channel::trace::{TraceArea, timestamp};
use ampoule_wire::trace::Level;
use std::cell::{Cell, RefCell};

/// Spans and events that values may make while they are collected, one inside the other. A value that
/// makes another without end would overflow the stack.
const NESTING_MAX: u32 = 8;

thread_local! {
    /// That of the sandbox's one thread; `None` on plain Linux and where the host takes no batches.
    static PRODUCER: Cell<Option<&'static Producer>> = const { Cell::new(None) };
}

/// Writes records. No code of the guest's runs while `recorder` is borrowed, but for its allocator: what
/// that does is counted as dropped.
pub(crate) struct Producer {
    area: TraceArea,
    /// The most verbose level that the host wants in this call; 0 nothing.
    level: Cell<u8>,
    directives: RefCell<Directives>,
    /// The generation and the level of which the directives are.
    directives_of: Cell<Option<(u64, u8)>>,
    /// Memory for collecting; taken out while it is used.
    fields: Cell<Fields>,
    nesting: Cell<u32>,
    recorder: RefCell<Recorder>,
}

/// Runs `body` with the producer, if there is one.
pub(crate) fn with<T>(body: impl FnOnce(&'static Producer) -> T) -> Option<T> {
    PRODUCER.get().map(body)
}

/// Makes `area` the place where this thread's spans and events go.
pub(super) fn install(area: TraceArea) {
    let producer = Producer {
        area,
        level: Cell::new(0),
        directives: RefCell::default(),
        directives_of: Cell::new(None),
        fields: Cell::default(),
        nesting: Cell::new(0),
        recorder: RefCell::new(Recorder::new(area)),
    };
    PRODUCER.set(Some(Box::leak(Box::new(producer))));
}

impl Producer {
    /// A call begins: looks at what the host wants to hear of it. True if that differs from before.
    ///
    /// Costs a load or two while nothing was wanted and nothing is, and writes nothing then: a page that
    /// stays clean need not be restored.
    pub(super) fn call_begins(&self) -> bool {
        let level = self.area.level();
        let before = self.level.get();
        if level == 0 && before == 0 {
            return false;
        }
        self.level.set(level);
        let tsc = timestamp();
        let generation = self.area.generation();
        let directives_of = Some((generation, level));
        let is_new = level > 0 && self.directives_of.replace(directives_of) != directives_of;
        if is_new {
            let directives = Directives::parse(&self.area.directives(), level);
            self.directives.replace(directives);
        }
        self.nesting.set(0);
        self.change(|recorder| {
            recorder.call_begins((level > 0).then_some((tsc, generation)));
        });
        is_new || level != before
    }

    /// Nothing is wanted until the next call begins.
    pub(super) fn start_ends(&self) {
        self.level.set(0);
    }

    /// Whether the host wants anything in this call.
    pub(crate) fn is_on(&self) -> bool {
        self.level.get() > 0
    }

    /// Whether the host wants spans and events of `target` at `level` in this call.
    pub(crate) fn allows(&self, level: Level, target: &str) -> bool {
        self.is_on()
            && self.directives.try_borrow().is_ok_and(|directives| directives.allow(level, target))
    }

    /// The most verbose level of anything that is wanted; 0 for nothing.
    pub(crate) fn max_level(&self) -> u8 {
        if !self.is_on() {
            return 0;
        }
        self.directives.try_borrow().map_or(0, |directives| directives.max_level())
    }

    /// Opens a span with one handle and the fields that `collect` adds. 0 if that is impossible.
    pub(crate) fn open(
        &self,
        origin: Origin<'_>,
        parent: Parent,
        collect: impl FnOnce(&mut Fields),
    ) -> u64 {
        let wanted = self.is_on();
        let collect = |fields: &mut Fields| {
            if wanted {
                collect(fields)
            }
        };
        self.collected(collect, |recorder, fields| recorder.open(origin, parent, wanted, fields))
            .unwrap_or(NO_SPAN)
    }

    /// Adds fields to an open span.
    pub(crate) fn edit(&self, id: u64, collect: impl FnOnce(&mut Fields)) {
        if self.is_on() {
            self.collected(collect, |recorder, fields| recorder.edit(id, fields));
        }
    }

    /// A span follows from another one.
    #[cfg(feature = "tracing")]
    pub(crate) fn link(&self, id: u64, from: u64) {
        if self.is_on() && self.change(|recorder| recorder.link(id, from)).is_none() {
            Batch::count_dropped(&self.area);
        }
    }

    /// Something happens, in a span.
    pub(crate) fn event(
        &self,
        origin: Origin<'_>,
        parent: Parent,
        collect: impl FnOnce(&mut Fields),
    ) {
        if self.is_on() {
            self.collected(collect, |recorder, fields| recorder.event(origin, parent, fields));
        }
    }

    /// Counts a further handle of a span.
    pub(crate) fn retain(&self, id: u64) {
        self.change(|recorder| recorder.spans.retain(id));
    }

    /// Takes a handle back; true if it was the last one, which closes the span.
    pub(crate) fn release(&self, id: u64) -> bool {
        let tsc = timestamp();
        self.change(|recorder| recorder.release(id, tsc)).unwrap_or(false)
    }

    /// Enters a span.
    pub(crate) fn enter(&self, id: u64) {
        self.change(|recorder| recorder.spans.enter(id));
    }

    /// Leaves a span.
    pub(crate) fn exit(&self, id: u64) {
        self.change(|recorder| recorder.spans.exit(id));
    }

    /// The current span as the host knows it, 0 for none.
    pub(crate) fn current(&self) -> u64 {
        if !self.is_on() {
            return NO_SPAN;
        }
        self.change(|recorder| recorder.told(Parent::Current)).unwrap_or(NO_SPAN)
    }

    /// The innermost entered span of the `tracing` crate's.
    pub(super) fn current_fixed(&self) -> Option<(u64, &'static Metadata)> {
        self.change(|recorder| recorder.spans.current_fixed()).flatten()
    }

    /// Looks at the callsites.
    pub(crate) fn callsites<T>(&self, look: impl FnOnce(&mut Callsites) -> T) -> Option<T> {
        self.change(|recorder| look(&mut recorder.callsites))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Recorder) -> T) -> Option<T> {
        self.recorder.try_borrow_mut().ok().map(|mut recorder| change(&mut recorder))
    }

    /// Collects fields, which runs code of the guest's, and then lets `write` write them.
    fn collected<T>(
        &self,
        collect: impl FnOnce(&mut Fields),
        write: impl FnOnce(&mut Recorder, &mut Fields) -> T,
    ) -> Option<T> {
        let nesting = self.nesting.get();
        if nesting >= NESTING_MAX {
            Batch::count_dropped(&self.area);
            return None;
        }
        let mut fields = self.fields.take();
        fields.clear(self.area.capacity());
        self.nesting.set(nesting + 1);
        collect(&mut fields);
        self.nesting.set(nesting);
        let written = self.change(|recorder| write(recorder, &mut fields));
        if written.is_none() {
            Batch::count_dropped(&self.area);
        }
        self.fields.set(fields);
        written
    }
}
