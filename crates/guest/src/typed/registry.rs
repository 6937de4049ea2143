//! The functions of a guest, as the macros register them, and the program that offers them.

use crate::serve::{self, Arguments, CallArguments, Description, Functions};
use crate::typed::init::InitOutcome;
use ampoule_wire::failure::GuestError;
use ampoule_wire::interface::{Function, Parameter};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};

/// Types of a function, as JSON Schema.
#[derive(Debug)]
pub struct Signature {
    /// Name and type of each parameter.
    pub parameters: Vec<(&'static str, String)>,
    /// Type of the result.
    pub result: String,
}

/// A `#[guest_function]`.
#[derive(Debug)]
pub struct Export {
    /// Its name.
    pub name: &'static str,
    /// Its doc comment, empty if there is none.
    pub documentation: &'static str,
    /// Its types.
    pub signature: fn() -> Signature,
    /// Decodes the arguments, calls it, and appends the encoded result to the vector.
    pub invoke: fn(ArgumentSource<'_>, &mut Vec<u8>) -> Result<(), GuestError>,
}

/// Where the arguments of a call to a function come from.
#[derive(Debug)]
pub struct ArgumentSource<'a> {
    function: &'static str,
    arguments: CallArguments<'a>,
}

impl ArgumentSource<'_> {
    /// Runs `read` over the arguments.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn read(
        self,
        read: &mut dyn FnMut(Arguments<'_>) -> Result<(), GuestError>,
    ) -> Result<(), GuestError> {
        let Self { function, arguments } = self;
        arguments.read(|payload| read(Arguments::new(function, payload)?))
    }
}

/// A `#[host_function]`.
#[derive(Debug)]
pub struct Import {
    pub(crate) name: &'static str,
    documentation: &'static str,
    signature: fn() -> Signature,
    /// Its index in the interface, once that is made.
    id: AtomicU32,
}

impl Import {
    /// For the macro.
    #[must_use]
    pub const fn new(
        name: &'static str,
        documentation: &'static str,
        signature: fn() -> Signature,
    ) -> Self {
        Self { name, documentation, signature, id: AtomicU32::new(u32::MAX) }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id.load(Ordering::Relaxed)
    }
}

/// A registered [`Import`].
#[derive(Debug)]
pub struct ImportEntry(pub &'static Import);

inventory::collect!(Export);
inventory::collect!(ImportEntry);

/// The whole program, for `main`. In a sandbox it never returns.
pub fn run<T: InitOutcome>(init: impl FnOnce() -> T, build_id: &str) -> ExitCode {
    serve::run(|| Registry::collect(init), build_id)
}

/// All functions, in the order of their ids: that of their names, because the linker's is none.
pub(crate) struct Registry<I> {
    exports: Vec<&'static Export>,
    imports: Vec<&'static Import>,
    init: Option<I>,
}

impl<I: FnOnce() -> T, T: InitOutcome> Registry<I> {
    /// Collects the functions and numbers the imports; `init` is to run before the first call. Fails if a
    /// name is there twice.
    pub(crate) fn collect(init: I) -> Result<Self, String> {
        let mut exports: Vec<_> = inventory::iter::<Export>().collect();
        exports.sort_unstable_by_key(|export| export.name);
        let mut imports: Vec<_> = inventory::iter::<ImportEntry>().map(|entry| entry.0).collect();
        imports.sort_unstable_by_key(|import| import.name);

        if let Some(pair) = exports.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(format!("two guest functions are named `{}`", pair[0].name));
        }
        if let Some(pair) = imports.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(format!("two host functions are named `{}`", pair[0].name));
        }
        for (id, import) in (0..).zip(&imports) {
            import.id.store(id, Ordering::Relaxed);
        }
        Ok(Self { exports, imports, init: Some(init) })
    }
}

impl<I: FnOnce() -> T, T: InitOutcome> Functions for Registry<I> {
    fn start(&mut self) -> Result<(), String> {
        // No closure, whose frame would stand in backtraces as one of the author's.
        match self.init.take() {
            Some(init) => init().into_result(),
            None => Ok(()),
        }
    }

    fn describe(&self) -> Description {
        let exports = self.exports.iter();
        let imports = self.imports.iter();
        Description {
            exports: exports.map(|it| describe(it.name, it.documentation, it.signature)).collect(),
            imports: imports.map(|it| describe(it.name, it.documentation, it.signature)).collect(),
        }
    }

    fn call(
        &mut self,
        index: usize,
        arguments: CallArguments<'_>,
        result: &mut Vec<u8>,
    ) -> Result<(), GuestError> {
        let export = self.exports[index];
        (export.invoke)(ArgumentSource { function: export.name, arguments }, result)
    }
}

fn describe(name: &str, documentation: &str, signature: fn() -> Signature) -> Function {
    let Signature { parameters, result } = signature();
    Function {
        name: name.to_owned(),
        documentation: (!documentation.is_empty()).then(|| documentation.to_owned()),
        parameters: parameters
            .into_iter()
            .map(|(name, schema)| Parameter { name: name.to_owned(), schema })
            .collect(),
        result,
    }
}
