//! Guest errors and aborts.

use ampoule_wire::failure::{Abort, GuestError};
use ampoule_wire::value::Limits;

/// What decodes is within bounds: it encodes, and decodes to the same again.
pub fn check(input: &[u8]) {
    let limits = Limits::default();
    if let Ok(error) = GuestError::decode(input, &limits) {
        let again = GuestError::decode(&error.encode(), &limits);
        assert_eq!(again.as_ref(), Ok(&error));
    }
    if let Ok(abort) = Abort::decode(input, &limits) {
        let again = Abort::decode(&abort.encode(), &limits);
        assert_eq!(again.as_ref(), Ok(&abort));
    }
}

/// One of each, full and empty.
pub fn seeds() -> Vec<Vec<u8>> {
    let error = GuestError {
        kind: "NotFound".to_owned(),
        message: "no such thing".to_owned(),
        data: Some(b"\xa1\x61n\x07".to_vec()),
    };
    let abort = Abort {
        message: "index out of bounds".to_owned(),
        file: Some("src/main.rs".to_owned()),
        line: Some(7),
        column: Some(13),
        backtrace: vec![0x20_1000, 0x20_2000, u64::MAX],
    };
    vec![
        error.encode(),
        GuestError { data: None, ..error }.encode(),
        abort.encode(),
        Abort::default().encode(),
    ]
}
