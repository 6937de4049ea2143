//! Functions that give back what they are given, one for each kind of value.

use ampoule_guest::{Bytes, guest_function};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// A place on a plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Point {
    /// To the right.
    x: f64,
    /// Upwards.
    y: f64,
}

/// Something to draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Shape {
    /// Nothing at all.
    Empty,
    /// One point.
    Dot(Point),
    /// From one point to another.
    Line(Point, Point),
    /// A circle.
    Circle {
        /// Its centre.
        center: Point,
        /// Its radius.
        radius: f64,
    },
}

/// A struct with a field of every kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Everything {
    flag: bool,
    small: u8,
    number: i32,
    signed_long: i64,
    unsigned_long: u64,
    float: f64,
    text: String,
    bytes: Bytes,
    optional: Option<String>,
    list: Vec<i32>,
    pair: (i32, String),
    shape: Shape,
    map: HashMap<String, i64>,
    by_number: HashMap<u32, String>,
}

macro_rules! echo {
    ($($(#[$meta:meta])* $name:ident($type:ty);)*) => {
        $(
            $(#[$meta])*
            #[guest_function]
            fn $name(value: $type) -> $type {
                value
            }
        )*
    };
}

echo! {
    /// Gives back a 32-bit integer.
    echo_i32(i32);
    /// Gives back a signed 64-bit integer.
    echo_i64(i64);
    /// Gives back an unsigned 64-bit integer.
    echo_u64(u64);
    /// Gives back a byte-sized integer.
    echo_u8(u8);
    /// Gives back a float.
    echo_f64(f64);
    /// Gives back a boolean.
    echo_bool(bool);
    /// Gives back a string.
    echo_string(String);
    /// Gives back a character.
    echo_char(char);
    /// Gives back a string or nothing.
    echo_option(Option<String>);
    /// Gives back a list.
    echo_vec(Vec<i32>);
    /// Gives back a list of 64-bit integers.
    echo_vec_i64(Vec<i64>);
    /// Gives back a tuple.
    echo_tuple((i32, String, bool));
    /// Gives back a struct.
    echo_struct(Point);
    /// Gives back an enum.
    echo_enum(Shape);
    /// Gives back bytes.
    echo_bytes(Vec<u8>);
    /// Gives back bytes or nothing.
    echo_optional_bytes(Option<Bytes>);
    /// Gives back a map.
    echo_map(HashMap<String, i32>);
    /// Gives back nothing for nothing.
    echo_unit(());
    /// Gives back all of it.
    echo_everything(Everything);
}

/// The length of a borrowed string, in bytes.
#[guest_function]
fn text_length(text: &str) -> usize {
    text.len()
}

/// The sum of borrowed bytes.
#[guest_function]
fn sum_bytes(bytes: &[u8]) -> u64 {
    bytes.iter().map(|&byte| u64::from(byte)).sum()
}

/// The number of its two optional arguments that are there.
#[guest_function]
fn count_optional(first: Option<i32>, second: Option<i32>) -> usize {
    usize::from(first.is_some()) + usize::from(second.is_some())
}

/// A string of `length` times `x`.
#[guest_function]
fn repeat(length: u32) -> String {
    "x".repeat(length as usize)
}

/// Bytes of a given number, all zero.
#[guest_function]
fn zeros(length: u32) -> Vec<u8> {
    vec![0; length as usize]
}
