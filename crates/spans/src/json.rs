//! What became of a guest's records as JSON, for JavaScript.

use crate::attributes::{Attribute, AttributeValue, Otel};
use crate::entry::{Counts, TraceEntry};
use ampoule_wire::trace::Kind;

/// `entries` as JSON: an array of arrays, each with the number of its kind first. Times are
/// `[seconds, nanoseconds]` in two places. Integers and whole floats beyond 2^53, and floats that are not
/// finite, are texts: JavaScript cannot tell them, and exporters take a whole number for an integer of 64
/// bits, which a collector refuses with the whole request if it is none.
#[must_use]
pub fn to_json(entries: &[TraceEntry]) -> String {
    write_slice(entries.iter(), entries.len(), usize::MAX).0
}

/// The first `count` of `entries` as [`to_json`] writes them, or as many as take `bytes` bytes, and how many
/// that are: at least one, if there is one. `[10]` says that these are not all.
pub(crate) fn write_slice<'a>(
    mut entries: impl ExactSizeIterator<Item = &'a TraceEntry>,
    count: usize,
    bytes: usize,
) -> (String, usize) {
    let mut out = String::with_capacity(2 + 96 * count);
    let mut written = 0;
    out.push('[');
    while written < count
        && out.len() <= bytes
        && let Some(entry) = entries.next()
    {
        if written > 0 {
            out.push(',');
        }
        write_entry(&mut out, entry);
        written += 1;
    }
    if entries.len() > 0 {
        out.push_str(if written > 0 { ",[10]" } else { "[10]" });
    }
    out.push(']');
    (out, written)
}

fn write_entry(out: &mut String, entry: &TraceEntry) {
    match entry {
        TraceEntry::Callsite(site) => {
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
        TraceEntry::Open { span, parent, callsite, at, attributes, otel } => {
            write_head(out, 1, &[*span, *parent, *callsite]);
            write_time(out, *at);
            write_attributes(out, attributes);
            write_otel(out, otel.as_deref());
        }
        TraceEntry::Edit { span, attributes, otel } => {
            write_head(out, 2, &[*span]);
            write_attributes(out, attributes);
            write_otel(out, otel.as_deref());
        }
        TraceEntry::Close { span, at, ending } => {
            write_head(out, 3, &[*span]);
            write_time(out, *at);
            write_numbers(out, &[u32::from(*ending)]);
        }
        TraceEntry::Event { span, callsite, at, attributes } => {
            write_head(out, 4, &[*span, *callsite]);
            write_time(out, *at);
            write_attributes(out, attributes);
        }
        TraceEntry::HostCall { span, function, at } => {
            write_head(out, 5, &[*span, *function]);
            write_time(out, *at);
        }
        TraceEntry::HostReturn { at, waited, is_stopped } => {
            write_head(out, 6, &[u32::from(*is_stopped)]);
            write_time(out, *at);
            out.push(',');
            write_number(out, *waited);
        }
        TraceEntry::Link { span, to } => write_head(out, 8, &[*span, *to]),
        TraceEntry::Start { at } => {
            write_head(out, 9, &[]);
            write_time(out, *at);
        }
        TraceEntry::Counts(counts) => {
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

/// Nothing, or a comma and `[kind, name, is_ok, message]`, each `null` if it is not said.
fn write_otel(out: &mut String, otel: Option<&Otel>) {
    let Some(Otel { kind, name, is_ok, message }) = otel else { return };
    let text = |out: &mut String, text: Option<&str>| match text {
        Some(text) => write_text(out, text),
        None => out.push_str("null"),
    };
    out.push_str(",[");
    match kind {
        Some(kind) => write_number(out, *kind as u8),
        None => out.push_str("null"),
    }
    out.push(',');
    text(out, name.as_deref());
    out.push_str(match is_ok {
        Some(true) => ",true,",
        Some(false) => ",false,",
        None => ",null,",
    });
    text(out, message.as_deref());
    out.push(']');
}

fn write_value(out: &mut String, value: &AttributeValue) {
    /// The largest integer up to which JavaScript's numbers tell all apart, and the same as a float. Every
    /// float beyond is whole.
    const SAFE: u64 = (1 << 53) - 1;
    const SAFE_FLOAT: f64 = 9_007_199_254_740_991.0;
    let mut number = itoa::Buffer::new();
    let (text, is_safe) = match value {
        AttributeValue::Bool(value) => (if *value { "true" } else { "false" }, true),
        AttributeValue::Signed(value) => (number.format(*value), value.unsigned_abs() <= SAFE),
        AttributeValue::Unsigned(value) => (number.format(*value), *value <= SAFE),
        AttributeValue::Float(value) if value.is_nan() => ("NaN", false),
        AttributeValue::Float(value) if value.is_infinite() => {
            (if *value > 0.0 { "Infinity" } else { "-Infinity" }, false)
        }
        AttributeValue::Float(value) => {
            // The shortest text that is the same number again.
            let text = format!("{value:?}");
            return if value.abs() <= SAFE_FLOAT {
                out.push_str(&text)
            } else {
                write_text(out, &text)
            };
        }
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
    use super::{Attribute, AttributeValue, Counts, Otel, TraceEntry, to_json, write_slice};
    use crate::attributes::SpanKind;

    fn json(value: AttributeValue) -> String {
        let attributes = vec![Attribute { name: "n".into(), value }];
        to_json(&[TraceEntry::Edit { span: 1, attributes, otel: None }])
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
            (AttributeValue::Float(9_007_199_254_740_991.0), "9007199254740991.0"),
            (AttributeValue::Float(9_007_199_254_740_992.0), "\"9007199254740992.0\""),
            (AttributeValue::Float(-9.3e18), "\"-9.3e18\""),
            (AttributeValue::Float(1e300), "\"1e300\""),
            (AttributeValue::Float(f64::MIN), "\"-1.7976931348623157e308\""),
            (AttributeValue::Float(5e-324), "5e-324"),
            (AttributeValue::Float(-0.0), "-0.0"),
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
        let back = at + 1_000_000_000;
        let entries = [
            TraceEntry::HostCall { span: 3, function: 2, at },
            TraceEntry::HostReturn { at: back, waited: 5, is_stopped: true },
            TraceEntry::Start { at },
            TraceEntry::Link { span: 4, to: 3 },
        ];
        assert_eq!(
            to_json(&entries),
            "[[5,3,2,1700000000,42],[6,1,1700000001,42,5],[9,1700000000,42],[8,4,3]]"
        );
    }

    #[test]
    fn what_a_span_says_of_itself_comes_last() {
        let otel = Otel { kind: Some(SpanKind::Server), is_ok: Some(false), ..Otel::default() };
        let edit = |otel| TraceEntry::Edit { span: 1, attributes: Vec::new(), otel };
        assert_eq!(to_json(&[edit(Some(Box::new(otel)))]), "[[2,1,{},[1,null,false,null]]]");
        let otel = Otel { name: Some("\"".into()), message: Some("m".into()), ..Otel::default() };
        assert_eq!(to_json(&[edit(Some(Box::new(otel)))]), "[[2,1,{},[null,\"\\\"\",null,\"m\"]]]");
    }

    #[test]
    fn a_slice_has_at_most_so_many_entries_or_bytes_and_at_least_one() {
        let entries = [1, 2, 3].map(|span| TraceEntry::Link { span, to: 0 });
        let slice = |count, bytes| write_slice(entries.iter(), count, bytes);
        assert_eq!(slice(2, 1000), ("[[8,1,0],[8,2,0],[10]]".to_owned(), 2));
        assert_eq!(slice(9, 7), ("[[8,1,0],[10]]".to_owned(), 1));
        assert_eq!(slice(9, 8), ("[[8,1,0],[8,2,0],[10]]".to_owned(), 2));
        assert_eq!(slice(3, 1000), ("[[8,1,0],[8,2,0],[8,3,0]]".to_owned(), 3));
    }

    #[test]
    fn only_what_was_wrong_is_counted() {
        let counts = Counts { malformed: 2, moved: 1, ..Counts::default() };
        assert_eq!(to_json(&[TraceEntry::Counts(counts)]), "[[7,{\"malformed\":2,\"moved\":1}]]");
        assert_eq!(to_json(&[]), "[]");
    }
}
