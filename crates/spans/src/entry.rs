//! What became of a guest's records, for whoever makes spans of them.

use crate::attributes::{Attribute, Otel};
use crate::callsite::CallsiteInfo;
use std::sync::Arc;

/// Something that happened during a call, in order. Times are Unix time in nanoseconds, spans are the
/// host's numbers, which are never used twice in one sandbox; 0 is the call itself.
#[derive(Debug, Clone, PartialEq)]
pub enum TraceEntry {
    /// A callsite that is used from here on.
    Callsite(Arc<CallsiteInfo>),
    /// A span begins.
    Open {
        /// Its number.
        span: u32,
        /// That of the span around it.
        parent: u32,
        /// [`CallsiteInfo::number`].
        callsite: u32,
        /// When.
        at: u64,
        /// What is known of it.
        attributes: Vec<Attribute>,
        /// What its fields say of itself.
        otel: Option<Box<Otel>>,
    },
    /// More of a span is known.
    Edit {
        /// Its number.
        span: u32,
        /// What is known in addition.
        attributes: Vec<Attribute>,
        /// What its fields say of itself.
        otel: Option<Box<Otel>>,
    },
    /// A span follows from another one.
    Link {
        /// Its number.
        span: u32,
        /// That of the other: one of the last 4,096 that began, if it has ended.
        to: u32,
    },
    /// A span ends.
    Close {
        /// Its number.
        span: u32,
        /// When.
        at: u64,
        /// By what: 0 by the guest, 1 by the call's return, 2 by the guest's being stopped, 3 by a panic
        /// that unwound the guest's stack.
        ending: u8,
    },
    /// Something happens.
    Event {
        /// The span it belongs to.
        span: u32,
        /// [`CallsiteInfo::number`].
        callsite: u32,
        /// When.
        at: u64,
        /// What is known of it.
        attributes: Vec<Attribute>,
    },
    /// The guest calls a host function.
    HostCall {
        /// The span around it.
        span: u32,
        /// Number of the import.
        function: u32,
        /// When.
        at: u64,
    },
    /// The guest goes on behind that, or never will.
    HostReturn {
        /// When.
        at: u64,
        /// Nanoseconds for which it has waited for a processor with the answer at hand.
        waited: u64,
        /// Whether it was stopped instead.
        is_stopped: bool,
    },
    /// The guest begins to initialise. Nothing says so of a call.
    Start {
        /// When.
        at: u64,
    },
    /// What was wrong with the records of the call.
    Counts(Counts),
}

/// How often something was wrong with a guest's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Events that the guest could not write, and records beyond the limit of a call.
    pub dropped: u64,
    /// Batches and records that could not be read.
    pub malformed: u64,
    /// Records of spans and callsites that are not known.
    pub unknown_ids: u64,
    /// Spans that were opened twice.
    pub duplicates: u64,
    /// Spans beyond the limit of live ones.
    pub live_spans: u64,
    /// Records that came before the start of the call.
    pub before_start: u64,
    /// Times outside of the call or before the record before, which were moved.
    pub moved: u64,
}

impl Counts {
    pub(crate) const NAMES: [&'static str; 7] =
        ["dropped", "malformed", "unknownIds", "duplicates", "liveSpans", "beforeStart", "moved"];

    pub(crate) const fn values(&self) -> [u64; 7] {
        [
            self.dropped,
            self.malformed,
            self.unknown_ids,
            self.duplicates,
            self.live_spans,
            self.before_start,
            self.moved,
        ]
    }

    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.values().iter().sum()
    }

    /// Whether nothing was wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}
