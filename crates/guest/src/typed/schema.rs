//! JSON Schema of Rust types, in the form that `schema/interface.fbs` describes.

use crate::bytes::Bytes;
use schemars::generate::{Contract, SchemaSettings};
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};

/// Which side reads values of the type, as far as serde's attributes make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The host sends, the guest reads.
    ToGuest,
    /// The guest sends, the host reads.
    ToHost,
}

/// The schema of `T` as text.
pub(crate) fn of<T: JsonSchema + ?Sized>(direction: Direction) -> String {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.contract = match direction {
            Direction::ToGuest => Contract::Deserialize,
            Direction::ToHost => Contract::Serialize,
        };
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    if T::inline_schema() {
        // The name of a type such as `Array_of_int32` says no more than the schema.
        schema.remove("title");
    }
    RecursiveTransform(normalise_integers).transform(&mut schema);
    schema.as_value().to_string()
}

/// The schema of bytes as text.
pub(crate) fn bytes(direction: Direction) -> String {
    of::<Bytes>(direction)
}

/// Gives the integers of the machine's own size, which has 64 bits, the format by which the host knows
/// them.
fn normalise_integers(schema: &mut Schema) {
    let format = match schema.get("format").and_then(|format| format.as_str()) {
        Some("int") => "int64",
        Some("uint") => "uint64",
        _ => return,
    };
    schema.insert("format".to_owned(), format.into());
}
