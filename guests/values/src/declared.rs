//! Values of types that the host chooses: a guest may declare what it likes, and send anything.
//!
//! The files `/argument.json` and `/result.json` hold the JSON Schemas of [`Argument`] and [`Outcome`].

use ampoule_guest::{Error, guest_function};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// Any value at all.
#[derive(Debug, Clone)]
enum Any {
    Null,
    Bool(bool),
    Signed(i128),
    Unsigned(u128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Any>),
    Map(Vec<(String, Any)>),
}

impl Serialize for Any {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Signed(value) => serializer.serialize_i128(*value),
            Self::Unsigned(value) => serializer.serialize_u128(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Bytes(value) => serializer.serialize_bytes(value),
            Self::List(items) => items.serialize(serializer),
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor)
    }
}

struct AnyVisitor;

macro_rules! visits {
    ($($method:ident($type:ty) => |$value:ident| $any:expr;)*) => {
        $(fn $method<E: de::Error>(self, $value: $type) -> Result<Any, E> {
            Ok($any)
        })*
    };
}

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Any;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    visits! {
        visit_bool(bool) => |value| Any::Bool(value);
        visit_i64(i64) => |value| Any::Signed(value.into());
        visit_i128(i128) => |value| Any::Signed(value);
        visit_u64(u64) => |value| Any::Unsigned(value.into());
        visit_u128(u128) => |value| Any::Unsigned(value);
        visit_f64(f64) => |value| Any::Float(value);
        visit_str(&str) => |value| Any::Text(value.to_owned());
        visit_bytes(&[u8]) => |value| Any::Bytes(value.to_vec());
    }

    fn visit_unit<E: de::Error>(self) -> Result<Any, E> {
        Ok(Any::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Any, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Any::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Any, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Any::Map(entries))
    }
}

macro_rules! declared {
    ($($(#[$meta:meta])* $name:ident from $file:literal;)*) => {
        $(
            $(#[$meta])*
            #[derive(Serialize, Deserialize)]
            struct $name(Any);

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn inline_schema() -> bool {
                    true
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    let text = std::fs::read_to_string($file).unwrap_or_else(|_| "{}".to_owned());
                    serde_json::from_str(&text).expect("a JSON Schema")
                }
            }
        )*
    };
}

declared! {
    /// What the host says it gives.
    Argument from "/argument.json";
    /// What the host says it receives.
    Outcome from "/result.json";
    /// Whatever it is.
    Undeclared from "/nothing";
}

/// Gives back what it is given.
#[guest_function]
fn echo_declared(value: Argument) -> Outcome {
    Outcome(value.0)
}

/// Gives back what it is given, whatever was said that it would be.
#[guest_function]
fn send_declared(value: Undeclared) -> Outcome {
    Outcome(value.0)
}

/// Takes what it is given.
#[guest_function]
fn take_declared(value: Argument) -> usize {
    std::mem::size_of_val(&value)
}

/// Gives a list of `times` times what it is given.
#[guest_function]
fn repeat_declared(value: Undeclared, times: u32) -> Outcome {
    Outcome(Any::List(vec![value.0; times as usize]))
}

/// Fails with a list of `times` times what it is given.
#[guest_function]
fn fail_declared(value: Undeclared, times: u32) -> Result<(), Error> {
    Err(Error::new("Declared", "with much data").with_data(&vec![value.0; times as usize]))
}
