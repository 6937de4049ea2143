//! The same program on plain Linux: its functions from the command line, for tests and debuggers.

use crate::serve::arguments::CallArguments;
use crate::serve::functions::{Functions, start};
use ampoule_wire::failure::GuestError;
use ampoule_wire::interface::Function;
use ampoule_wire::value::{self, Deserializer};
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};
use std::fmt;
use std::io::Write;
use std::process::ExitCode;

/// Exit status of a wrong command line.
const USAGE: u8 = 2;

/// The program with the command line of the process.
pub(super) fn run<F: Functions>(
    make: impl FnOnce() -> Result<F, String>,
    build_id: &str,
) -> ExitCode {
    match make() {
        Ok(mut functions) => answer(&mut functions, build_id),
        Err(error) => complain(&error, ExitCode::FAILURE),
    }
}

fn answer(functions: &mut dyn Functions, build_id: &str) -> ExitCode {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["describe"] => print(&functions.describe().interface(build_id).to_json()),
        ["call", name, arguments @ ..] => {
            let exports = functions.describe().exports;
            let Some(index) = exports.iter().position(|export| export.name == *name) else {
                let names: Vec<_> = exports.iter().map(|export| export.name.as_str()).collect();
                let error = format!("no function `{name}`; there are: {}", names.join(", "));
                return complain(&error, ExitCode::from(USAGE));
            };
            if let Err(error) = start(functions) {
                return complain(&error, ExitCode::FAILURE);
            }
            match call(functions, index, &exports[index], arguments) {
                Ok(result) => print(&result.to_string()),
                Err(error) => complain(&describe(&error).to_string(), ExitCode::FAILURE),
            }
        }
        _ => complain(
            &format!(
                "this is an Ampoule guest, and there is no host.\n\
                 usage: {program} describe\n       {program} call <function> [<json argument>...]"
            ),
            ExitCode::from(USAGE),
        ),
    }
}

fn print(line: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(line: &str, status: ExitCode) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{line}");
    status
}

fn describe(error: &GuestError) -> Value {
    let data = error.data.as_deref().and_then(|data| to_json(data).ok());
    json!({ "kind": error.kind, "message": error.message, "data": data })
}

fn call(
    functions: &mut dyn Functions,
    index: usize,
    export: &Function,
    arguments: &[&str],
) -> Result<Value, GuestError> {
    let parameters = &export.parameters;
    let values: Vec<Value> = arguments
        .iter()
        .enumerate()
        .map(|(index, text)| argument(text, parameters.get(index).map(|it| it.schema.as_str())))
        .collect();
    let mut payload = Vec::new();
    let invalid =
        |kind: &str, message: String| GuestError { kind: kind.to_owned(), message, data: None };
    value::encode(&values, &mut payload)
        .map_err(|error| invalid("InvalidArgument", error.to_string()))?;

    let mut result = Vec::new();
    functions.call(index, CallArguments::of(&payload), &mut result)?;
    to_json(&result).map_err(|error| invalid("InvalidResult", error))
}

/// One argument of the command line: JSON, but text need not be quoted. Text for bytes stands for
/// its UTF-8.
fn argument(text: &str, schema: Option<&str>) -> Value {
    let schema: Value = schema.and_then(|s| serde_json::from_str(s).ok()).unwrap_or_default();
    let is_text = schema["type"] == "string";
    let value = match serde_json::from_str(text) {
        Ok(value @ (Value::String(_) | Value::Array(_) | Value::Null)) => value,
        Ok(value) if !is_text => value,
        _ => Value::String(text.to_owned()),
    };
    match value {
        Value::String(text) if schema["contentEncoding"] == "bytes" => text.into_bytes().into(),
        value => value,
    }
}

/// The JSON form of an encoded value; bytes become arrays of numbers, as they are accepted, and integers
/// beyond 64 bits strings of digits.
fn to_json(payload: &[u8]) -> Result<Value, String> {
    Json.deserialize(&mut Deserializer::new(payload)).map_err(|error| error.to_string())
}

#[derive(Clone, Copy)]
struct Json;

impl<'de> DeserializeSeed<'de> for Json {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! scalars {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method<E>(self, value: $type) -> Result<Value, E> {
            Ok(value.into())
        })*
    };
}

impl<'de> Visitor<'de> for Json {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    scalars! {
        visit_bool: bool,
        visit_i64: i64,
        visit_u64: u64,
        visit_f64: f64,
        visit_str: &str,
        visit_bytes: &[u8],
    }

    // JSON readers keep numbers of this size as doubles, if at all.
    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(value.to_string().into())
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(value.to_string().into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            object.insert(key, entries.next_value_seed(self)?);
        }
        Ok(object.into())
    }
}
