//! What became of a guest's records, for whoever makes spans of them.

use crate::callsite::CallsiteInfo;
use ampoule_wire::trace::Kind;
use std::sync::Arc;

/// A named value of a span or event.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Its name.
    pub name: Arc<str>,
    /// Its value.
    pub value: AttributeValue,
}

/// A value with its type.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeValue {
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    Signed(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Text(Box<str>),
}

/// Something that happened during a call, in order. Times are Unix time in nanoseconds, spans are the
/// host's numbers, which are never used twice in one sandbox; 0 is the call itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
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
    },
    /// More of a span is known.
    Edit {
        /// Its number.
        span: u32,
        /// What is known in addition.
        attributes: Vec<Attribute>,
    },
    /// A span ends.
    Close {
        /// Its number.
        span: u32,
        /// When.
        at: u64,
        /// By whom: 0 by the guest, 1 by the call's return, 2 by the guest's being stopped.
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
        /// When.
        at: u64,
    },
    /// The guest goes on behind that, or never will.
    HostReturn {
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
    const NAMES: [&'static str; 7] =
        ["dropped", "malformed", "unknownIds", "duplicates", "liveSpans", "beforeStart", "moved"];

    const fn values(&self) -> [u64; 7] {
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

/// `entries` as JSON: an array of arrays, each with the number of its kind first. Times are
/// `[seconds, nanoseconds]` in two places, integers beyond 2^53 and floats that are not finite are texts,
/// because JavaScript could not tell them otherwise.
#[must_use]
pub fn to_json(entries: &[Entry]) -> String {
    let mut out = String::with_capacity(2 + 96 * entries.len());
    out.push('[');
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_entry(&mut out, entry);
    }
    out.push(']');
    out
}

fn write_entry(out: &mut String, entry: &Entry) {
    match entry {
        Entry::Callsite(site) => {
            write_head(out, 0, &[site.number]);
            out.push(',');
            write_text(out, &site.name);
            out.push(',');
            write_text(out, &site.target);
            let kind = match site.kind {
                Kind::Span => 0,
                Kind::Event => 1,
                Kind::Log => 2,
            };
            write_numbers(out, &[site.level as u32, kind]);
            out.push(',');
            match &site.file {
                Some(file) => write_text(out, file),
                None => out.push_str("null"),
            }
            match site.line {
                Some(line) => write_numbers(out, &[line]),
                None => out.push_str(",null"),
            }
        }
        Entry::Open { span, parent, callsite, at, attributes } => {
            write_head(out, 1, &[*span, *parent, *callsite]);
            write_time(out, *at);
            write_attributes(out, attributes);
        }
        Entry::Edit { span, attributes } => {
            write_head(out, 2, &[*span]);
            write_attributes(out, attributes);
        }
        Entry::Close { span, at, ending } => {
            write_head(out, 3, &[*span]);
            write_time(out, *at);
            write_numbers(out, &[u32::from(*ending)]);
        }
        Entry::Event { span, callsite, at, attributes } => {
            write_head(out, 4, &[*span, *callsite]);
            write_time(out, *at);
            write_attributes(out, attributes);
        }
        Entry::HostCall { span, at } => {
            write_head(out, 5, &[*span]);
            write_time(out, *at);
        }
        Entry::HostReturn { at } => {
            write_head(out, 6, &[]);
            write_time(out, *at);
        }
        Entry::Counts(counts) => {
            out.push_str("[7,{");
            let present = Counts::NAMES.iter().zip(counts.values()).filter(|(_, value)| *value > 0);
            for (index, (name, value)) in present.enumerate() {
                out.push_str(if index > 0 { ",\"" } else { "\"" });
                out.push_str(name);
                out.push_str("\":");
                write_number(out, value);
            }
            out.push('}');
        }
    }
    out.push(']');
}

/// The beginning of an entry: its kind and some numbers.
fn write_head(out: &mut String, kind: u8, numbers: &[u32]) {
    out.push('[');
    write_number(out, kind);
    write_numbers(out, numbers);
}

fn write_number(out: &mut String, number: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// Each with a comma before it, as are a time and attributes.
fn write_numbers(out: &mut String, numbers: &[u32]) {
    for &number in numbers {
        out.push(',');
        write_number(out, number);
    }
}

fn write_time(out: &mut String, at: u64) {
    out.push(',');
    write_number(out, at / 1_000_000_000);
    out.push(',');
    write_number(out, at % 1_000_000_000);
}

fn write_attributes(out: &mut String, attributes: &[Attribute]) {
    out.push_str(",{");
    for (index, Attribute { name, value }) in attributes.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_text(out, name);
        out.push(':');
        write_value(out, value);
    }
    out.push('}');
}

fn write_value(out: &mut String, value: &AttributeValue) {
    /// The largest integer up to which JavaScript's numbers tell all apart.
    const SAFE: u64 = (1 << 53) - 1;
    let mut number = itoa::Buffer::new();
    let (text, is_safe) = match value {
        AttributeValue::Bool(value) => (if *value { "true" } else { "false" }, true),
        AttributeValue::Signed(value) => (number.format(*value), value.unsigned_abs() <= SAFE),
        AttributeValue::Unsigned(value) => (number.format(*value), *value <= SAFE),
        AttributeValue::Float(value) if value.is_nan() => ("NaN", false),
        AttributeValue::Float(value) if value.is_infinite() => {
            (if *value > 0.0 { "Infinity" } else { "-Infinity" }, false)
        }
        // The shortest text that is the same number again.
        AttributeValue::Float(value) => return out.push_str(&format!("{value:?}")),
        AttributeValue::Text(text) => return write_text(out, text),
    };
    if is_safe {
        out.push_str(text);
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}

fn write_text(out: &mut String, text: &str) {
    // Most texts of programs need no escape.
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::{Attribute, AttributeValue, Counts, Entry, to_json};

    fn json(value: AttributeValue) -> String {
        let attributes = vec![Attribute { name: "n".into(), value }];
        to_json(&[Entry::Edit { span: 1, attributes }])
    }

    #[test]
    fn values_are_those_that_javascript_can_tell() {
        let cases = [
            (AttributeValue::Bool(true), "true"),
            (AttributeValue::Signed(-5), "-5"),
            (AttributeValue::Signed(i64::MIN), "\"-9223372036854775808\""),
            (AttributeValue::Unsigned((1 << 53) - 1), "9007199254740991"),
            (AttributeValue::Unsigned(1 << 53), "\"9007199254740992\""),
            (AttributeValue::Float(0.1), "0.1"),
            (AttributeValue::Float(1e300), "1e300"),
            (AttributeValue::Float(f64::NAN), "\"NaN\""),
            (AttributeValue::Float(f64::NEG_INFINITY), "\"-Infinity\""),
            (AttributeValue::Text("a\"\u{1}\\ä".into()), "\"a\\\"\\u0001\\\\ä\""),
        ];
        for (value, expected) in cases {
            assert_eq!(json(value), format!("[[2,1,{{\"n\":{expected}}}]]"));
        }
    }

    #[test]
    fn times_are_seconds_and_nanoseconds() {
        let at = 1_700_000_000_000_000_042;
        let entries =
            [Entry::HostCall { span: 3, at }, Entry::HostReturn { at: at + 1_000_000_000 }];
        assert_eq!(to_json(&entries), "[[5,3,1700000000,42],[6,1700000001,42]]");
    }

    #[test]
    fn only_what_was_wrong_is_counted() {
        let counts = Counts { malformed: 2, moved: 1, ..Counts::default() };
        assert_eq!(to_json(&[Entry::Counts(counts)]), "[[7,{\"malformed\":2,\"moved\":1}]]");
        assert_eq!(to_json(&[]), "[]");
    }
}
