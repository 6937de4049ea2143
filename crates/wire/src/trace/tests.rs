use super::{Callsite, Encoder, Field, FieldName, Kind, Level, Record, Value, schema};
use std::borrow::Cow;

fn event<'a>(fields: &'a [Field<'a>]) -> Record<'a> {
    let fields = Cow::Borrowed(fields);
    Record::Event { span: 7, callsite: 3, tsc: 1 << 40, fields, truncated: false }
}

fn text<'a>(index: u16, text: &'a str) -> Field<'a> {
    Field { name: FieldName::Index(index), value: Value::Text(text) }
}

/// The event in `bytes`: its texts, and whether it says that it was cut.
fn read(bytes: &[u8]) -> (Vec<String>, bool) {
    let record = schema::size_prefixed_root_as_record(bytes).unwrap();
    let event = record.body_as_event().unwrap();
    assert_eq!((event.span(), event.callsite(), event.tsc()), (7, 3, 1 << 40));
    let fields = event.fields().into_iter().flatten();
    (fields.map(|field| field.text().unwrap_or_default().to_owned()).collect(), event.truncated())
}

#[test]
fn a_record_that_fits_is_whole() {
    let umlauts = "ä".repeat(100);
    let fields = [text(0, "a"), text(1, &umlauts)];
    let mut encoder = Encoder::default();
    let (texts, truncated) = read(encoder.encode(&event(&fields), 4096));
    assert_eq!(texts, ["a".to_owned(), umlauts]);
    assert!(!truncated);
}

#[test]
fn long_texts_are_cut_at_a_character_and_marked() {
    let long = "ä".repeat(100_000);
    let fields = [text(0, "short"), text(1, &long)];
    let mut encoder = Encoder::default();
    let bytes = encoder.encode(&event(&fields), 4096);
    assert!(bytes.len() <= 4096, "{}", bytes.len());
    let (texts, truncated) = read(bytes);
    assert!(truncated);
    assert_eq!(texts[0], "short");
    assert!(long.starts_with(&texts[1]));
    // A character of two bytes, and the alignment.
    assert!(bytes.len() > 4096 - 16, "{}", bytes.len());
}

#[test]
fn shorter_texts_leave_their_room_to_longer_ones() {
    let lengths = [3000, 10, 70_000, 0, 1200, 70_001];
    let all = lengths.map(|length| "x".repeat(length));
    let fields: Vec<Field<'_>> = (0..).zip(&all).map(|(index, each)| text(index, each)).collect();
    let mut encoder = Encoder::default();
    for limit in [512, 4096, 10_000, 65_472, 100_000] {
        let bytes = encoder.encode(&event(&fields), limit);
        let used = bytes.len();
        assert!(used <= limit && used > limit - 8 * (lengths.len() + 2), "{used} of {limit}");
        let found = read(bytes).0.iter().map(String::len).collect::<Vec<_>>();
        let longest = found[2];
        assert_eq!(found, lengths.map(|length| length.min(longest)), "{limit}");
    }
}

#[test]
fn a_record_of_any_fields_fits_in_any_limit() {
    let mut encoder = Encoder::default();
    for count in [1, 2, 7, 40, 300] {
        for length in [0, 1, 5, 8, 63, 4000] {
            let value = "\u{1f980}".repeat(length);
            let named = |index| {
                let name =
                    if index % 2 == 0 { FieldName::Index(1) } else { FieldName::Text(&value) };
                Field { name, value: Value::Text(&value) }
            };
            let fields: Vec<Field<'_>> = (0..count).map(named).collect();
            for limit in 256..1024 {
                let bytes = encoder.encode(&event(&fields), limit).len();
                assert!(bytes <= limit, "{bytes} of {limit}, {count} fields of {length}");
            }
        }
    }
}

#[test]
fn fields_that_fit_in_no_length_are_left_out() {
    let fields: Vec<Field<'_>> = (0..1000).map(|index| text(index, "x")).collect();
    let mut encoder = Encoder::default();
    let bytes = encoder.encode(&event(&fields), 256);
    assert!(bytes.len() <= 256, "{}", bytes.len());
    assert!(read(bytes).1);
}

#[test]
fn a_callsite_of_any_size_fits_in_256_bytes() {
    let long = "n".repeat(10_000);
    let names = vec![long.as_str(); 500];
    let callsite = Record::Callsite(Callsite {
        id: 1,
        name: &long,
        target: &long,
        level: Level::Warn,
        kind: Kind::Span,
        file: Some(&long),
        line: 12,
        fields: Cow::Borrowed(&names),
    });
    let mut encoder = Encoder::default();
    let bytes = encoder.encode(&callsite, 256);
    assert!(bytes.len() <= 256, "{}", bytes.len());
    let record = schema::size_prefixed_root_as_record(bytes).unwrap();
    assert_eq!(record.body_as_callsite().unwrap().line(), 12);
}

#[test]
fn an_encoder_leaves_nothing_of_the_record_before() {
    let fields = [text(0, "first")];
    let mut encoder = Encoder::default();
    encoder.encode(&event(&fields), 4096);
    let bytes = encoder.encode(&event(&[]), 4096).to_vec();
    assert_eq!(bytes, Encoder::default().encode(&event(&[]), 4096));
    assert_eq!(read(&bytes).0, Vec::<String>::new());
}

#[test]
fn levels_and_kinds_come_back_from_the_wire() {
    for level in [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace] {
        assert_eq!(Level::from_wire(level as u8), Some(level));
    }
    for kind in [Kind::Span, Kind::Event, Kind::Log] {
        assert_eq!(Kind::from_wire(kind as u8), Some(kind));
    }
    assert_eq!((Level::from_wire(0), Level::from_wire(6), Kind::from_wire(3)), (None, None, None));
}

fn check_fields(fields: flatbuffers::Vector<'_, flatbuffers::ForwardsUOffset<schema::Field<'_>>>) {
    let found: Vec<_> = fields
        .iter()
        .map(|field| (field.index(), field.name(), field.type_().0, field.bits(), field.text()))
        .collect();
    let expected = [
        (1, None, 1, 2_u64.wrapping_neg(), None),
        (0, Some("yes"), 0, 1, None),
        (3, None, 4, 0, Some("täxt")),
        (0, Some("own"), 4, 0, Some("")),
        (5, None, 3, 0.5_f64.to_bits(), None),
        (6, None, 2, u64::MAX, None),
    ];
    assert_eq!(found, expected);
}

#[test]
fn every_kind_is_what_flatc_reads() {
    let fields = [
        Field { name: FieldName::Index(1), value: Value::Signed(-2) },
        Field { name: FieldName::Text("yes"), value: Value::Bool(true) },
        Field { name: FieldName::Index(3), value: Value::Text("täxt") },
        Field { name: FieldName::Text("own"), value: Value::Text("") },
        Field { name: FieldName::Index(5), value: Value::Float(0.5) },
        Field { name: FieldName::Index(6), value: Value::Unsigned(u64::MAX) },
    ];
    let fields = Cow::Borrowed(&fields[..]);
    let mut encoder = Encoder::default();
    let mut read = |record: Record<'_>, check: &dyn Fn(schema::Record<'_>)| {
        let bytes = encoder.encode(&record, 1 << 16);
        check(schema::size_prefixed_root_as_record(bytes).unwrap());
    };
    read(Record::CallStart { tsc: u64::MAX }, &|record| {
        assert_eq!(record.body_as_call_start().unwrap().tsc(), u64::MAX);
    });
    let open = Record::OpenSpan {
        id: 1,
        parent: 2,
        callsite: 3,
        tsc: 4,
        fields: fields.clone(),
        truncated: true,
        closed: 11,
    };
    read(open, &|record| {
        let open = record.body_as_open_span().unwrap();
        assert_eq!(open.closed(), 11);
        assert_eq!((open.id(), open.parent(), open.callsite(), open.tsc()), (1, 2, 3, 4));
        assert!(open.truncated());
        check_fields(open.fields().unwrap());
    });
    read(Record::EditSpan { id: 5, fields: fields.clone(), truncated: false }, &|record| {
        let edit = record.body_as_edit_span().unwrap();
        assert_eq!((edit.id(), edit.truncated()), (5, false));
        check_fields(edit.fields().unwrap());
    });
    for unwinding in [false, true] {
        read(Record::CloseSpan { id: 6, tsc: 7, unwinding }, &|record| {
            let close = record.body_as_close_span().unwrap();
            assert_eq!((close.id(), close.tsc(), close.unwinding()), (6, 7, unwinding));
        });
    }
    read(Record::LinkSpan { id: 8, from: 9 }, &|record| {
        let link = record.body_as_link_span().unwrap();
        assert_eq!((link.id(), link.from()), (8, 9));
    });
    read(Record::Event { span: 8, callsite: 9, tsc: 10, fields, truncated: false }, &|record| {
        let event = record.body_as_event().unwrap();
        assert_eq!((event.span(), event.callsite(), event.tsc()), (8, 9, 10));
        check_fields(event.fields().unwrap());
    });
    for file in [None, Some("src/lib.rs")] {
        let names = ["a", "", "c"];
        let callsite = Record::Callsite(Callsite {
            id: 11,
            name: "name",
            target: "target",
            level: Level::Trace,
            kind: Kind::Log,
            file,
            line: 12,
            fields: Cow::Borrowed(&names),
        });
        read(callsite, &|record| {
            let site = record.body_as_callsite().unwrap();
            assert_eq!((site.id(), site.line(), site.level().0, site.kind().0), (11, 12, 5, 2));
            assert_eq!(
                (site.name(), site.target(), site.file()),
                (Some("name"), Some("target"), file)
            );
            assert_eq!(site.fields().unwrap().iter().collect::<Vec<_>>(), names);
        });
    }
}
