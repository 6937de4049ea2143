//! What the macros make of functions, as far as it shows without a sandbox.

use ampoule_guest::{
    Bytes, Error, ErrorData, ErrorDetails, HostError, guest_function, host_function,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Place {
    name: String,
    height: Option<i64>,
}

/// Adds.
///
/// Two numbers.
#[guest_function]
fn add(left: i32, right: i32) -> i32 {
    left + right
}

#[guest_function]
fn borrow(text: &str, bytes: &[u8], places: &[Place], place: &Place) -> usize {
    text.len() + bytes.len() + places.len() + place.name.len()
}

#[guest_function]
fn mutable(mut list: Vec<i64>) -> Result<Vec<u8>, Error> {
    list.reverse();
    Ok(vec![u8::try_from(list.len()).unwrap_or(u8::MAX)])
}

#[guest_function]
fn keyword(r#type: Option<Bytes>) -> Option<Bytes> {
    r#type
}

#[host_function]
fn ask(question: &str, number: u64) -> Result<Place, HostError>;

#[host_function]
pub(crate) fn convert(bytes: Vec<u8>) -> Result<Vec<u8>, HostError>;

#[test]
fn functions_remain_ordinary_functions() {
    let place = Place { name: "x".to_owned(), height: None };
    assert_eq!(add(1, 2), 3);
    assert_eq!(borrow("ab", b"c", &[], &place), 4);
    assert_eq!(mutable(vec![1, 2, 3]), Ok(vec![3]));
    assert_eq!(keyword(None), None);
}

#[test]
fn host_functions_fail_clearly_without_a_host() {
    let error = ask("why", 1).unwrap_err();
    assert_eq!(error.kind(), "NotServing");
    assert_eq!(error.function(), "ask");
    assert_eq!(
        error.to_string(),
        "host function `ask`: there is no host: the program runs on plain Linux"
    );
    assert!(convert(vec![]).is_err());
}

#[test]
fn errors_keep_their_details() {
    let error = Error::new("NotFound", "no such place").with_data(&vec![1, 2]);
    assert_eq!(error.kind(), "NotFound");
    assert_eq!(error.data().and_then(|data| data.get::<Vec<i32>>()), Some(vec![1, 2]));
    assert_eq!(ErrorData::new("text").and_then(|data| data.get::<i32>()), None);

    let converted = Error::from(ask("why", 1).unwrap_err());
    assert_eq!(converted.kind(), "NotServing");
}

#[test]
fn bytes_are_bytes_in_the_schema_and_on_the_wire() {
    let schema = schemars::schema_for!(Bytes);
    assert_eq!(schema.get("contentEncoding").and_then(|value| value.as_str()), Some("bytes"));
    let mut encoded = Vec::new();
    ampoule_wire::value::encode(&Bytes(vec![1, 2]), &mut encoded).unwrap();
    assert_eq!(encoded, b"\x42\x01\x02");
    assert_eq!(ampoule_wire::value::decode::<Bytes>(&encoded), Ok(Bytes(vec![1, 2])));
}
