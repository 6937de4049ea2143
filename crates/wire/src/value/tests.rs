use super::*;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

fn encoded<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(value, &mut bytes).unwrap();
    bytes
}

fn problem(payload: &[u8]) -> (usize, ValueProblem) {
    let error = validate(payload, &Limits::default()).unwrap_err();
    (error.offset, error.what)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Line(i32, i32),
    Box { width: u64, label: Option<String> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    flag: bool,
    small: i8,
    signed: i64,
    unsigned: u64,
    float: f64,
    letter: char,
    text: String,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
    option: Option<i32>,
    unit: (),
    pair: (u8, String),
    shapes: Vec<Shape>,
    by_number: BTreeMap<i32, Shape>,
    by_name: BTreeMap<String, Vec<u16>>,
}

#[test]
fn the_mapping_is_that_of_json() {
    assert_eq!(encoded(&()), b"\xf6");
    assert_eq!(encoded(&None::<i32>), b"\xf6");
    assert_eq!(encoded(&Shape::Point), b"\x65Point");
    assert_eq!(encoded(&Shape::Line(1, -1)), b"\xa1\x64Line\x82\x01\x20");
    assert_eq!(encoded(&BTreeMap::from([(7, true)])), b"\xa1\x617\xf5");
    assert_eq!(encoded(&Ipv4Addr::LOCALHOST), b"\x69127.0.0.1");
    assert_eq!(encoded(serde_bytes::Bytes::new(b"ab")), b"\x42ab");
    assert_eq!(decode::<Ipv4Addr>(b"\x69127.0.0.1").unwrap(), Ipv4Addr::LOCALHOST);
}

#[test]
fn an_integer_is_a_float_but_not_the_reverse() {
    assert_eq!(decode::<f64>(b"\x01"), Ok(1.0));
    assert_eq!(decode::<f32>(b"\x20"), Ok(-1.0));
    assert_eq!(decode::<f64>(b"\xf9\x3c\x00"), Ok(1.0));
    assert!(decode::<i32>(b"\xf9\x3c\x00").is_err());
}

#[test]
fn undefined_reads_as_null() {
    assert_eq!(decode::<Option<i32>>(b"\xf7"), Ok(None));
    assert_eq!(decode::<()>(b"\xf7"), Ok(()));
}

#[test]
fn conversion_errors_say_what_was_expected() {
    let error = decode::<i32>(&encoded(&3_000_000_000_u32)).unwrap_err();
    assert_eq!(error.to_string(), "invalid value: integer `3000000000`, expected i32");
    let error = decode::<(i32, i32)>(&encoded(&(1, 2, 3))).unwrap_err();
    assert_eq!(error.to_string(), "1 items too many");
    let mut bytes = Vec::new();
    assert!(encode(&BTreeMap::from([(vec![1], 1)]), &mut bytes).is_err());
}

#[test]
fn integers_of_128_bits_are_bignums_where_64_do_not_hold_them() {
    assert_eq!(encoded(&i128::from(u64::MAX)), encoded(&u64::MAX));
    assert_eq!(encoded(&i128::from(i64::MIN)), encoded(&i64::MIN));
    assert_eq!(encoded(&(1_u128 << 64)), b"\xc2\x49\x01\0\0\0\0\0\0\0\0");
    assert_eq!(encoded(&(i128::from(i64::MIN) - 1)), b"\xc3\x48\x80\0\0\0\0\0\0\0");
    for value in [i128::MIN, i128::MAX, -(1 << 64), 1 << 64, -1, 0] {
        let bytes = encoded(&value);
        assert_eq!(validate(&bytes, &Limits::default()), Ok(()));
        assert_eq!(decode::<i128>(&bytes), Ok(value));
    }
    for value in [u128::MAX, 1 << 64, 0] {
        let bytes = encoded(&value);
        assert_eq!(validate(&bytes, &Limits::default()), Ok(()));
        assert_eq!(decode::<u128>(&bytes), Ok(value));
    }
    assert!(decode::<u64>(&encoded(&u128::MAX)).is_err());
    assert!(decode::<u128>(&encoded(&i128::MIN)).is_err());
}

#[test]
fn every_item_is_counted_and_costly_ones_twice() {
    // A list of 3; a map of 1, a key of 2, a number of 1; bytes of 2; a bignum of 2.
    let payload = b"\x83\xa1\x61k\x07\x40\xc2\x41\x01";
    let limited = |items| validate(payload, &Limits { items, ..Limits::default() });
    assert_eq!(limited(9), Ok(()));
    let error = limited(8).unwrap_err();
    assert_eq!(error.what, ValueProblem::TooManyItems { limit: 8 });
    // A list that cannot keep the limit is refused where it begins.
    let mut long = vec![0x9a, 0, 0x10, 0, 0];
    long.resize(5 + (1 << 20), 0xa0);
    let error = validate(&long, &Limits { items: 100, ..Limits::default() }).unwrap_err();
    assert_eq!((error.offset, error.what), (0, ValueProblem::TooManyItems { limit: 100 }));
}

#[test]
fn sequences_of_unknown_length_get_their_head() {
    struct Unknown;
    impl Serialize for Unknown {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeSeq;
            let mut sequence = serializer.serialize_seq(None)?;
            for item in 0..300_u32 {
                sequence.serialize_element(&item)?;
            }
            sequence.end()
        }
    }
    let bytes = encoded(&("before", Unknown, "after"));
    validate(&bytes, &Limits::default()).unwrap();
    let (_, items, after): (String, Vec<u32>, String) = decode(&bytes).unwrap();
    assert_eq!(items, (0..300).collect::<Vec<_>>());
    assert_eq!(after, "after");
}

#[test]
fn depth_is_bounded_everywhere() {
    #[derive(Serialize, Deserialize)]
    struct Nested(Vec<Nested>);

    let mut payload = vec![0x81; DEPTH_LIMIT];
    payload.push(0);
    validate(&payload, &Limits::default()).unwrap();
    payload.insert(0, 0x81);
    assert_eq!(problem(&payload), (DEPTH_LIMIT, ValueProblem::TooDeep { limit: DEPTH_LIMIT }));
    assert!(decode::<serde_json::Value>(&payload).is_err());

    let mut nested = Nested(vec![]);
    for _ in 0..DEPTH_LIMIT {
        nested = Nested(vec![nested]);
    }
    assert!(encode(&nested, &mut Vec::new()).is_err());
    assert!(encode(&nested.0[0], &mut Vec::new()).is_ok());
    // Far beyond what recursion would survive.
    assert_eq!(problem(&vec![0x81; 1 << 20]).0, DEPTH_LIMIT);
}

#[test]
fn the_validator_names_problem_and_place() {
    use ValueProblem::*;
    assert_eq!(problem(b""), (0, Truncated));
    assert_eq!(problem(b"\x00\x00"), (1, Trailing));
    assert_eq!(problem(b"\x82\x00"), (0, Truncated));
    assert_eq!(problem(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"), (0, Truncated));
    assert_eq!(problem(b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff"), (0, Truncated));
    assert_eq!(problem(b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff"), (0, Truncated));
    assert_eq!(problem(b"\x81\x61\xff"), (1, InvalidUtf8));
    assert_eq!(problem(b"\x9f\xff"), (0, IndefiniteLength));
    assert_eq!(problem(b"\x7f\x61a\xff"), (0, IndefiniteLength));
    assert_eq!(problem(b"\xc1\x01"), (0, Tagged));
    assert_eq!(problem(b"\xc4\x41\x01"), (0, Tagged));
    assert_eq!(problem(b"\xc2\x61\x31"), (0, Tagged));
    assert_eq!(problem(b"\xc2\xc2\x41\x01"), (0, Tagged));
    assert_eq!(problem(b"\xc2"), (0, Tagged));
    assert_eq!(problem(b"\xc2\x42\x01"), (0, Truncated));
    assert_eq!(problem(&[b"\xc2\x51", &[1; 17][..]].concat()), (0, IntegerRange));
    assert_eq!(problem(&[b"\xc3\x50\x80", &[0; 15][..]].concat()), (0, IntegerRange));
    assert_eq!(problem(b"\xe0"), (0, UnknownSimple));
    assert_eq!(problem(b"\xff"), (0, Malformed));
    assert_eq!(problem(b"\x1c"), (0, Malformed));
    assert_eq!(problem(b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff"), (0, IntegerRange));
    assert_eq!(problem(b"\xa1\x00\x00"), (1, KeyNotText));
    assert_eq!(problem(b"\xa2\x61a\x00\x61a\x01"), (4, DuplicateKey));
    // A key may stand in two maps, and its text may be a value.
    assert!(validate(b"\xa1\x61a\xa1\x61a\x61a", &Limits::default()).is_ok());
    assert!(validate(b"\xa2\x61a\xa1\x61b\x00\x61b\x01", &Limits::default()).is_ok());
}

fn any_shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Point),
        any::<f64>().prop_map(Shape::Circle),
        any::<(i32, i32)>().prop_map(|(a, b)| Shape::Line(a, b)),
        any::<(u64, Option<String>)>().prop_map(|(width, label)| Shape::Box { width, label }),
    ]
}

prop_compose! {
    fn anything()(
        scalars: (bool, i8, i64, u64, f64, char, String, Vec<u8>, Option<i32>, (u8, String)),
        shapes in prop::collection::vec(any_shape(), 0..4),
        by_number in prop::collection::btree_map(any::<i32>(), any_shape(), 0..4),
        by_name: BTreeMap<String, Vec<u16>>,
    ) -> Everything {
        let (flag, small, signed, unsigned, float, letter, text, bytes, option, pair) = scalars;
        Everything {
            flag, small, signed, unsigned, float, letter, text, bytes, option, unit: (), pair,
            shapes, by_number, by_name,
        }
    }
}

proptest! {
    #[test]
    fn decode_gives_back_what_was_encoded(value in anything()) {
        let bytes = encoded(&value);
        prop_assert_eq!(validate(&bytes, &Limits::default()), Ok(()));
        prop_assert_eq!(decode::<Everything>(&bytes), Ok(value));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
        let valid = validate(&bytes, &Limits::default()).is_ok();
        let _ = decode::<Everything>(&bytes);
        let decoded = decode::<serde::de::IgnoredAny>(&bytes);
        prop_assert!(!valid || decoded.is_ok(), "valid but not decodable");
    }

    #[test]
    fn damaged_values_do_not_panic(value in anything(), at: prop::sample::Index, byte: u8) {
        let mut bytes = encoded(&value);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = validate(&bytes, &Limits::default());
        let _ = decode::<Everything>(&bytes);
        let _ = validate(&bytes[..at], &Limits::default());
    }
}
