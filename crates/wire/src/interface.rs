//! What a guest offers and needs, as it describes itself when it is ready.

use crate::generated::interface::ampoule::wire as generated;
use flatbuffers::{FlatBufferBuilder, ForwardsUOffset, InvalidFlatbuffer, Vector, VerifierOptions};
use serde_json::json;
use std::collections::HashSet;

/// Bytes of an encoded interface.
pub const SIZE_LIMIT: usize = 1 << 20;
/// Bytes of an interface as JSON, in which a byte of a text can take six.
pub const JSON_LIMIT: usize = 2 << 20;
/// Exports and imports together.
pub const FUNCTION_LIMIT: usize = 4096;
/// Parameters of one function.
pub const PARAMETER_LIMIT: usize = 64;
/// Bytes of a function's or parameter's name.
pub const NAME_LIMIT: usize = 128;

/// Everything a guest says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// The `ampoule_abi::version` it was built against.
    pub abi_version: u32,
    /// Name of the SDK it was built with.
    pub sdk: String,
    /// Version of that SDK.
    pub sdk_version: String,
    /// Identifies this build of the guest; empty when unknown.
    pub build_id: String,
    /// What the host may call, in the order of the function ids.
    pub exports: Vec<Function>,
    /// What the guest may call, in the order of the function ids.
    pub imports: Vec<Function>,
}

/// A function's signature.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Function {
    /// An ASCII identifier, unique among its exports or imports.
    pub name: String,
    /// The doc comment.
    pub documentation: Option<String>,
    /// In the order of the arguments.
    pub parameters: Vec<Parameter>,
    /// JSON Schema (2020-12) of the result, as text.
    pub result: String,
}

/// One parameter of a function.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parameter {
    /// An ASCII identifier, unique in its function.
    pub name: String,
    /// JSON Schema (2020-12), as text.
    pub schema: String,
}

/// Bytes that are not an interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterfaceError {
    /// More bytes than [`SIZE_LIMIT`], or than [`JSON_LIMIT`] as JSON.
    #[error("an interface of {length} bytes, the limit is {limit}")]
    TooLarge {
        /// Its bytes.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Not a FlatBuffer of this schema.
    #[error("malformed: {reason}")]
    Malformed {
        /// What the verifier found.
        reason: String,
    },
    /// More functions or parameters than allowed.
    #[error("{count} {what}, the limit is {limit}")]
    TooMany {
        /// `functions` or `parameters of <function>`.
        what: String,
        /// Their number.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A name that is no ASCII identifier, or a long one.
    #[error("`{name}` is not a name: an ASCII identifier of at most {NAME_LIMIT} bytes is")]
    InvalidName {
        /// The name, shortened.
        name: String,
    },
    /// Two exports, two imports or two parameters of one name.
    #[error("`{name}` is there twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A type that is no JSON Schema object.
    #[error("the type of `{place}` is not a JSON object: {reason}")]
    InvalidSchema {
        /// `function`, or `function.parameter`.
        place: String,
        /// What the JSON parser found.
        reason: String,
    },
}

impl Interface {
    /// The payload of a `Ready` message. Does not check what [`Interface::decode`] checks.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut builder = FlatBufferBuilder::new();
        let exports: Vec<_> = self.exports.iter().map(|f| build(&mut builder, f)).collect();
        let imports: Vec<_> = self.imports.iter().map(|f| build(&mut builder, f)).collect();
        let arguments = generated::InterfaceArgs {
            abi_version: self.abi_version,
            sdk: Some(builder.create_string(&self.sdk)),
            sdk_version: Some(builder.create_string(&self.sdk_version)),
            build_id: Some(builder.create_string(&self.build_id)),
            exports: Some(builder.create_vector(&exports)),
            imports: Some(builder.create_vector(&imports)),
        };
        let root = generated::Interface::create(&mut builder, &arguments);
        generated::finish_interface_buffer(&mut builder, root);
        builder.finished_data().to_vec()
    }

    /// Reads the payload of a `Ready` message.
    ///
    /// Takes time and memory linear in the payload: shared parts, by which a small FlatBuffer can
    /// describe a huge one, count each time they are used.
    ///
    /// # Errors
    /// [`InterfaceError`], for everything that does not keep this module's limits.
    pub fn decode(payload: &[u8]) -> Result<Self, InterfaceError> {
        if payload.len() > SIZE_LIMIT {
            return Err(InterfaceError::TooLarge { length: payload.len(), limit: SIZE_LIMIT });
        }
        // The identifier stands behind the root offset; the library's check panics on short input.
        if payload.len() < 8 || !generated::interface_buffer_has_identifier(payload) {
            return Err(InterfaceError::Malformed { reason: "not an interface".into() });
        }
        let options = VerifierOptions {
            max_depth: 8,
            max_tables: FUNCTION_LIMIT * (PARAMETER_LIMIT + 1) + 1,
            // Shared strings count each time, so that the copy below stays within the limit.
            max_apparent_size: 2 * SIZE_LIMIT,
            ..VerifierOptions::default()
        };
        let root = generated::root_as_interface_with_opts(&options, payload)
            .map_err(|error| InterfaceError::Malformed { reason: describe(&error) })?;

        let count = root.exports().map_or(0, |list| list.len())
            + root.imports().map_or(0, |list| list.len());
        if count > FUNCTION_LIMIT {
            let what = "functions".to_owned();
            return Err(InterfaceError::TooMany { what, count, limit: FUNCTION_LIMIT });
        }
        let interface = Self {
            abi_version: root.abi_version(),
            sdk: root.sdk().unwrap_or_default().to_owned(),
            sdk_version: root.sdk_version().unwrap_or_default().to_owned(),
            build_id: root.build_id().unwrap_or_default().to_owned(),
            exports: functions(root.exports())?,
            imports: functions(root.imports())?,
        };
        // Before a thread has to read it that others wait for.
        match interface.to_json().len() {
            length if length > JSON_LIMIT => {
                Err(InterfaceError::TooLarge { length, limit: JSON_LIMIT })
            }
            _ => Ok(interface),
        }
    }

    /// The interface as JSON: `{"abiVersion", "sdk", "sdkVersion", "buildId", "exports": [{"name",
    /// "documentation", "parameters": [{"name", "schema"}], "result"}], "imports"}`, types in place
    /// and in the guest's own order of keys.
    ///
    /// Types that are not JSON, which [`Interface::decode`] refuses, make the whole not JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        format!(
            r#"{{"abiVersion":{},"sdk":{},"sdkVersion":{},"buildId":{},"exports":[{}],"imports":[{}]}}"#,
            self.abi_version,
            json!(self.sdk),
            json!(self.sdk_version),
            json!(self.build_id),
            join(&self.exports, Function::to_json),
            join(&self.imports, Function::to_json),
        )
    }
}

impl Function {
    fn to_json(&self) -> String {
        let parameters = join(&self.parameters, |parameter| {
            format!(r#"{{"name":{},"schema":{}}}"#, json!(parameter.name), parameter.schema)
        });
        format!(
            r#"{{"name":{},"documentation":{},"parameters":[{parameters}],"result":{}}}"#,
            json!(self.name),
            json!(self.documentation),
            self.result,
        )
    }
}

fn join<T>(items: &[T], to_json: impl Fn(&T) -> String) -> String {
    items.iter().map(to_json).collect::<Vec<_>>().join(",")
}

fn build<'b>(
    builder: &mut FlatBufferBuilder<'b>,
    function: &Function,
) -> flatbuffers::WIPOffset<generated::Function<'b>> {
    let parameters: Vec<_> = function
        .parameters
        .iter()
        .map(|parameter| {
            let arguments = generated::ParameterArgs {
                name: Some(builder.create_string(&parameter.name)),
                schema: Some(builder.create_string(&parameter.schema)),
            };
            generated::Parameter::create(builder, &arguments)
        })
        .collect();
    let arguments = generated::FunctionArgs {
        name: Some(builder.create_string(&function.name)),
        documentation: function.documentation.as_ref().map(|text| builder.create_string(text)),
        parameters: Some(builder.create_vector(&parameters)),
        result: Some(builder.create_string(&function.result)),
    };
    generated::Function::create(builder, &arguments)
}

fn functions<'a>(
    list: Option<Vector<'a, ForwardsUOffset<generated::Function<'a>>>>,
) -> Result<Vec<Function>, InterfaceError> {
    let mut names = HashSet::new();
    list.into_iter()
        .flatten()
        .map(|function| {
            let name = checked_name(function.name(), &mut names)?;
            let parameters = parameters(name, function.parameters())?;
            Ok(Function {
                name: name.to_owned(),
                documentation: function.documentation().map(str::to_owned),
                parameters,
                result: checked_schema(function.result(), || name.to_owned())?,
            })
        })
        .collect()
}

fn parameters<'a>(
    function: &str,
    list: Option<Vector<'a, ForwardsUOffset<generated::Parameter<'a>>>>,
) -> Result<Vec<Parameter>, InterfaceError> {
    let count = list.map_or(0, |list| list.len());
    if count > PARAMETER_LIMIT {
        let what = format!("parameters of `{function}`");
        return Err(InterfaceError::TooMany { what, count, limit: PARAMETER_LIMIT });
    }
    let mut names = HashSet::new();
    list.into_iter()
        .flatten()
        .map(|parameter| {
            let name = checked_name(parameter.name(), &mut names)?;
            let schema = checked_schema(parameter.schema(), || format!("{function}.{name}"))?;
            Ok(Parameter { name: name.to_owned(), schema })
        })
        .collect()
}

/// `name` if it is an identifier that is not in `names` yet.
fn checked_name<'a>(
    name: &'a str,
    names: &mut HashSet<&'a str>,
) -> Result<&'a str, InterfaceError> {
    let mut bytes = name.bytes();
    let is_identifier =
        bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_identifier || name.len() > NAME_LIMIT {
        let name = name.chars().take(NAME_LIMIT).collect();
        return Err(InterfaceError::InvalidName { name });
    }
    if !names.insert(name) {
        return Err(InterfaceError::DuplicateName { name: name.to_owned() });
    }
    Ok(name)
}

fn checked_schema(text: &str, place: impl Fn() -> String) -> Result<String, InterfaceError> {
    let error = |reason| InterfaceError::InvalidSchema { place: place(), reason };
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Object(_)) => Ok(text.to_owned()),
        Ok(_) => Err(error("another kind of value".to_owned())),
        Err(problem) => Err(error(problem.to_string())),
    }
}

/// The verifier's finding without its trace of tables and fields, on one line.
fn describe(error: &InvalidFlatbuffer) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
