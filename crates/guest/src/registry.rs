//! The functions of a guest, as the macros register them.

use crate::convert::Arguments;
use ampoule_abi::version;
use ampoule_wire::failure::GuestError;
use ampoule_wire::interface::{Function, Interface, Parameter};
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
    pub invoke: fn(&mut dyn ArgumentSource, &mut Vec<u8>) -> Result<(), GuestError>,
}

/// Where the arguments of a call come from.
pub trait ArgumentSource {
    /// Runs `read` over the encoded arguments, which it must not keep.
    ///
    /// # Errors
    /// Those of `read`.
    fn read(
        &mut self,
        read: &mut dyn FnMut(Arguments<'_>) -> Result<(), GuestError>,
    ) -> Result<(), GuestError>;
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

/// All functions, in the order of their ids: that of their names, because the linker's is none.
pub(crate) struct Registry {
    pub(crate) exports: Vec<&'static Export>,
    imports: Vec<&'static Import>,
}

impl Registry {
    /// Collects the functions and numbers the imports. Fails if a name is there twice.
    pub(crate) fn collect() -> Result<Self, String> {
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
        Ok(Self { exports, imports })
    }

    pub(crate) fn interface(&self, build_id: &str) -> Interface {
        Interface {
            abi_version: version::CURRENT,
            sdk: env!("CARGO_PKG_NAME").to_owned(),
            sdk_version: env!("CARGO_PKG_VERSION").to_owned(),
            build_id: build_id.to_owned(),
            exports: self
                .exports
                .iter()
                .map(|export| describe(export.name, export.documentation, export.signature))
                .collect(),
            imports: self
                .imports
                .iter()
                .map(|import| describe(import.name, import.documentation, import.signature))
                .collect(),
        }
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
