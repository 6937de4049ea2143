//! Arguments and results: CBOR.

use ampoule_wire::value::{Limits, decode, encode, validate};
use serde_json::{Value, json};

/// Validation and decoding neither panic nor disagree about what they keep.
pub fn check(input: &[u8]) {
    let valid = validate(input, &Limits::default());
    if let Err(error) = &valid {
        assert!(error.offset <= input.len(), "an error beyond the input: {error}");
    }
    // Decoding has to be safe also for what validation refuses.
    let Ok(value) = decode::<Value>(input) else { return };
    let mut encoded = Vec::new();
    if encode(&value, &mut encoded).is_err() {
        return;
    }
    assert!(
        validate(&encoded, &Limits::default()).is_ok(),
        "our own encoding of {value} is refused"
    );
}

/// Values of every type, and malformed ones.
pub fn seeds() -> Vec<Vec<u8>> {
    let value = json!([
        null, true, 0, -1, 23, 24, 256, 65536, i64::MIN, u64::MAX, 1.5, "", "text \u{1f4a1}",
        [[[[]]]], { "a": { "b": [1, { "c": null }] } }
    ]);
    let mut encoded = Vec::new();
    encode(&value, &mut encoded).expect("the seed is within bounds");
    let mut seeds = vec![encoded];
    seeds.extend(
        [
            // Byte strings, half floats, and what is not allowed: indefinite lengths, tags,
            // duplicate and numeric keys, a length beyond the end, deep nesting, trailing bytes.
            &b"\x44\x00\x01\x02\x03"[..],
            b"\xf9\x7c\x00",
            b"\x9f\x01\xff",
            b"\x5f\x41\x00\xff",
            b"\xc1\x00",
            b"\xa2\x61a\x01\x61a\x02",
            b"\xa1\x01\x02",
            b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff",
            &[0x81; 70],
            b"\x01\x02",
            b"\x63\xff\xff\xff",
        ]
        .map(<[u8]>::to_vec),
    );
    seeds
}
