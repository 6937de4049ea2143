//! The golden vectors of `schema/vectors/trace.json`: batches as a guest writes them, and what becomes of
//! them. A batch in there must be understood for ever; the TypeScript tests replay them in a sandbox.
//!
//! With `AMPOULE_WRITE_VECTORS` set the file is written anew, which only adding to it should change.

#![expect(clippy::unwrap_used, reason = "a test file: failing loudly is the point")]

use ampoule_spans::{Assembler, ClockPair, Ending, Limits, Timeline, to_json};
use ampoule_wire::trace::{Callsite, Encoder, Field, FieldName, Kind, Level, Record, Value};
use serde_json::{Value as Json, json};
use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;

/// The counter has one tick a nanosecond, the call begins at 1,000 and is read at 100,000; Unix time is
/// 1,700,000,000 seconds more.
const START: u64 = 1_000;
const END: u64 = 100_000;
const WALL: i128 = 1_700_000_000_000_000_000;

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schema/vectors/trace.json")
}

const fn at(time: u64) -> ClockPair {
    ClockPair { tsc: time, monotonic: time, window: 40 }
}

/// What becomes of a batch.
fn entries(batch: &[u8]) -> Json {
    let mut assembler = Assembler::new(Limits::default());
    assembler.begin_call(Timeline::new(Some(at(START)), None, Some(WALL)), false);
    assembler.absorb(batch, at(END));
    assembler.end_call(at(END), Ending::Returned);
    serde_json::from_str(&to_json(&assembler.take())).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = (0..text.len()).step_by(2);
    pairs.map(|pair| u8::from_str_radix(&text[pair..pair + 2], 16).unwrap()).collect()
}

#[test]
fn every_vector_means_what_it_meant() {
    if std::env::var_os("AMPOULE_WRITE_VECTORS").is_some() {
        fs::create_dir_all(file().parent().unwrap()).unwrap();
        fs::write(file(), written()).unwrap();
    }
    let vectors: Vec<Json> = serde_json::from_slice(&fs::read(file()).unwrap()).unwrap();
    assert!(vectors.len() >= batches().len(), "vectors are never removed");
    for vector in vectors {
        let batch = unhex(vector["batch"].as_str().unwrap());
        assert_eq!(entries(&batch), vector["entries"], "{}", vector["name"]);
    }
}

#[test]
fn the_encoder_writes_what_it_wrote() {
    let vectors: Vec<Json> = serde_json::from_slice(&fs::read(file()).unwrap()).unwrap();
    for (name, batch) in batches() {
        let vector = vectors.iter().find(|vector| vector["name"] == name);
        let vector = vector.unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(unhex(vector["batch"].as_str().unwrap()), batch, "{name}");
    }
}

/// The file: one line a vector, so that a change shows what changed.
fn written() -> String {
    let file = fs::read_to_string(file()).unwrap_or_default();
    // Nothing that is there changes, and what no encoder writes any more stays.
    let old = file.lines().filter(|line| line.starts_with('{'));
    let mut lines: Vec<String> = old.map(|line| line.trim_end_matches(',').to_owned()).collect();
    let known: Vec<Json> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (name, batch) in batches() {
        if known.iter().all(|vector| vector["name"] != name) {
            let hex: String = batch.iter().map(|byte| format!("{byte:02x}")).collect();
            let (name, entries) = (json!(name), entries(&batch));
            lines.push(format!(r#"{{"name":{name},"batch":"{hex}","entries":{entries}}}"#));
        }
    }
    format!("[\n{}\n]\n", lines.join(",\n"))
}

fn callsite(id: u32, name: &'static str, kind: Kind) -> Record<'static> {
    Record::Callsite(Callsite {
        id,
        name,
        target: "vectors::module",
        level: if kind == Kind::Log { Level::Warn } else { Level::Info },
        kind,
        file: Some("src/vectors.rs"),
        line: 10 + id,
        fields: Cow::Borrowed(&["message", "count"]),
    })
}

const fn open(id: u64, parent: u64, tsc: u64) -> Record<'static> {
    span(id, parent, tsc, 0)
}

const fn span(id: u64, parent: u64, tsc: u64, closed: u64) -> Record<'static> {
    let fields = Cow::Borrowed(&[] as &'static [Field<'static>]);
    Record::OpenSpan { id, parent, callsite: 1, tsc, fields, truncated: false, closed }
}

fn event(span: u64, callsite: u32, tsc: u64, fields: &'static [Field<'static>]) -> Record<'static> {
    Record::Event { span, callsite, tsc, fields: Cow::Borrowed(fields), truncated: false }
}

const fn field(index: u16, value: Value<'static>) -> Field<'static> {
    Field { name: FieldName::Index(index), value }
}

const fn named(name: &'static str, value: Value<'static>) -> Field<'static> {
    Field { name: FieldName::Text(name), value }
}

const MESSAGE: &[Field<'static>] = &[field(0, Value::Text("something happened"))];

const VALUES: &[Field<'static>] = &[
    named("yes", Value::Bool(true)),
    named("negative", Value::Signed(-1)),
    named("least", Value::Signed(i64::MIN)),
    named("most", Value::Unsigned(u64::MAX)),
    named("half", Value::Float(0.5)),
    named("nan", Value::Float(f64::NAN)),
    named("infinite", Value::Float(f64::NEG_INFINITY)),
    named("unicode", Value::Text("Grüße, 世界 \u{1f44b}")),
    named("quoted", Value::Text("\"\\\u{1b}[31m\n")),
    named("__proto__", Value::Text("a name like any other")),
    field(1, Value::Unsigned(3)),
];

const TELLING: &[Field<'static>] = &[
    named("otel.kind", Value::Text("client")),
    named("otel.name", Value::Text("another name")),
    named("otel.status_code", Value::Text("OK")),
    named("ampoule.level", Value::Text("a name of the host's")),
    named("error.type", Value::Text("another")),
    named("", Value::Text("no name")),
    named("whole", Value::Float(1e300)),
];

fn batches() -> Vec<(&'static str, Vec<u8>)> {
    let call = Record::CallStart { tsc: 2_000 };
    let site = || callsite(1, "work", Kind::Span);
    let close = |id, tsc| Record::CloseSpan { id, tsc, unwinding: false };
    let edit = |id| Record::EditSpan { id, fields: Cow::Borrowed(&VALUES[..2]), truncated: true };
    let long = Box::leak("long ".repeat(40_000).into_boxed_str());
    let large: &'static [Field<'static>] =
        Box::leak(Box::new([field(0, Value::Text(long)), field(1, Value::Unsigned(7))]));
    let malformed = {
        let mut batch = batch(&[call.clone(), site(), open(1, 0, 3_000)]);
        let at = batch.len();
        batch.extend(self::batch(&[open(2, 1, 3_500)]));
        batch[at + 4..at + 8].copy_from_slice(&u32::MAX.to_le_bytes());
        batch.extend(self::batch(&[close(1, 4_000)]));
        batch
    };
    let with = |fields: &'static [Field<'static>]| Record::OpenSpan {
        id: 9,
        parent: 0,
        callsite: 1,
        tsc: 3_000,
        fields: Cow::Borrowed(fields),
        truncated: false,
        closed: 0,
    };
    vec![
        ("a call that tells nothing", batch(std::slice::from_ref(&call))),
        ("one span", batch(&[call.clone(), site(), open(1, 0, 3_000), close(1, 4_000)])),
        (
            "nested spans and an event",
            batch(&[
                call.clone(),
                site(),
                callsite(2, "event", Kind::Event),
                open(1, 0, 3_000),
                open(2, 1, 4_000),
                event(2, 2, 4_500, MESSAGE),
                close(2, 5_000),
                close(1, 6_000),
            ]),
        ),
        (
            "a log record outside of any span",
            batch(&[call.clone(), callsite(3, "log", Kind::Log), event(0, 3, 3_000, MESSAGE)]),
        ),
        (
            "every type of value",
            batch(&[call.clone(), site(), with(VALUES), edit(9), close(9, 4_000)]),
        ),
        (
            "spans that tell of their ends themselves",
            batch(&[
                call.clone(),
                site(),
                open(1, 0, 3_000),
                span(2, 1, 3_100, 3_200),
                span(3, 1, 3_200, 3_300),
                // Closed: another span may have the number, nothing may be in the one before.
                event(3, 1, 3_400, MESSAGE),
                span(2, 0, 3_500, 3_600),
                close(1, 4_000),
            ]),
        ),
        ("a span that stays open", batch(&[call.clone(), site(), open(1, 0, 3_000)])),
        (
            "unknown ids",
            batch(&[
                call.clone(),
                site(),
                close(5, 3_000),
                edit(6),
                open(7, 8, 3_100),
                event(9, 1, 3_200, MESSAGE),
                event(0, 44, 3_300, MESSAGE),
            ]),
        ),
        ("a span before the start of the call", batch(&[site(), open(1, 0, 1_500), call.clone()])),
        ("a malformed record in between", malformed),
        (
            "a record that was cut to its limit",
            batch(&[
                call.clone(),
                site(),
                open(1, 0, 3_000),
                event(1, 1, 3_100, large),
                close(1, 4_000),
            ]),
        ),
        (
            "spans that follow from others",
            batch(&[
                call.clone(),
                site(),
                span(1, 0, 3_000, 3_100),
                open(2, 0, 3_200),
                open(3, 0, 3_300),
                Record::LinkSpan { id: 3, from: 1 },
                Record::LinkSpan { id: 3, from: 2 },
                close(3, 3_400),
                close(2, 3_500),
            ]),
        ),
        (
            "spans that a panic closes",
            batch(&[
                call.clone(),
                site(),
                open(1, 0, 3_000),
                open(2, 1, 3_100),
                Record::CloseSpan { id: 2, tsc: 3_200, unwinding: true },
                close(1, 3_300),
            ]),
        ),
        (
            "fields that mean something",
            batch(&[call, site(), with(TELLING), event(9, 1, 3_100, TELLING), close(9, 4_000)]),
        ),
    ]
}

fn batch(records: &[Record<'_>]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let mut bytes = Vec::new();
    for record in records {
        bytes.extend_from_slice(encoder.encode(record, 1 << 10));
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}
