//! What spans say of themselves and of each other, and how all of it is told.

use super::*;
use crate::attributes::{Otel, SpanKind};

#[test]
fn a_span_that_is_left_out_counts_once_with_all_that_is_in_it() {
    let edit = |id| {
        let fields = Cow::Borrowed(&[][..]);
        Record::EditSpan { id, fields, truncated: false }
    };
    let inside = |id| [edit(id), event(id, 240), open(77, id, 250), close(77, 260)];
    let beyond = [open(2, 0, 220), open(3, 2, 230)];
    let mut records = vec![start(150), site(), open(1, 0, 200)];
    records.extend(beyond);
    records.extend(inside(3));
    records.extend([close(3, 270), close(2, 280), close(1, 290), close(9, 295)]);
    let mut assembler = Assembler::new(Limits { live_spans: 1, ..Limits::default() });
    assembler.begin_call(timeline(), false);
    assembler.absorb(&batch(&records), at(300));
    let counts = assembler.end_call(at(300), Ending::Returned);
    // Two and one in them; and then one that never was.
    assert_eq!(counts, Counts { live_spans: 3, unknown_ids: 1, ..Counts::default() });

    let mut assembler = super::assembler();
    let first = batch(&[start(150), site(), open(1, 0, 200)]);
    assembler.set_limits(Limits { bytes: first.len() as u64, ..Limits::default() });
    assembler.absorb(&first, at(210));
    assembler.absorb(&batch(&[open(2, 1, 220), close(2, 230), close(1, 240)]), at(300));
    let counts = assembler.end_call(at(300), Ending::Returned);
    assert_eq!(counts, Counts { dropped: 1, ..Counts::default() });
}

#[test]
fn a_span_follows_from_others_that_are_open_or_have_ended() {
    let link = |id, from| Record::LinkSpan { id, from };
    let records = [
        start(150),
        site(),
        span(1, 0, 200, 210),
        open(2, 0, 220),
        open(3, 0, 230),
        link(3, 1),
        link(3, 2),
        link(3, 8),
        link(1, 3),
        close(2, 240),
        link(3, 2),
    ];
    let mut assembler = assembler();
    assembler.absorb(&batch(&records), at(300));
    let counts = assembler.end_call(at(300), Ending::Returned);
    assert_eq!(counts, Counts { unknown_ids: 2, ..Counts::default() });
    let found = assembler.take();
    let links: Vec<_> =
        found.iter().filter(|entry| matches!(entry, TraceEntry::Link { .. })).collect();
    let expected = [1, 2, 2].map(|to| TraceEntry::Link { span: 3, to });
    assert_eq!(links, expected.iter().collect::<Vec<_>>());
}

#[test]
fn a_span_that_a_panic_closes_says_so() {
    let closed_by = |unwinding| Record::CloseSpan { id: 1, tsc: 210, unwinding };
    for (unwinding, ending) in [(false, 0), (true, 3)] {
        let records = [start(150), site(), open(1, 0, 200), closed_by(unwinding)];
        assert_eq!(entries(&records), [opened(1, 0, 1200), closed(1, 1210, ending)]);
    }
}

#[test]
fn what_a_span_says_of_itself_is_none_of_its_attributes() {
    let named = |name, value| Field { name: FieldName::Text(name), value };
    let fields = [
        named("otel.kind", Value::Text("Server")),
        named("otel.name", Value::Text("GET /")),
        named("otel.status_code", Value::Text("ERROR")),
        named("otel.status_message", Value::Text("no luck")),
        named("otel.status_code", Value::Text("well")),
        named("otel.kind", Value::Unsigned(1)),
        named("otel.other", Value::Bool(true)),
    ];
    let fields = Cow::Borrowed(&fields[..]);
    let record = Record::OpenSpan {
        id: 1,
        parent: 0,
        callsite: SITE,
        tsc: 200,
        fields: fields.clone(),
        truncated: false,
        closed: 0,
    };
    let event = Record::Event { span: 1, callsite: SITE, tsc: 210, fields, truncated: false };
    let found = entries(&[start(150), site(), record, event]);
    let names = |attributes: &[Attribute]| -> Vec<String> {
        attributes.iter().map(|each| each.name.to_string()).collect()
    };
    let (TraceEntry::Open { attributes, otel, .. }, TraceEntry::Event { attributes: of_event, .. }) =
        (&found[0], &found[1])
    else {
        unreachable!("{found:?}")
    };
    let expected = Otel {
        kind: Some(SpanKind::Server),
        name: Some("GET /".into()),
        is_ok: Some(false),
        message: Some("no luck".into()),
    };
    assert_eq!(otel.as_deref(), Some(&expected));
    let left = ["guest.otel.status_code", "guest.otel.kind", "guest.otel.other"];
    assert_eq!(names(attributes), left);
    assert_eq!(names(of_event).len(), 7);
    assert!(names(of_event).iter().all(|name| name.starts_with("guest.otel.")));
}

#[test]
fn an_answer_waits_for_a_processor() {
    let mut assembler = assembler();
    assembler.absorb(&batch(&[start(150)]), at(200));
    assembler.host_call(0, 1, at(200));
    assembler.host_answered(260);
    assert!(assembler.is_in_host_call());
    assembler.host_return(at(300), false);
    assert!(!assembler.is_in_host_call());
    let expected = TraceEntry::HostReturn { at: 1300, waited: 40, is_stopped: false };
    assert_eq!(assembler.take().last(), Some(&expected));
}

#[test]
fn entries_are_taken_in_slices() {
    let mut assembler = assembler();
    let spans = (1..=10).map(|id| span(id, 0, 200, 210));
    let records: Vec<_> = [start(150), site()].into_iter().chain(spans).collect();
    assembler.absorb(&batch(&records), at(300));
    let whole = {
        let mut other = super::assembler();
        other.absorb(&batch(&records), at(300));
        other.take_json(usize::MAX, usize::MAX)
    };
    let mut joined = String::new();
    for ending in [",[10]]", ",[10]]", "]"] {
        let json = assembler.take_json(7, usize::MAX);
        joined += json.strip_suffix(ending).unwrap().strip_prefix('[').unwrap();
        joined += ",";
    }
    assert_eq!(format!("[{}]", joined.trim_end_matches(',')), whole);
    assert_eq!(assembler.take_json(7, 100), "[]");
}

#[test]
fn what_nobody_takes_is_dropped_and_counted_but_for_callsites() {
    let records = batch(&[start(150), site(), span(1, 0, 200, 210), close(9, 220)]);
    for ends_first in [false, true] {
        let mut assembler = assembler();
        assembler.absorb(&records, at(300));
        if !ends_first {
            assembler.drop_entries();
        }
        assembler.end_call(at(300), Ending::Returned);
        if ends_first {
            assembler.drop_entries();
        }
        let counts = Counts { dropped: 2, unknown_ids: 1, ..Counts::default() };
        let found = assembler.take();
        assert!(matches!(found[0], TraceEntry::Callsite(_)));
        assert_eq!(found[1..], [TraceEntry::Counts(counts)]);
        assembler.drop_entries();
        assert_eq!(assembler.take(), []);
    }
}
