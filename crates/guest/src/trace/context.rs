//! The W3C trace context that a call comes with.

use crate::channel::HeaderContext;
use std::cell::Cell;
use std::fmt;

thread_local! {
    /// That of the call that is being answered.
    static CONTEXT: Cell<Option<TraceContext>> = const { Cell::new(None) };
}

/// Where a call stands in the trace of whoever made it, by the W3C's recommendation
/// [Trace Context](https://www.w3.org/TR/trace-context/).
///
/// Displays as a `traceparent` header, for a guest that hands it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span of the call, which is around every span of the guest.
    pub span_id: [u8; 8],
    /// Trace flags; bit 0 says that the trace is being recorded.
    pub flags: u8,
}

impl TraceContext {
    /// Whether the trace is being recorded.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace = u128::from_be_bytes(self.trace_id);
        let span = u64::from_be_bytes(self.span_id);
        write!(formatter, "00-{trace:032x}-{span:016x}-{:02x}", self.flags)
    }
}

/// The context of the call that is being answered; `None` outside calls, on plain Linux, and when the
/// caller has none.
#[must_use]
pub fn context() -> Option<TraceContext> {
    CONTEXT.get()
}

/// Keeps a call's context until the next. An identity of zeros stands for none.
pub(crate) fn set(header: HeaderContext) {
    let HeaderContext { trace_id, span_id, flags } = header;
    let is_there = trace_id != [0; 16] && span_id != [0; 8];
    let context = is_there.then_some(TraceContext { trace_id, span_id, flags });
    // Nothing is written for calls without one: a page that stays clean need not be restored.
    if context != CONTEXT.get() {
        CONTEXT.set(context);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_displays_as_a_traceparent() {
        let mut header = HeaderContext { trace_id: [0x0a; 16], span_id: [0; 8], flags: 1 };
        set(header);
        assert_eq!(context(), None);
        header.span_id = [0, 1, 2, 3, 4, 5, 6, 0xff];
        set(header);
        let context = context().unwrap();
        let text = "00-0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a-00010203040506ff-01";
        assert_eq!(context.to_string(), text);
        assert!(context.is_sampled());
        set(HeaderContext::default());
        assert_eq!(super::context(), None);
    }
}
