//! Functions that fail in the ways that a guest can.

use ampoule_guest::{Error, ErrorData, ErrorDetails, guest_function};
use std::collections::BTreeMap;
use std::fmt;

/// An error type with kind and data.
#[derive(Debug)]
enum ShopError {
    OutOfStock { item: String, left: u32 },
    Closed,
}

impl fmt::Display for ShopError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfStock { item, left } => write!(formatter, "only {left} of {item} left"),
            Self::Closed => formatter.write_str("the shop is closed"),
        }
    }
}

impl ErrorDetails for ShopError {
    fn kind(&self) -> String {
        match self {
            Self::OutOfStock { .. } => "OutOfStock".to_owned(),
            Self::Closed => "Closed".to_owned(),
        }
    }

    fn data(&self) -> Option<ErrorData> {
        match self {
            Self::OutOfStock { item, left } => ErrorData::new(&BTreeMap::from([
                ("item", item.clone()),
                ("left", left.to_string()),
            ])),
            Self::Closed => None,
        }
    }
}

/// Sells: error `OutOfStock` with data above 3 of an item, `Closed` without an item.
#[guest_function]
fn buy(item: String, amount: u32) -> Result<u32, ShopError> {
    match amount {
        _ if item.is_empty() => Err(ShopError::Closed),
        0..=3 => Ok(amount * 100),
        _ => Err(ShopError::OutOfStock { item, left: 3 }),
    }
}

/// Parses a number; the error type is the standard library's, so the kind is `Error`.
#[guest_function]
fn parse(text: String) -> Result<i32, std::num::ParseIntError> {
    text.parse()
}

/// Fails with a ready-made error whose data is a list.
#[guest_function]
fn fail(kind: String, message: String) -> Result<(), Error> {
    Err(Error::new(kind, message).with_data(&[1, 2, 3]))
}

/// Fails with data of the given number of bytes.
#[guest_function]
fn fail_with_large_data(length: u32) -> Result<(), Error> {
    Err(Error::new("Large", "see data").with_data(&"x".repeat(length as usize)))
}

/// Panics with the message.
#[guest_function]
fn panic(message: String) {
    panic_deep_inside(&message);
}

#[inline(never)]
fn panic_deep_inside(message: &str) {
    panic!("{message}");
}

/// Panics with an index out of bounds.
#[guest_function]
fn panic_by_index(index: u32) -> u8 {
    [1, 2, 3][std::hint::black_box(index as usize)]
}

/// Catches a panic of its own and gives its message.
#[guest_function]
fn caught_panic() -> String {
    let caught = std::panic::catch_unwind(|| panic!("caught"));
    match caught {
        Ok(()) => "no panic".to_owned(),
        Err(payload) => payload.downcast_ref::<&str>().unwrap_or(&"another payload").to_string(),
    }
}

/// Panics in a destructor while unwinding from a panic.
#[guest_function]
fn panic_while_panicking() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("second");
        }
    }
    let _bomb = Bomb;
    panic!("first");
}
