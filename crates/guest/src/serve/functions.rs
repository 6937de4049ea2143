//! What a guest offers.

use crate::serve::arguments::CallArguments;
use ampoule_abi::version;
use ampoule_wire::failure::GuestError;
use ampoule_wire::interface::{Function, Interface};

/// The functions of a guest, whatever they are made of: those that carry attributes are one implementation,
/// what an interpreter has found in a program is another.
///
/// ```no_run
/// use ampoule_guest::serve::{
///     Arguments, CallArguments, Description, Function, Functions, GuestError, Parameter,
/// };
/// use serde::Deserialize;
///
/// /// Functions that multiply by what each of them is named after.
/// struct Times(Vec<i64>);
///
/// impl Functions for Times {
///     fn describe(&self) -> Description {
///         let number = r#"{"type":"integer","format":"int64"}"#;
///         let exports = self.0.iter().map(|factor| Function {
///             name: format!("times_{factor}"),
///             documentation: None,
///             parameters: vec![Parameter { name: "value".into(), schema: number.into() }],
///             result: number.into(),
///         });
///         Description { exports: exports.collect(), imports: Vec::new() }
///     }
///
///     fn call(
///         &mut self,
///         index: usize,
///         arguments: CallArguments<'_>,
///         result: &mut Vec<u8>,
///     ) -> Result<(), GuestError> {
///         let name = format!("times_{}", self.0[index]);
///         let value = arguments.read(|payload| {
///             let mut arguments = Arguments::new(&name, payload)?;
///             let value = arguments.next("value", |from| i64::deserialize(from))?;
///             arguments.finish()?;
///             Ok(value)
///         })?;
///         ampoule_wire::value::encode(&(value * self.0[index]), result)
///             .map_err(|error| ampoule_guest::serve::invalid_result(&name, &error))
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     ampoule_guest::serve::run(|| Ok(Times(vec![2, 3])), "times 1")
/// }
/// ```
pub trait Functions {
    /// Runs once, before the first call; in a sandbox also before the guest describes itself. On plain Linux
    /// a description alone does without it.
    ///
    /// # Errors
    /// A text with which creating the sandbox fails.
    fn start(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// What the guest offers and needs. In a sandbox it is asked once, and what it says holds for good.
    fn describe(&self) -> Description;

    /// Calls the function at `index` among the exports, which there is, and appends its encoded result to
    /// `result`. A panic that leaves it ends the guest.
    ///
    /// # Errors
    /// What the host is to be told instead of a result.
    fn call(
        &mut self,
        index: usize,
        arguments: CallArguments<'_>,
        result: &mut Vec<u8>,
    ) -> Result<(), GuestError>;
}

/// What a guest offers and needs, each with names and types (JSON Schema, as `schema/interface.fbs` has it).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// The functions that the host may call.
    pub exports: Vec<Function>,
    /// The functions of the host's that the guest may call; without one of them there is no sandbox.
    pub imports: Vec<Function>,
}

impl Description {
    /// What the host is told of a guest with these functions.
    pub(crate) fn interface(self, build_id: &str) -> Interface {
        Interface {
            abi_version: version::CURRENT,
            sdk: env!("CARGO_PKG_NAME").to_owned(),
            sdk_version: env!("CARGO_PKG_VERSION").to_owned(),
            build_id: build_id.to_owned(),
            exports: self.exports,
            imports: self.imports,
        }
    }
}

/// Starts them; the error is what the host and users are told.
pub(crate) fn start(functions: &mut dyn Functions) -> Result<(), String> {
    functions.start().map_err(|error| format!("initialisation failed: {error}"))
}
