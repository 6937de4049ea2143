use super::*;
use crate::value;
use proptest::prelude::*;

fn decode_error(payload: &[u8]) -> FailureError {
    GuestError::decode(payload, &Limits::default()).unwrap_err()
}

#[test]
fn problems_are_named() {
    assert_eq!(decode_error(b"\x80"), FailureError::NotAMap);
    assert_eq!(decode_error(b"\xa0"), FailureError::Missing { field: "kind" });
    assert_eq!(
        decode_error(b"\xa1\x64kind\x01"),
        FailureError::WrongType { field: "kind", expected: "text" }
    );
    assert!(matches!(decode_error(b"\xa1"), FailureError::Value(_)));
    let mut payload = b"\xa1\x64kind".to_vec();
    value::encode(&"k".repeat(KIND_LIMIT + 1), &mut payload).unwrap();
    assert_eq!(
        decode_error(&payload),
        FailureError::TooLong { field: "kind", length: KIND_LIMIT + 1, limit: KIND_LIMIT }
    );
}

#[test]
fn encoders_keep_the_limits_of_decoders() {
    let error = GuestError {
        kind: "ä".repeat(KIND_LIMIT),
        message: "ä".repeat(MESSAGE_LIMIT),
        data: Some(vec![0xf6]),
    };
    let decoded = GuestError::decode(&error.encode(), &Limits::default()).unwrap();
    assert_eq!(decoded.message.len(), MESSAGE_LIMIT);
    assert_eq!(decoded.data, Some(vec![0xf6]));

    let abort = Abort {
        message: "x".repeat(MESSAGE_LIMIT + 1),
        file: Some("f".repeat(FILE_LIMIT + 1)),
        line: Some(1),
        column: None,
        backtrace: vec![u64::MAX; BACKTRACE_LIMIT + 1],
    };
    let decoded = Abort::decode(&abort.encode(), &Limits::default()).unwrap();
    assert_eq!(decoded.backtrace.len(), BACKTRACE_LIMIT);
    assert_eq!(decoded.file.unwrap().len(), FILE_LIMIT);
}

proptest! {
    #[test]
    fn guest_errors_round_trip(kind in "[a-zA-Z]{0,20}", message: String, data: Option<String>) {
        let data = data.map(|text| {
            let mut bytes = Vec::new();
            value::encode(&text, &mut bytes).unwrap();
            bytes
        });
        let error = GuestError { kind, message, data };
        prop_assert_eq!(GuestError::decode(&error.encode(), &Limits::default()), Ok(error));
    }

    #[test]
    fn aborts_round_trip(
        message: String,
        file: Option<String>,
        line: Option<u32>,
        column: Option<u32>,
        backtrace: Vec<u64>,
    ) {
        let abort = Abort { message, file, line, column, backtrace };
        prop_assert_eq!(Abort::decode(&abort.encode(), &Limits::default()), Ok(abort));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
        let _ = GuestError::decode(&bytes, &Limits::default());
        let _ = Abort::decode(&bytes, &Limits::default());
    }
}
