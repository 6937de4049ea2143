//! Types as Rust programs have them, one function each.

use ampoule_guest::{Bytes, guest_function};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

macro_rules! echo {
    ($($name:ident($type:ty);)*) => {
        $(
            /// Gives back what it is given.
            #[guest_function]
            fn $name(value: $type) -> $type {
                value
            }
        )*
    };
}

pub(crate) use echo;

/// A number with a unit.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Meters(f64);

/// Two of them.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Pair(u8, String);

/// Nothing but a name.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Marker;

/// A list inside itself.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Tree {
    /// Its name.
    label: String,
    /// Its size.
    size: u64,
    /// What is below it.
    children: Vec<Tree>,
    /// What is beside it.
    next: Option<Box<Tree>>,
}

/// Parts that may be absent.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Item {
    name: String,
    count: Option<u32>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// A struct in which others are flattened.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Flat {
    id: u64,
    #[serde(flatten)]
    meters: Extent,
    #[serde(flatten)]
    rest: BTreeMap<String, i64>,
}

/// For [`Flat`].
#[derive(Serialize, Deserialize, JsonSchema)]
struct Extent {
    width: u64,
    height: u64,
}

/// Knows no others than its own.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Strict {
    only: i32,
}

/// What is deep inside.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Wide(Item, i128);

/// A key.
#[derive(PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Color {
    Red,
    Green,
    Blue,
}

/// Every scalar at once.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Scalars {
    i8: i8,
    u16: u16,
    i32: i32,
    u64: u64,
    i128: i128,
    u128: u128,
    f32: f32,
    f64: f64,
    bool: bool,
    char: char,
    text: String,
    bytes: Bytes,
    unit: (),
}

echo! {
    echo_i8(i8);
    echo_i16(i16);
    echo_i32(i32);
    echo_i64(i64);
    echo_i128(i128);
    echo_isize(isize);
    echo_u8(u8);
    echo_u16(u16);
    echo_u32(u32);
    echo_u64(u64);
    echo_u128(u128);
    echo_usize(usize);
    echo_nonzero(NonZeroU32);
    echo_f32(f32);
    echo_f64(f64);
    echo_bool(bool);
    echo_char(char);
    echo_text(String);
    echo_unit(());
    echo_bytes(Vec<u8>);
    echo_json(serde_json::Value);
    echo_duration(Duration);
    echo_address(IpAddr);
    echo_list(Vec<i32>);
    echo_bytes_list(Vec<Bytes>);
    echo_deque(VecDeque<u64>);
    echo_array([u8; 4]);
    echo_tuple((i32, String, Option<bool>));
    echo_set(BTreeSet<String>);
    echo_hash_set(HashSet<i64>);
    echo_map(BTreeMap<String, i32>);
    echo_hash_map(HashMap<String, Vec<u8>>);
    echo_int_map(BTreeMap<i32, String>);
    echo_uint_map(BTreeMap<u8, u64>);
    echo_char_map(BTreeMap<char, bool>);
    echo_bool_map(BTreeMap<bool, i32>);
    echo_color_map(BTreeMap<Color, i32>);
    echo_option(Option<u64>);
    echo_nested_option(Option<Vec<Option<String>>>);
    echo_newtype(Meters);
    echo_pair(Pair);
    echo_marker(Marker);
    echo_tree(Tree);
    echo_item(Item);
    echo_flat(Flat);
    echo_strict(Strict);
    echo_scalars(Scalars);
    echo_deep(Vec<BTreeMap<String, Vec<Option<Wide>>>>);
}
