//! The spans that are open, and which of them are entered.

use super::callsites::Metadata;

/// An id that no span has.
pub(crate) const NO_SPAN: u64 = 0;

/// Spans by id. An id is a place in the table (the low half, from 1) and a generation (the high half)
/// that changes when the place is given away again, so that no id is ever that of two spans.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Entered and not left, the outermost first. May name spans that are closed.
    entered: Vec<u64>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    /// `None` while the place is free.
    span: Option<Span>,
}

/// What is known of an open span.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// The span around it, which stays open as long as this one is; [`NO_SPAN`] for none.
    pub(crate) parent: u64,
    /// The number of the call in which it was opened. The host ends a call's spans with the call.
    pub(crate) call: u64,
    /// Whether the host was told of it.
    pub(crate) told: bool,
    /// Whether it was opened while a panic unwinds the stack, which then is not what closes it.
    pub(crate) unwinding: bool,
    /// Where it comes from, if that is the `tracing` crate.
    pub(crate) metadata: Option<&'static Metadata>,
    /// Handles, and spans inside it.
    references: usize,
}

impl Span {
    /// A span with one handle.
    pub(crate) fn new(
        parent: u64,
        call: u64,
        told: bool,
        metadata: Option<&'static Metadata>,
    ) -> Self {
        let unwinding = std::thread::panicking();
        Self { parent, call, told, unwinding, metadata, references: 1 }
    }
}

impl Spans {
    /// Opens a span, which keeps its parent open, and gives its id.
    pub(crate) fn open(&mut self, span: Span) -> u64 {
        self.retain(span.parent);
        let index = self.free.pop().unwrap_or_else(|| {
            let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
            self.slots.push(Slot { generation: 0, span: None });
            index
        });
        let Some(slot) = self.slots.get_mut(place(index)) else { return NO_SPAN };
        slot.span = Some(span);
        u64::from(slot.generation) << 32 | (u64::from(index) + 1)
    }

    /// The open span with this id.
    pub(crate) fn get(&self, id: u64) -> Option<&Span> {
        let (index, generation) = split(id)?;
        let slot = self.slots.get(place(index)).filter(|slot| slot.generation == generation)?;
        slot.span.as_ref()
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut Span> {
        let (index, generation) = split(id)?;
        let slot = self.slots.get_mut(place(index))?;
        if slot.generation == generation { slot.span.as_mut() } else { None }
    }

    /// Says that the host was told of the span.
    pub(crate) fn tell(&mut self, id: u64) {
        if let Some(span) = self.get_mut(id) {
            span.told = true;
        }
    }

    /// Counts a further handle.
    pub(crate) fn retain(&mut self, id: u64) {
        if let Some(span) = self.get_mut(id) {
            span.references = span.references.saturating_add(1);
        }
    }

    /// Takes a handle back. If it was the last one the span is closed and given, and its parent has
    /// one less.
    pub(crate) fn release(&mut self, id: u64) -> Option<Span> {
        let span = self.get_mut(id)?;
        span.references = span.references.saturating_sub(1);
        if span.references > 0 {
            return None;
        }
        let (index, _) = split(id)?;
        let slot = self.slots.get_mut(place(index))?;
        let span = slot.span.take()?;
        // A place whose generations are used up is not given away again.
        if let Some(generation) = slot.generation.checked_add(1) {
            slot.generation = generation;
            self.free.push(index);
        }
        Some(span)
    }

    /// Enters a span.
    pub(crate) fn enter(&mut self, id: u64) {
        self.entered.push(id);
    }

    /// Leaves a span, which need not be the innermost one.
    pub(crate) fn exit(&mut self, id: u64) {
        if let Some(at) = self.entered.iter().rposition(|&entered| entered == id) {
            self.entered.remove(at);
        }
    }

    /// Leaves every span.
    pub(crate) fn exit_all(&mut self) {
        self.entered.clear();
    }

    /// The innermost entered span that is open, with its id.
    pub(crate) fn current(&self) -> Option<(u64, &Span)> {
        self.entered.iter().rev().find_map(|&id| self.get(id).map(|span| (id, span)))
    }

    /// The innermost entered span that is open and of the `tracing` crate.
    pub(crate) fn current_fixed(&self) -> Option<(u64, &'static Metadata)> {
        self.entered.iter().rev().find_map(|&id| self.get(id)?.metadata.map(|from| (id, from)))
    }

    /// The nearest span, from this one outwards, of which the host was told in this call.
    pub(crate) fn told(&self, mut id: u64, call: u64) -> u64 {
        while let Some(span) = self.get(id) {
            if span.call != call {
                return NO_SPAN;
            }
            if span.told {
                return id;
            }
            id = span.parent;
        }
        NO_SPAN
    }
}

/// Place and generation of an id.
fn split(id: u64) -> Option<(u32, u32)> {
    let index = u32::try_from(id & u64::from(u32::MAX)).ok()?.checked_sub(1)?;
    Some((index, u32::try_from(id >> 32).ok()?))
}

fn place(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(spans: &mut Spans, parent: u64) -> u64 {
        spans.open(Span::new(parent, 1, true, None))
    }

    #[test]
    fn no_id_is_given_twice_and_none_is_0() {
        let mut spans = Spans::default();
        let mut ids = std::collections::HashSet::new();
        for _ in 0..100 {
            let pair = [open(&mut spans, NO_SPAN), open(&mut spans, NO_SPAN)];
            for id in pair {
                assert!(id != NO_SPAN && ids.insert(id));
                assert!(spans.release(id).is_some());
                assert!(spans.release(id).is_none() && spans.get(id).is_none());
            }
        }
        assert_eq!(spans.slots.len(), 2);
    }

    #[test]
    fn a_span_stays_open_for_its_handles_and_for_those_inside_it() {
        let mut spans = Spans::default();
        let outer = open(&mut spans, NO_SPAN);
        let inner = open(&mut spans, outer);
        spans.retain(inner);
        assert!(spans.release(outer).is_none());
        assert!(spans.release(inner).is_none());
        let closed = spans.release(inner).unwrap();
        assert_eq!(closed.parent, outer);
        assert!(spans.release(closed.parent).is_some());
    }

    #[test]
    fn the_current_span_is_the_innermost_that_is_open() {
        let mut spans = Spans::default();
        let [outer, inner] = [open(&mut spans, NO_SPAN), open(&mut spans, NO_SPAN)];
        spans.enter(outer);
        spans.enter(inner);
        let current = |spans: &Spans| spans.current().map(|(id, _)| id);
        assert_eq!(current(&spans), Some(inner));
        spans.exit(outer);
        assert_eq!(current(&spans), Some(inner));
        spans.enter(outer);
        spans.release(outer);
        assert_eq!(current(&spans), Some(inner));
        spans.exit(77);
        spans.exit_all();
        assert_eq!(current(&spans), None);
    }

    #[test]
    fn what_the_host_was_not_told_of_stands_for_what_is_around_it() {
        let mut spans = Spans::default();
        let outer = open(&mut spans, NO_SPAN);
        let hidden = spans.open(Span::new(outer, 1, false, None));
        let inner = spans.open(Span::new(hidden, 1, false, None));
        assert_eq!(spans.told(inner, 1), outer);
        assert_eq!(spans.told(inner, 2), NO_SPAN);
        spans.tell(inner);
        assert_eq!(spans.told(inner, 1), inner);
        assert_eq!(spans.told(u64::MAX, 1), NO_SPAN);
    }
}
