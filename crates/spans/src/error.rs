//! Why a record was left out, and how that is counted.

use crate::entry::Counts;
use crate::time::TimeError;

/// Why a record was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// A span or event before the record that says when the call began.
    #[error("Guest start TSC not set before opening guest span")]
    BeforeStart,
    /// A time could not be converted.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// A callsite that the guest has not told of.
    #[error("unknown callsite {id}")]
    UnknownCallsite {
        /// The guest's number.
        id: u32,
    },
    /// A span that is not open.
    #[error("unknown span {id}")]
    UnknownSpan {
        /// The guest's number.
        id: u64,
    },
    /// A span that is open already, or one without a number.
    #[error("span {id} is open already")]
    Duplicate {
        /// The guest's number.
        id: u64,
    },
    /// Too many open spans.
    #[error("{limit} spans are open, no more is followed")]
    LiveSpans {
        /// The limit.
        limit: usize,
    },
    /// Too many or too large callsites.
    #[error("too many callsites")]
    Callsites,
    /// Too much for one call.
    #[error("more than {limit} bytes of trace records during one call")]
    Bytes {
        /// The limit.
        limit: u64,
    },
}

impl Counts {
    /// Counts a record that was left out.
    pub(crate) const fn count(&mut self, error: TraceError) {
        let counter = match error {
            TraceError::BeforeStart => &mut self.before_start,
            TraceError::Time(_) | TraceError::Bytes { .. } | TraceError::Callsites => {
                &mut self.dropped
            }
            TraceError::UnknownCallsite { .. } | TraceError::UnknownSpan { .. } => {
                &mut self.unknown_ids
            }
            TraceError::Duplicate { .. } => &mut self.duplicates,
            TraceError::LiveSpans { .. } => &mut self.live_spans,
        };
        *counter += 1;
    }
}
