//! What a guest is asked to tell of one call.

use ampoule_abi::channel::TRACE_DIRECTIVES_MAX;
use ampoule_wire::trace::Level;
use std::sync::Arc;

/// What the host wants to hear of, by level and target.
#[derive(Debug, PartialEq, Eq)]
pub struct Directives {
    text: Box<str>,
    level: Option<Level>,
}

/// Directives that no guest could be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectivesError {
    /// Too long.
    #[error("{length} bytes of trace directives, the limit is {TRACE_DIRECTIVES_MAX}")]
    TooLong {
        /// Their length in bytes.
        length: usize,
    },
    /// Not `level` or `target=level`.
    #[error(
        "`{directive}` is no trace directive: `level` or `target=level` is, with one of the levels off, error, warn, info, debug, trace"
    )]
    Malformed {
        /// The part that is not understood.
        directive: String,
    },
}

/// The W3C trace context of the span that a call belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceContext {
    /// Trace id.
    pub trace_id: [u8; 16],
    /// Span id.
    pub span_id: [u8; 8],
    /// Trace flags; bit 0 is *sampled*.
    pub flags: u8,
}

/// How one call is traced.
#[derive(Debug, Clone)]
pub struct CallTrace {
    /// What the host wants to hear of; `None`: nothing is followed, and the guest knows the context alone.
    pub directives: Option<Arc<Directives>>,
    /// The span that the call belongs to, for the guest to hand on.
    pub context: TraceContext,
    /// Unix time minus the monotonic clock, in nanoseconds: the caller's idea of what time it is.
    pub wall_offset: i128,
}

impl TraceContext {
    /// Reads a W3C `traceparent` of version 00: `00-<trace id>-<span id>-<flags>`, lower-case hexadecimal.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let is_known = parts.next()? == "00";
        let context = Self {
            trace_id: hexadecimal(parts.next()?)?,
            span_id: hexadecimal(parts.next()?)?,
            flags: hexadecimal::<1>(parts.next()?)?[0],
        };
        (is_known && parts.next().is_none()).then_some(context)
    }
}

fn hexadecimal<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_lower = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    if text.len() != 2 * N || !text.as_bytes().iter().all(is_lower) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

impl Directives {
    /// Directives as in `RUST_LOG`: `level` or `target=level`, separated by commas; the one with the longest
    /// matching target counts, and nothing is wanted where none matches.
    ///
    /// # Errors
    /// [`DirectivesError`].
    pub fn parse(text: &str) -> Result<Self, DirectivesError> {
        if text.len() as u64 > TRACE_DIRECTIVES_MAX {
            return Err(DirectivesError::TooLong { length: text.len() });
        }
        let mut most = None;
        for directive in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (_, level) = directive.rsplit_once('=').unwrap_or(("", directive));
            let level = match level.trim() {
                "off" => None,
                "error" => Some(Level::Error),
                "warn" => Some(Level::Warn),
                "info" => Some(Level::Info),
                "debug" => Some(Level::Debug),
                "trace" => Some(Level::Trace),
                _ => {
                    let directive = directive.chars().take(64).collect();
                    return Err(DirectivesError::Malformed { directive });
                }
            };
            most = most.max(level);
        }
        Ok(Self { text: text.into(), level: most })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The most verbose level of all, as in the control page.
    pub(crate) fn level(&self) -> u32 {
        self.level.map_or(0, |level| level as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::{Directives, DirectivesError, TraceContext};

    #[test]
    fn a_traceparent_is_read_whole_or_not_at_all() {
        let context =
            TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        assert_eq!((context.trace_id[0], context.span_id[7], context.flags), (0x0a, 0x31, 1));
        for malformed in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(malformed), None, "{malformed:?}");
        }
    }

    #[test]
    fn the_most_verbose_directive_is_the_level() {
        let level = |text: &str| Directives::parse(text).map(|directives| directives.level());
        assert_eq!(level("info"), Ok(3));
        assert_eq!(level("warn, a::b=trace,c=off"), Ok(5));
        assert_eq!(level("off"), Ok(0));
        assert_eq!(level(""), Ok(0));
    }

    #[test]
    fn what_is_no_directive_is_named() {
        let malformed =
            |directive: &str| Err(DirectivesError::Malformed { directive: directive.to_owned() });
        assert_eq!(Directives::parse("info,a=loud"), malformed("a=loud"));
        assert_eq!(Directives::parse("INFO"), malformed("INFO"));
        let long = "a=info,".repeat(300);
        assert_eq!(Directives::parse(&long), Err(DirectivesError::TooLong { length: 2100 }));
    }
}
