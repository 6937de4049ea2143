//! Messages that break the protocol.
//!
//! An act that the host takes for an answer ends the call; the "survived" of the function then
//! answers the call after it.

use crate::raw::{Message, areas, ring, survived};
use ampoule_abi::channel::HEADER_SIZE;
use ampoule_guest::{HostError, guest_function, host_function};

const READY: u32 = 1;
const RETURN: u32 = 2;
const ERROR: u32 = 3;
const HOST_CALL: u32 = 4;
const ABORT: u32 = 5;

/// Does nothing.
#[host_function]
fn touch() -> Result<(), HostError>;

fn send(kind: u32, payload: &[u8]) -> String {
    Message { kind, payload, ..Message::default() }.send();
    survived()
}

/// PROTOCOL: rings without a new message.
#[guest_function]
fn ring_without_message() -> String {
    ring();
    survived()
}

/// PROTOCOL: leaves out a sequence number.
#[guest_function]
fn sequence_skips() -> String {
    let [(to_guest, _), ..] = areas();
    let last = unsafe { (to_guest as *const u32).read_volatile() };
    Message { sequence: Some(last.wrapping_add(2)), ..Message::default() }.send();
    survived()
}

/// PROTOCOL: repeats the host's sequence number.
#[guest_function]
fn sequence_repeats() -> String {
    let [(to_guest, _), ..] = areas();
    let last = unsafe { (to_guest as *const u32).read_volatile() };
    Message { sequence: Some(last), ..Message::default() }.send();
    survived()
}

/// PROTOCOL: the sequence number 0.
#[guest_function]
fn sequence_zero() -> String {
    Message { sequence: Some(0), ..Message::default() }.send();
    survived()
}

/// PROTOCOL: the largest sequence number.
#[guest_function]
fn sequence_max() -> String {
    Message { sequence: Some(u32::MAX), ..Message::default() }.send();
    survived()
}

/// PROTOCOL: a kind that is none, of the caller's choice (0, 6 and above).
#[guest_function]
fn unknown_kind(kind: u32) -> String {
    send(kind, b"\xf6")
}

/// PROTOCOL: a payload one byte longer than the area.
#[guest_function]
fn length_beyond_area() -> String {
    let [_, (_, size), _] = areas();
    Message { length: Some(size - HEADER_SIZE + 1), ..Message::default() }.send();
    survived()
}

/// PROTOCOL: the largest length.
#[guest_function]
fn length_max() -> String {
    Message { length: Some(u64::MAX), ..Message::default() }.send();
    survived()
}

/// PROTOCOL: a length that overflows when the header is added.
#[guest_function]
fn length_overflow() -> String {
    Message { length: Some(u64::MAX - HEADER_SIZE + 1), ..Message::default() }.send();
    survived()
}

/// PROTOCOL: an answer that is exactly as large as the area, all zero.
#[guest_function]
fn length_of_area() -> String {
    let [_, (_, size), _] = areas();
    send(RETURN, &vec![0; (size - HEADER_SIZE) as usize])
}

/// PROTOCOL or survives: flags that have no meaning yet.
#[guest_function]
fn unknown_flags() -> String {
    Message { flags: u32::MAX, payload: b"\x65flags", ..Message::default() }.send();
    survived()
}

/// PROTOCOL: says that it is ready, again.
#[guest_function]
fn ready_again() -> String {
    send(READY, b"")
}

/// PROTOCOL: calls a host function of which it did not speak.
#[guest_function]
fn host_call_unknown(function: u32) -> String {
    Message { kind: HOST_CALL, function, payload: b"\x80", ..Message::default() }.send();
    survived()
}

/// PROTOCOL: calls a host function with arguments that are not CBOR.
#[guest_function]
fn host_call_malformed() -> String {
    send(HOST_CALL, b"\xff")
}

/// PROTOCOL: calls a host function with arguments that are not an array.
#[guest_function]
fn host_call_without_array() -> String {
    send(HOST_CALL, b"\x01")
}

/// PROTOCOL, or survives where nobody looks at types: calls a host function with too many arguments of
/// a wrong type.
#[guest_function]
fn host_call_too_many_arguments() -> String {
    send(HOST_CALL, b"\x83\x01\x61a\xf6")
}

/// HOST_CALL_LIMIT: calls the host for ever.
#[guest_function]
fn endless_host_calls() -> u64 {
    let mut calls = 0_u64;
    loop {
        let _ = touch();
        calls = calls.wrapping_add(1);
    }
}

/// survives: calls the host once.
#[guest_function]
fn one_host_call() -> Result<String, HostError> {
    touch().map(|()| survived())
}

macro_rules! answers {
    ($($(#[$meta:meta])* $name:ident: $kind:ident $payload:expr;)*) => {
        $(
            $(#[$meta])*
            #[guest_function]
            fn $name() -> String {
                send($kind, $payload)
            }
        )*
    };
}

answers! {
    /// PROTOCOL: no result at all.
    return_empty: RETURN b"";
    /// PROTOCOL: a result that is not CBOR.
    return_malformed: RETURN b"\x1c";
    /// PROTOCOL: a result that ends early.
    return_truncated: RETURN b"\x82\x01";
    /// PROTOCOL: bytes behind the result.
    return_trailing: RETURN b"\xf6\xf6";
    /// PROTOCOL: an array of 2^64 - 1 items.
    return_lying_array: RETURN b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff";
    /// PROTOCOL: a string of 2^64 - 1 bytes.
    return_lying_string: RETURN b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff";
    /// PROTOCOL: arrays in arrays, just too deep.
    return_too_deep: RETURN &[vec![0x81; 65], vec![0]].concat();
    /// PROTOCOL: arrays in arrays, far too deep for recursion.
    return_far_too_deep: RETURN &vec![0x81; 200_000];
    /// PROTOCOL: a map with a key twice.
    return_duplicate_keys: RETURN b"\xa2\x61a\x01\x61a\x02";
    /// PROTOCOL: a map with a number as key.
    return_integer_key: RETURN b"\xa1\x01\x02";
    /// PROTOCOL or RESULT: a map with the key `__proto__`.
    return_prototype_key: RETURN b"\xa1\x69__proto__\xa1\x68polluted\xf5";
    /// PROTOCOL: an array of unknown length.
    return_indefinite: RETURN b"\x9f\x01\xff";
    /// PROTOCOL: a tagged item (a time).
    return_tagged: RETURN b"\xc1\x01";
    /// PROTOCOL: an integer of 136 bits.
    return_wide_bignum: RETURN b"\xc2\x51\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    /// ITEM_LIMIT: a million empty maps.
    return_many_items: RETURN &[b"\x9a\x00\x0f\x42\x40".as_slice(), &[0xa0; 1_000_000]].concat();
    /// ITEM_LIMIT: an error with as many.
    error_with_many_items: ERROR &[b"\xa3\x64kind\x61k\x67message\x61m\x64data\x9a\x00\x0f\x42\x40".as_slice(), &[0xa0; 1_000_000]].concat();
    /// PROTOCOL: text that is not UTF-8.
    return_invalid_utf8: RETURN b"\x62\xc3\x28";
    /// RESULT: a number where text was promised.
    return_wrong_type: RETURN b"\x01";
    /// PROTOCOL: an error that is no map.
    error_without_map: ERROR b"\x80";
    /// PROTOCOL: an error without a kind.
    error_without_kind: ERROR b"\xa1\x67message\x61m";
    /// PROTOCOL: an error whose kind is a number.
    error_with_wrong_type: ERROR b"\xa2\x64kind\x01\x67message\x61m";
    /// PROTOCOL: an error that is not CBOR.
    error_malformed: ERROR b"\xff";
    /// PROTOCOL: an error with a kind of 100,000 bytes.
    error_with_long_kind: ERROR &[b"\xa2\x67message\x61m\x64kind\x7a\x00\x01\x86\xa0".as_slice(), &[b'k'; 100_000]].concat();
    /// GUEST_ERROR: an error whose texts look like a terminal's commands and a path.
    error_with_control_characters: ERROR b"\xa2\x64kind\x64\x1b[2J\x67message\x6c/etc/passwd\0";
    /// PROTOCOL or GUEST_ABORT: an abort that is not CBOR.
    abort_malformed: ABORT b"\xff";
    /// GUEST_ABORT: an abort with addresses from everywhere.
    abort_with_wild_backtrace: ABORT b"\xa2\x67message\x61m\x69backtrace\x84\x00\x1b\xff\xff\xff\xff\xff\xff\xff\xff\x1b\x80\x00\x00\x00\x00\x00\x00\x00\x1b\x00\x00\x00\x7f\x80\x00\x00\x00";
    /// ITEM_LIMIT: an abort with a million addresses.
    abort_with_long_backtrace: ABORT &[b"\xa2\x67message\x61m\x69backtrace\x9a\x00\x0f\x42\x40".as_slice(), &[0; 1_000_000]].concat();
}

/// GUEST_ABORT: gives up and then goes on to speak.
#[guest_function]
fn speak_after_abort() -> String {
    send(ABORT, b"\xa2\x67message\x67gave up\x69backtrace\x80");
    send(RETURN, b"\x64lies")
}
