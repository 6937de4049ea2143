//! Batches of trace records: decoded, assembled into spans, written as JSON.

use ampoule_spans::{Assembler, ClockPair, Ending, Limits, Timeline, TraceEntry, decode, to_json};
use ampoule_wire::trace::{Callsite, Encoder, Field, FieldName, Kind, Level, Record, Value};
use std::borrow::Cow;

const END: u64 = 2_000_000;

const fn at(time: u64) -> ClockPair {
    ClockPair { tsc: time, monotonic: time, window: 40 }
}

/// Whatever a guest publishes, spans are well-formed: each has one end, in a parent that was opened before,
/// at a time within the call; and the whole is valid JSON.
///
/// The first byte says where the batch is cut in two, as by a host call.
pub fn check(input: &[u8]) {
    let Some((&cut, bytes)) = input.split_first() else { return };
    if let Ok((_, rest)) = decode(bytes) {
        assert!(bytes.ends_with(rest));
    }
    let limits = Limits { live_spans: 8, bytes: 1 << 16 };
    let mut assembler = Assembler::new(limits);
    let timeline = Timeline::new(Some(at(1000)), Some(1_000_000_000), Some(0));
    assembler.begin_call(timeline, false);
    let (first, second) = bytes.split_at(bytes.len() * usize::from(cut) / 256);
    assembler.absorb(first, at(END / 2));
    assembler.host_call(1, 0, at(END / 2));
    assembler.host_answered(END / 2 + 1);
    assembler.host_return(at(END / 2 + 2), false);
    assembler.absorb(second, at(END));
    let ending = if cut % 2 == 0 { Ending::Returned } else { Ending::Stopped };
    assembler.end_call(at(END), ending);
    let entries = assembler.take();
    check_spans(&entries, limits.live_spans);
    let json: serde_json::Value =
        serde_json::from_str(&to_json(&entries)).expect("entries are valid JSON");
    assert_eq!(json.as_array().map_or(0, Vec::len), entries.len());
}

fn check_spans(entries: &[TraceEntry], live_spans: usize) {
    let mut open = Vec::new();
    let mut seen = 0;
    let mut latest = 0;
    let mut moment = |at: u64| {
        assert!((1000..=END).contains(&at) && at >= latest, "{at} after {latest}");
        latest = at;
    };
    for entry in entries {
        match *entry {
            TraceEntry::Open { span, parent, at, .. } => {
                moment(at);
                assert!(span > seen && (parent == 0 || open.contains(&parent)));
                seen = span;
                open.push(span);
                // One that has ended already takes no place.
                assert!(open.len() <= live_spans + 1);
            }
            TraceEntry::Close { span, at, .. } => {
                moment(at);
                let place = open.iter().position(|&each| each == span);
                open.remove(place.expect("only what is open is closed"));
            }
            TraceEntry::Edit { span, .. } => assert!(open.contains(&span)),
            TraceEntry::Link { span, to } => assert!(open.contains(&span) && to > 0 && to <= seen),
            TraceEntry::Event { span, at, .. } | TraceEntry::HostCall { span, at, .. } => {
                moment(at);
                assert!(span == 0 || open.contains(&span));
            }
            TraceEntry::HostReturn { at, .. } | TraceEntry::Start { at } => moment(at),
            TraceEntry::Callsite(_) | TraceEntry::Counts(_) => {}
        }
    }
    assert!(open.is_empty(), "everything that was opened is closed");
}

/// A typical call, and one record of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let names = ["user", "attempt"];
    let fields = [
        Field { name: FieldName::Index(0), value: Value::Text("Ada") },
        Field { name: FieldName::Index(1), value: Value::Unsigned(u64::MAX) },
        Field { name: FieldName::Text("ratio"), value: Value::Float(f64::NAN) },
        Field { name: FieldName::Text("done"), value: Value::Bool(true) },
    ];
    let fields = Cow::Borrowed(&fields[..]);
    let records = [
        Record::CallStart { tsc: 2000 },
        Record::Callsite(Callsite {
            id: 1,
            name: "work",
            target: "guest::work",
            level: Level::Info,
            kind: Kind::Span,
            file: Some("src/main.rs"),
            line: 7,
            fields: Cow::Borrowed(&names),
        }),
        Record::OpenSpan {
            id: 1,
            parent: 0,
            callsite: 1,
            tsc: 3000,
            fields: fields.clone(),
            truncated: false,
            closed: 0,
        },
        Record::OpenSpan {
            id: 2,
            parent: 1,
            callsite: 1,
            tsc: 3500,
            fields: fields.clone(),
            truncated: true,
            closed: 0,
        },
        Record::OpenSpan {
            id: 3,
            parent: 2,
            callsite: 1,
            tsc: 3600,
            fields: fields.clone(),
            truncated: false,
            closed: 3700,
        },
        Record::Event { span: 2, callsite: 1, tsc: 4000, fields: fields.clone(), truncated: false },
        Record::EditSpan { id: 2, fields, truncated: false },
        Record::LinkSpan { id: 2, from: 3 },
        Record::CloseSpan { id: 2, tsc: 5000, unwinding: true },
        Record::LinkSpan { id: 1, from: 2 },
        Record::CloseSpan { id: 1, tsc: 6000, unwinding: false },
    ];
    let mut encoder = Encoder::default();
    let mut encode = |record: &Record<'_>| {
        let mut bytes = encoder.encode(record, 1 << 16).to_vec();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    };
    let each: Vec<Vec<u8>> = records.iter().map(&mut encode).collect();
    let call = |cut: u8| [&[cut][..], &each.concat()].concat();
    let alone = each.iter().map(|record| [&[0][..], &each[0], record].concat());
    [call(0), call(101), call(255)].into_iter().chain(alone).collect()
}
