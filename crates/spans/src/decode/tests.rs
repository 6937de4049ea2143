use super::{decode, decode_record, skip};
use ampoule_wire::trace::{Callsite, Encoder, Field, FieldName, Kind, Level, Record, Value};
use proptest::prelude::*;
use std::borrow::Cow;

/// A batch with `records`.
fn batch(records: &[Record<'_>]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let mut bytes = Vec::new();
    for record in records {
        bytes.extend_from_slice(encoder.encode(record, 64 << 10));
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}

fn field(index: u16, value: Value<'_>) -> Field<'_> {
    Field { name: FieldName::Index(index), value }
}

#[test]
fn an_empty_batch_has_no_records() {
    assert_eq!(decode(&[]), Ok((Vec::new(), &[][..])));
}

#[test]
fn every_kind_of_record_comes_back() {
    let names = ["a", "b"];
    let fields = [
        field(0, Value::Bool(true)),
        field(1, Value::Signed(i64::MIN)),
        field(2, Value::Unsigned(u64::MAX)),
        field(3, Value::Float(-0.5)),
        field(4, Value::Text("Grüße")),
        Field { name: FieldName::Text("own"), value: Value::Text("") },
    ];
    let callsite = Callsite {
        id: 7,
        name: "work",
        target: "guest::module",
        level: Level::Debug,
        kind: Kind::Log,
        file: Some("src/main.rs"),
        line: 12,
        fields: Cow::Borrowed(&names),
    };
    let fields = Cow::Borrowed(&fields[..]);
    let records = [
        Record::CallStart { tsc: u64::MAX },
        Record::Callsite(callsite.clone()),
        Record::Callsite(Callsite { file: None, line: 0, fields: Cow::Borrowed(&[]), ..callsite }),
        Record::OpenSpan {
            id: 1,
            parent: 0,
            callsite: 7,
            tsc: 10,
            fields: fields.clone(),
            truncated: true,
            closed: u64::MAX,
        },
        Record::EditSpan { id: 1, fields: fields.clone(), truncated: false },
        Record::Event { span: 1, callsite: 7, tsc: 11, fields, truncated: false },
        Record::CloseSpan { id: 1, tsc: 12, unwinding: false },
    ];
    let bytes = batch(&records);
    assert_eq!(decode(&bytes), Ok((records.to_vec(), &[][..])));
}

#[test]
fn an_incomplete_record_is_the_rest() {
    let bytes = batch(&[
        Record::CallStart { tsc: 1 },
        Record::CloseSpan { id: 2, tsc: 3, unwinding: false },
    ]);
    let first = bytes.len() - skip(&bytes).unwrap().len();
    for cut in first..bytes.len() {
        let (records, rest) = decode(&bytes[..cut]).unwrap();
        assert_eq!(records, [Record::CallStart { tsc: 1 }]);
        assert_eq!(rest, &bytes[first..cut]);
    }
}

#[test]
fn an_error_says_where() {
    let mut bytes = batch(&[
        Record::CallStart { tsc: 1 },
        Record::CloseSpan { id: 2, tsc: 3, unwinding: false },
    ]);
    let first = bytes.len() - skip(&bytes).unwrap().len();
    // The root's offset leads out of the record.
    bytes[first + 4..first + 8].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = decode(&bytes).unwrap_err();
    assert_eq!(error.offset, first);
    assert!(error.to_string().starts_with(&format!("at byte {first} of the batch: ")), "{error}");
    // What follows can still be read.
    assert_eq!(skip(&bytes[first..]), Some(&[][..]));
}

#[test]
fn a_record_of_a_few_bytes_is_malformed() {
    for size in 0..8_u32 {
        let mut bytes = size.to_le_bytes().to_vec();
        bytes.resize(16, 0);
        assert!(decode_record(&bytes).is_err(), "{size}");
    }
}

#[test]
fn a_size_beyond_all_memory_is_incomplete() {
    assert_eq!(decode_record(&[0xff; 64]), Ok(None));
}

proptest! {
    #[test]
    fn any_bytes_are_records_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        if let Ok((_, rest)) = decode(&bytes) {
            prop_assert!(bytes.ends_with(rest));
        }
    }

    #[test]
    fn a_damaged_batch_is_no_panic_and_no_explosion(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let texts = ["a longer text"; 20].map(|text| field(0, Value::Text(text)));
        let fields = Cow::Borrowed(&texts[..]);
        let event = Record::Event { span: 1, callsite: 7, tsc: 11, fields, truncated: false };
        let mut bytes = batch(&[event.clone(), event]);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok((records, _)) = decode(&bytes) {
            let fields: usize = records.iter().map(|record| match record {
                Record::OpenSpan { fields, .. }
                | Record::EditSpan { fields, .. }
                | Record::Event { fields, .. } => fields.len(),
                _ => 0,
            }).sum();
            prop_assert!(fields * size_of::<Field<'_>>() <= 12 * bytes.len());
        }
    }
}

/// flatc numbers fields by their place in the vtable: from 4 on, two bytes each.
#[test]
fn slots_are_those_of_the_schema() {
    use super::slot;
    use ampoule_wire::trace::schema;

    macro_rules! same {
        ($($module:ident::$slot:ident => $table:ident::$place:ident,)*) => {
            $(assert_eq!(
                4 + 2 * slot::$module::$slot,
                usize::from(schema::$table::$place),
                stringify!($module::$slot)
            );)*
        };
    }
    same! {
        record::TYPE => Record::VT_BODY_TYPE,
        record::BODY => Record::VT_BODY,
        field::INDEX => Field::VT_INDEX,
        field::NAME => Field::VT_NAME,
        field::TYPE => Field::VT_TYPE_,
        field::BITS => Field::VT_BITS,
        field::TEXT_SLOT => Field::VT_TEXT,
        call_start::TSC => CallStart::VT_TSC,
        callsite::ID => Callsite::VT_ID,
        callsite::NAME => Callsite::VT_NAME,
        callsite::TARGET => Callsite::VT_TARGET,
        callsite::LEVEL => Callsite::VT_LEVEL,
        callsite::KIND => Callsite::VT_KIND,
        callsite::FILE => Callsite::VT_FILE,
        callsite::LINE => Callsite::VT_LINE,
        callsite::FIELDS => Callsite::VT_FIELDS,
        open_span::ID => OpenSpan::VT_ID,
        open_span::PARENT => OpenSpan::VT_PARENT,
        open_span::CALLSITE => OpenSpan::VT_CALLSITE,
        open_span::TSC => OpenSpan::VT_TSC,
        open_span::FIELDS => OpenSpan::VT_FIELDS,
        open_span::TRUNCATED => OpenSpan::VT_TRUNCATED,
        open_span::CLOSED => OpenSpan::VT_CLOSED,
        edit_span::ID => EditSpan::VT_ID,
        edit_span::FIELDS => EditSpan::VT_FIELDS,
        edit_span::TRUNCATED => EditSpan::VT_TRUNCATED,
        close_span::ID => CloseSpan::VT_ID,
        close_span::TSC => CloseSpan::VT_TSC,
        event::SPAN => Event::VT_SPAN,
        event::CALLSITE => Event::VT_CALLSITE,
        event::TSC => Event::VT_TSC,
        event::FIELDS => Event::VT_FIELDS,
        event::TRUNCATED => Event::VT_TRUNCATED,
    }
    let bodies = [
        (slot::record::CALL_START, schema::Body::CallStart),
        (slot::record::CALLSITE, schema::Body::Callsite),
        (slot::record::OPEN_SPAN, schema::Body::OpenSpan),
        (slot::record::EDIT_SPAN, schema::Body::EditSpan),
        (slot::record::CLOSE_SPAN, schema::Body::CloseSpan),
        (slot::record::EVENT, schema::Body::Event),
    ];
    assert!(bodies.iter().all(|(number, body)| *number == body.0));
    let types = [
        (slot::field::BOOL, schema::Type::Bool),
        (slot::field::SIGNED, schema::Type::Signed),
        (slot::field::UNSIGNED, schema::Type::Unsigned),
        (slot::field::FLOAT, schema::Type::Float),
        (slot::field::TEXT, schema::Type::Text),
    ];
    assert!(types.iter().all(|(number, type_)| *number == type_.0));
}
