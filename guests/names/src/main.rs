//! A guest whose functions have names that mean something to JavaScript, to Node.js or to test tools.
#![expect(non_snake_case, reason = "the names are JavaScript's")]

use ampoule_guest::{HostError, guest_function, host_function};

/// A host function that every object of JavaScript seems to have.
#[host_function]
fn toString(value: i32) -> Result<String, HostError>;

/// Calls it.
#[guest_function]
fn ask(value: i32) -> Result<String, HostError> {
    toString(value)
}

/// Functions that can be called with nothing.
macro_rules! taking_nothing {
    ($($name:ident)*) => {
        $(
            #[guest_function]
            fn $name() -> String {
                stringify!($name).to_owned()
            }
        )*
    };
}

/// Functions that can be called with a number.
macro_rules! taking_a_number {
    ($($name:ident)*) => {
        $(
            #[guest_function]
            fn $name(value: i32) -> i32 {
                value + 1
            }
        )*
    };
}

/// Functions that can be called with any text, as methods often are.
macro_rules! taking_text {
    ($($name:ident)*) => {
        $(
            #[guest_function]
            fn $name(text: String) -> String {
                text
            }
        )*
    };
}

taking_nothing! {
    valueOf toLocaleString constructor href protocol nodeType tagName prototype name length size getReader
    hasInvalidDate entries keys values pop
}
taking_a_number! {
    then catch finally on once emit pipe apply bind call map filter __proto__ asymmetricMatch calls sample
    at push next done value
}
taking_text! {
    toJSON toBSON inspect hasAttribute hasOwnProperty propertyIsEnumerable isPrototypeOf get has
    __defineGetter__ __lookupGetter__ equals
}

ampoule_guest::main!();
