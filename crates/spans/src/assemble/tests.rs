//! Spans from records. The words of the errors are those that the tests of other hosts of this kind look
//! for.

use super::{Assembler, Ending, Limits, TraceError};
use crate::attributes::{Attribute, AttributeValue};
use crate::entry::{Counts, TraceEntry};
use crate::time::{ClockPair, TimeError, Timeline};
use ampoule_wire::trace::{Callsite, Encoder, Field, FieldName, Kind, Level, Record, Value};
use std::borrow::Cow;

mod told;

/// A counter of one tick a nanosecond; Unix time is 1000 more.
const fn at(time: u64) -> ClockPair {
    ClockPair { tsc: time, monotonic: time, window: 40 }
}

const fn timeline() -> Timeline {
    Timeline::new(Some(at(100)), Some(1_000_000_000), Some(1000))
}

fn assembler() -> Assembler {
    let mut assembler = Assembler::new(Limits::default());
    assembler.begin_call(timeline(), false);
    assembler
}

const SITE: u32 = 5;

fn start<'a>(tsc: u64) -> Record<'a> {
    Record::CallStart { tsc }
}

fn site<'a>() -> Record<'a> {
    Record::Callsite(Callsite {
        id: SITE,
        name: "work",
        target: "guest",
        level: Level::Info,
        kind: Kind::Span,
        file: Some("src/main.rs"),
        line: 3,
        fields: Cow::Borrowed(&["left", "right"]),
    })
}

fn open<'a>(id: u64, parent: u64, tsc: u64) -> Record<'a> {
    span(id, parent, tsc, 0)
}

/// A span that says itself when it ended.
fn span<'a>(id: u64, parent: u64, tsc: u64, closed: u64) -> Record<'a> {
    let fields = Cow::Borrowed(&[][..]);
    Record::OpenSpan { id, parent, callsite: SITE, tsc, fields, truncated: false, closed }
}

fn close<'a>(id: u64, tsc: u64) -> Record<'a> {
    Record::CloseSpan { id, tsc, unwinding: false }
}

fn event<'a>(span: u64, tsc: u64) -> Record<'a> {
    const FIELDS: &[Field<'_>] =
        &[Field { name: FieldName::Index(0), value: Value::Text("something") }];
    let fields = Cow::Borrowed(FIELDS);
    Record::Event { span, callsite: SITE, tsc, fields, truncated: false }
}

/// A batch of `records`.
fn batch(records: &[Record<'_>]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let mut bytes = Vec::new();
    for record in records {
        bytes.extend_from_slice(encoder.encode(record, 64 << 10));
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}

/// What a call with `records`, read at 1100, comes to before it ends, without the callsites.
fn entries(records: &[Record<'_>]) -> Vec<TraceEntry> {
    let mut assembler = assembler();
    assembler.absorb(&batch(records), at(1100));
    without_callsites(assembler.take())
}

fn without_callsites(mut entries: Vec<TraceEntry>) -> Vec<TraceEntry> {
    entries.retain(|entry| !matches!(entry, TraceEntry::Callsite(_)));
    entries
}

fn opened(span: u32, parent: u32, at: u64) -> TraceEntry {
    TraceEntry::Open { span, parent, callsite: 1, at, attributes: Vec::new(), otel: None }
}

const fn closed(span: u32, at: u64, ending: u8) -> TraceEntry {
    TraceEntry::Close { span, at, ending }
}

#[test]
fn a_new_one_follows_nothing_and_has_nothing_to_tell() {
    let mut assembler = Assembler::new(Limits::default());
    assert!(!assembler.is_in_call());
    assert_eq!(assembler.absorb(&batch(&[start(1)]), at(2)), 0);
    assert_eq!(assembler.end_call(at(3), Ending::Returned), Counts::default());
    assert_eq!(assembler.take(), []);
}

#[test]
fn an_empty_batch_is_nothing() {
    assert_eq!(entries(&[]), []);
}

#[test]
fn a_single_open_span_ends_when_the_call_returns() {
    let mut assembler = assembler();
    assembler.absorb(&batch(&[start(150), site(), open(1, 0, 200)]), at(1100));
    assert_eq!(without_callsites(assembler.take()), [opened(1, 0, 1200)]);
    assembler.end_call(at(1200), Ending::Returned);
    assert_eq!(assembler.take(), [closed(1, 2200, 1)]);
}

#[test]
fn a_closed_span_has_its_own_times() {
    let found = entries(&[start(150), site(), open(1, 0, 200), close(1, 300)]);
    assert_eq!(found, [opened(1, 0, 1200), closed(1, 1300, 0)]);
}

#[test]
fn an_event_is_part_of_its_span() {
    let found = entries(&[start(150), site(), open(1, 0, 200), event(1, 250), close(1, 300)]);
    let attributes =
        vec![Attribute { name: "left".into(), value: AttributeValue::Text("something".into()) }];
    let event = TraceEntry::Event { span: 1, callsite: 1, at: 1250, attributes };
    assert_eq!(found, [opened(1, 0, 1200), event, closed(1, 1300, 0)]);
}

#[test]
fn a_child_lies_in_its_parent() {
    let records =
        [start(150), site(), open(1, 0, 200), open(2, 1, 220), close(2, 280), close(1, 300)];
    let expected = [opened(1, 0, 1200), opened(2, 1, 1220), closed(2, 1280, 0), closed(1, 1300, 0)];
    assert_eq!(entries(&records), expected);
}

#[test]
fn a_span_that_tells_of_its_end_is_as_one_that_is_closed() {
    let records = [start(150), site(), open(1, 0, 200), span(2, 1, 220, 280), close(1, 300)];
    let expected = [opened(1, 0, 1200), opened(2, 1, 1220), closed(2, 1280, 0), closed(1, 1300, 0)];
    assert_eq!(entries(&records), expected);
}

#[test]
fn a_span_that_tells_of_its_end_is_open_no_more() {
    let mut assembler = Assembler::new(Limits { live_spans: 1, ..Limits::default() });
    assembler.begin_call(timeline(), false);
    let records = [start(150), site(), span(1, 0, 200, 210), span(1, 0, 220, 230), open(1, 0, 240)];
    assembler.absorb(&batch(&records), at(300));
    // One of a number that is open. What has ended takes no place among those that are open.
    assembler.absorb(&batch(&[span(1, 0, 310, 320), span(2, 1, 330, 340), close(1, 350)]), at(400));
    assembler.absorb(&batch(&[span(2, 0, 410, 420), event(2, 430), close(2, 440)]), at(500));
    let times: Vec<u64> = without_callsites(assembler.take())
        .iter()
        .map(|entry| match *entry {
            TraceEntry::Open { at, .. }
            | TraceEntry::Close { at, .. }
            | TraceEntry::Event { at, .. } => at,
            ref other => unreachable!("{other:?}"),
        })
        .collect();
    assert_eq!(times, [1200, 1210, 1220, 1230, 1240, 1330, 1340, 1350, 1410, 1420, 1430]);
    let counts = assembler.end_call(at(600), Ending::Returned);
    let expected = Counts { duplicates: 1, unknown_ids: 2, ..Counts::default() };
    assert_eq!(counts, expected);
}

#[test]
fn two_spans_in_a_row_are_a_closed_pair() {
    let records =
        [start(150), site(), open(1, 0, 200), close(1, 210), open(2, 0, 220), close(2, 230)];
    let expected = [opened(1, 0, 1200), closed(1, 1210, 0), opened(2, 0, 1220), closed(2, 1230, 0)];
    assert_eq!(entries(&records), expected);
}

#[test]
fn of_a_pair_that_is_partially_closed_the_rest_ends_with_the_call() {
    let mut assembler = assembler();
    let records = [start(150), site(), open(1, 0, 200), open(2, 1, 220), close(2, 280)];
    assembler.absorb(&batch(&records), at(1100));
    assembler.end_call(at(1100), Ending::Returned);
    let expected = [opened(1, 0, 1200), opened(2, 1, 1220), closed(2, 1280, 0), closed(1, 2100, 1)];
    assert_eq!(without_callsites(assembler.take()), expected);
}

#[test]
fn what_is_open_outlasts_a_batch() {
    let mut assembler = assembler();
    assembler.absorb(&batch(&[start(150), site(), open(1, 0, 200)]), at(300));
    assembler.absorb(&batch(&[open(2, 1, 310)]), at(400));
    assembler.absorb(&batch(&[close(2, 410), close(1, 420)]), at(500));
    let expected = [opened(1, 0, 1200), opened(2, 1, 1310), closed(2, 1410, 0), closed(1, 1420, 0)];
    assert_eq!(without_callsites(assembler.take()), expected);
}

#[test]
fn a_span_without_the_start_of_its_call_is_an_error() {
    let mut assembler = assembler();
    let error = assembler.apply(&open(1, 0, 200), 0).unwrap_err();
    assert_eq!(error.to_string(), "Guest start TSC not set before opening guest span");
    assert_eq!(assembler.apply(&event(0, 200), 0), Err(TraceError::BeforeStart));
    assembler.absorb(&batch(&[site(), open(1, 0, 200), start(210), open(2, 0, 220)]), at(300));
    assert_eq!(without_callsites(assembler.take()), [opened(1, 0, 1220)]);
    assert_eq!(assembler.end_call(at(400), Ending::Returned).before_start, 1);
}

#[test]
fn without_a_wall_clock_a_span_is_an_error() {
    let mut assembler = Assembler::new(Limits::default());
    assembler.begin_call(Timeline::new(Some(at(0)), Some(1_000_000_000), None), false);
    assembler.absorb(&batch(&[start(1), site()]), at(10));
    let error = assembler.apply(&open(1, 0, 2), 0).unwrap_err();
    assert_eq!(error.to_string(), "start_wall not set");
}

#[test]
fn without_a_frequency_a_span_is_an_error() {
    let mut assembler = Assembler::new(Limits::default());
    assembler.begin_call(Timeline::new(Some(at(0)), None, Some(0)), false);
    assembler.apply(&start(1), 0).unwrap();
    let error = assembler.apply(&open(1, 0, 2), 0).unwrap_err();
    assert_eq!(error, TraceError::Time(TimeError::Frequency));
    assert_eq!(error.to_string(), "TSC frequency not set");
}

#[test]
fn unknown_ids_are_counted_and_fatal_to_nothing() {
    let mut assembler = assembler();
    let edit = Record::EditSpan { id: 9, fields: Cow::Borrowed(&[]), truncated: false };
    let stranger = Record::OpenSpan {
        id: 3,
        parent: 0,
        callsite: 77,
        tsc: 260,
        fields: Cow::Borrowed(&[]),
        truncated: false,
        closed: 0,
    };
    let records =
        [start(150), site(), close(9, 200), edit, event(9, 220), open(1, 9, 240), stranger];
    assembler.absorb(&batch(&records), at(300));
    let found = without_callsites(assembler.take());
    // The event and the child are not lost: they belong to the call.
    assert!(matches!(found[0], TraceEntry::Event { span: 0, at: 1220, .. }), "{found:?}");
    assert_eq!(found[1..], [opened(1, 0, 1240)]);
    let counts = assembler.end_call(at(400), Ending::Returned);
    assert_eq!(counts, Counts { unknown_ids: 5, ..Counts::default() });
    assert_eq!(assembler.take(), [closed(1, 1400, 1), TraceEntry::Counts(counts)]);
}

#[test]
fn a_span_that_outlives_its_call_may_be_closed_later() {
    let mut assembler = assembler();
    assembler.absorb(&batch(&[start(150), site(), open(1, 0, 200)]), at(300));
    assembler.end_call(at(300), Ending::Returned);
    assembler.begin_call(timeline(), false);
    let records = [start(350), open(2, 1, 360), close(1, 370), close(2, 380)];
    assembler.absorb(&batch(&records), at(400));
    assert_eq!(assembler.end_call(at(400), Ending::Returned), Counts::default());
}

#[test]
fn a_span_that_is_opened_twice_is_counted_and_stays_what_it_was() {
    let mut assembler = assembler();
    let records =
        [start(150), site(), open(1, 0, 200), open(1, 0, 210), open(0, 0, 215), close(1, 220)];
    assembler.absorb(&batch(&records), at(300));
    assert_eq!(without_callsites(assembler.take()), [opened(1, 0, 1200), closed(1, 1220, 0)]);
    assert_eq!(assembler.end_call(at(300), Ending::Returned).duplicates, 2);
}

#[test]
fn live_spans_have_a_limit() {
    let mut assembler = Assembler::new(Limits { live_spans: 2, ..Limits::default() });
    assembler.begin_call(timeline(), false);
    let records = [
        start(150),
        site(),
        open(1, 0, 200),
        open(2, 0, 210),
        open(3, 0, 220),
        close(1, 230),
        open(4, 0, 240),
    ];
    assembler.absorb(&batch(&records), at(300));
    let counts = assembler.end_call(at(300), Ending::Returned);
    assert_eq!(counts, Counts { live_spans: 1, ..Counts::default() });
    let spans =
        assembler.take().iter().filter(|entry| matches!(entry, TraceEntry::Open { .. })).count();
    assert_eq!(spans, 3);
}

#[test]
fn the_records_of_a_call_have_a_limit_and_what_is_open_still_closes() {
    let mut assembler = assembler();
    assembler.set_limits(Limits { bytes: 500, ..Limits::default() });
    assembler.absorb(&batch(&[start(150), site(), open(1, 0, 200)]), at(300));
    let many: Vec<_> = (0..100).map(|number| event(1, 310 + number)).collect();
    assembler.absorb(&batch(&many), at(500));
    assembler.absorb(&batch(&[close(1, 510)]), at(600));
    let found = without_callsites(assembler.take());
    assert!(found.len() < 10, "{}", found.len());
    assert_eq!(found.last(), Some(&closed(1, 1510, 0)));
    let counts = assembler.end_call(at(600), Ending::Returned);
    assert_eq!(counts.dropped, 100 - (found.len() as u64 - 2));
}

#[test]
fn times_outside_of_the_call_or_out_of_order_are_moved_and_counted() {
    let mut assembler = assembler();
    let records =
        [start(150), site(), open(1, 0, 10_000_000), open(2, 1, 200), close(2, 0), close(1, 200)];
    assembler.absorb(&batch(&records), at(1100));
    let expected = [opened(1, 0, 2100), opened(2, 1, 2100), closed(2, 2100, 0), closed(1, 2100, 0)];
    assert_eq!(without_callsites(assembler.take()), expected);
    assert_eq!(assembler.end_call(at(1200), Ending::Returned).moved, 4);
    assembler.begin_call(timeline(), false);
    assembler.absorb(&batch(&[start(150), span(1, 0, 300, 200), span(2, 0, 1, u64::MAX)]), at(400));
    let expected = [opened(3, 0, 1300), closed(3, 1300, 0), opened(4, 0, 1300), closed(4, 1400, 0)];
    assert_eq!(without_callsites(assembler.take()), expected);
    assert_eq!(assembler.end_call(at(400), Ending::Returned).moved, 3);
}

#[test]
fn a_host_call_is_in_the_guests_current_span() {
    let mut assembler = assembler();
    assembler.absorb(&batch(&[start(150), site(), open(7, 0, 200)]), at(300));
    assembler.host_call(7, 2, at(300));
    assembler.host_return(at(500), false);
    assembler.absorb(&batch(&[close(7, 520)]), at(600));
    let expected = [
        opened(1, 0, 1200),
        TraceEntry::HostCall { span: 1, function: 2, at: 1300 },
        TraceEntry::HostReturn { at: 1500, waited: 0, is_stopped: false },
        closed(1, 1520, 0),
    ];
    assert_eq!(without_callsites(assembler.take()), expected);
    assembler.host_call(99, 2, at(700));
    assert_eq!(assembler.end_call(at(800), Ending::Stopped).unknown_ids, 1);
    let found = assembler.take();
    let expected = [
        TraceEntry::HostCall { span: 0, function: 2, at: 1700 },
        TraceEntry::HostReturn { at: 1800, waited: 0, is_stopped: true },
    ];
    assert_eq!(found[..2], expected, "a stop ends the host call, too");
}

#[test]
fn a_stop_ends_what_is_open_from_the_inside_out() {
    let mut assembler = assembler();
    let records = [start(150), site(), open(1, 0, 200), open(2, 1, 210), open(3, 2, 220)];
    assembler.absorb(&batch(&records), at(300));
    assembler.take();
    assembler.end_call(at(400), Ending::Stopped);
    let expected = [closed(3, 1400, 2), closed(2, 1400, 2), closed(1, 1400, 2)];
    assert_eq!(assembler.take(), expected);
}

#[test]
fn a_malformed_record_is_counted_and_the_next_one_read() {
    let mut assembler = assembler();
    let mut bytes = batch(&[start(150), site()]);
    let bad = bytes.len();
    bytes.extend(batch(&[open(1, 0, 200)]));
    bytes[bad + 4..bad + 8].copy_from_slice(&u32::MAX.to_le_bytes());
    bytes.extend(batch(&[open(2, 0, 210)]));
    bytes.extend([0xff; 8]);
    assembler.absorb(&bytes, at(300));
    assert_eq!(without_callsites(assembler.take()), [opened(1, 0, 1210)]);
    assert_eq!(assembler.end_call(at(300), Ending::Returned).malformed, 2);
}

#[test]
fn fields_have_their_callsites_names_and_marks_say_what_is_not_exact() {
    let fields = [
        Field { name: FieldName::Index(1), value: Value::Signed(-1) },
        Field { name: FieldName::Index(9), value: Value::Signed(9) },
        Field { name: FieldName::Text("own"), value: Value::Bool(true) },
    ];
    let open = Record::OpenSpan {
        id: 1,
        parent: 0,
        callsite: SITE,
        tsc: 200,
        fields: Cow::Borrowed(&fields),
        truncated: true,
        closed: 0,
    };
    let edit = Record::EditSpan { id: 1, fields: Cow::Borrowed(&fields[..1]), truncated: false };
    let mut assembler = Assembler::new(Limits::default());
    assembler.begin_call(timeline(), true);
    assembler.absorb(&batch(&[start(150), site(), open, edit]), at(300));
    let found = without_callsites(assembler.take());
    let attribute = |name: &str, value| Attribute { name: name.into(), value };
    let right = attribute("right", AttributeValue::Signed(-1));
    let expected = vec![
        right.clone(),
        attribute("own", AttributeValue::Bool(true)),
        attribute("ampoule.truncated", AttributeValue::Bool(true)),
        attribute("ampoule.clock", AttributeValue::Text("approximate".into())),
    ];
    let TraceEntry::Open { attributes, .. } = &found[0] else { unreachable!("{found:?}") };
    assert_eq!(*attributes, expected);
    assert_eq!(found[1], TraceEntry::Edit { span: 1, attributes: vec![right], otel: None });
}

#[test]
fn a_counter_of_the_guests_own_makes_times_approximate() {
    let mut assembler = assembler();
    let far = 1 << 60;
    assembler.absorb(&batch(&[start(far), site(), open(1, 0, far + 50)]), at(300));
    let found = without_callsites(assembler.take());
    let TraceEntry::Open { at: 1150, attributes, .. } = &found[0] else {
        unreachable!("{found:?}")
    };
    assert_eq!(&*attributes[0].name, "ampoule.clock");
    assert_eq!(assembler.end_call(at(300), Ending::Returned), Counts::default());
}

#[test]
fn a_callsite_is_told_of_once_and_again_when_it_is_another() {
    let mut assembler = assembler();
    let sites = |assembler: &mut Assembler| {
        let sites = assembler.take().into_iter().filter_map(|entry| match entry {
            TraceEntry::Callsite(site) => Some((site.number, site.name.to_string())),
            _ => None,
        });
        sites.collect::<Vec<_>>()
    };
    assembler.absorb(&batch(&[start(150), site(), open(1, 0, 200), open(2, 0, 201)]), at(300));
    assert_eq!(sites(&mut assembler), [(1, "work".to_owned())]);
    // After a restore the guest tells again, and until then nothing is known.
    assembler.begin_generation();
    assert_eq!(assembler.apply(&open(3, 0, 302), 0), Err(TraceError::UnknownCallsite { id: SITE }));
    assembler.absorb(&batch(&[site(), open(3, 0, 302)]), at(400));
    assert_eq!(sites(&mut assembler), []);
    let Record::Callsite(callsite) = site() else { unreachable!() };
    let other = Record::Callsite(Callsite { name: "other", ..callsite });
    assembler.absorb(&batch(&[other, open(4, 0, 401)]), at(500));
    assert_eq!(sites(&mut assembler), [(1, "other".to_owned())]);
}

#[test]
fn callsites_have_a_limit() {
    let mut assembler = assembler();
    assembler.apply(&start(150), 0).unwrap();
    let Record::Callsite(callsite) = site() else { unreachable!() };
    let numbered = |id| Record::Callsite(Callsite { id, ..callsite.clone() });
    let accepted = (0..20_000).filter(|&id| assembler.apply(&numbered(id), 0).is_ok()).count();
    assert_eq!(accepted, 16_384);
    // Those of an earlier generation make room.
    assembler.begin_generation();
    assert!(assembler.apply(&numbered(30_000), 0).is_ok());
}
