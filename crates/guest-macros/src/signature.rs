//! What a function that crosses the boundary may look like.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, ExprLit, FnArg, Lit, Meta, Pat, Result, ReturnType, Type};

/// Most parameters of a function, as in `ampoule_wire::interface`.
const PARAMETER_LIMIT: usize = 64;

/// A parameter.
pub(crate) struct Parameter {
    /// Its name in the interface.
    pub(crate) name: String,
    /// Its name in the function.
    pub(crate) ident: Ident,
    /// The type that holds its value: for a reference, the owner of what it refers to.
    pub(crate) owned: Type,
    /// Whether the function takes a reference.
    pub(crate) by_reference: bool,
}

/// A checked signature.
pub(crate) struct Signature {
    /// The function's name in the interface.
    pub(crate) name: String,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) output: Type,
}

impl Signature {
    pub(crate) fn new(signature: &syn::Signature) -> Result<Self> {
        let refuse = |span: Span, what: &str| Err(Error::new(span, what.to_owned()));
        if let Some(token) = &signature.asyncness {
            return refuse(token.span(), "a guest has no executor: the function cannot be `async`");
        }
        if let Some(token) = &signature.unsafety {
            return refuse(
                token.span(),
                "the other side cannot keep an `unsafe` function's contract",
            );
        }
        if let Some(abi) = &signature.abi {
            return refuse(abi.span(), "the function must have Rust's own ABI");
        }
        if !signature.generics.params.is_empty() {
            let span = signature.generics.span();
            return refuse(span, "the other side needs concrete types: no generics, no lifetimes");
        }
        if let Some(clause) = &signature.generics.where_clause {
            return refuse(clause.span(), "the other side needs concrete types: no `where`");
        }
        if let Some(variadic) = &signature.variadic {
            return refuse(variadic.span(), "the number of parameters must be fixed");
        }
        let name = signature.ident.unraw().to_string();
        if !name.is_ascii() {
            return refuse(signature.ident.span(), "the name must be ASCII");
        }
        if signature.inputs.len() > PARAMETER_LIMIT {
            let span = signature.inputs.span();
            return refuse(span, "64 parameters at most: use a struct");
        }
        let parameters = signature.inputs.iter().map(Parameter::new).collect::<Result<_>>()?;
        let output = match &signature.output {
            ReturnType::Default => syn::parse_quote!(()),
            ReturnType::Type(_, output) => {
                check_type(output)?;
                if matches!(**output, Type::Reference(_)) {
                    return refuse(output.span(), "the result must be owned: no reference");
                }
                (**output).clone()
            }
        };
        Ok(Self { name, parameters, output })
    }
}

impl Parameter {
    fn new(argument: &FnArg) -> Result<Self> {
        let FnArg::Typed(argument) = argument else {
            return Err(Error::new(argument.span(), "only free functions: no `self`"));
        };
        let conditional = |attribute: &&Attribute| {
            let path = attribute.path();
            path.is_ident("cfg") || path.is_ident("cfg_attr")
        };
        if let Some(attribute) = argument.attrs.iter().find(conditional) {
            let what = "a parameter cannot depend on a `cfg`: write the function twice";
            return Err(Error::new(attribute.span(), what));
        }
        let ident = match &*argument.pat {
            Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
                &pattern.ident
            }
            pattern => {
                let what = "a parameter must be a plain name, by which the other side knows it";
                return Err(Error::new(pattern.span(), what));
            }
        };
        let name = ident.unraw().to_string();
        if !name.is_ascii() {
            return Err(Error::new(ident.span(), "the name must be ASCII"));
        }
        check_type(&argument.ty)?;
        let (owned, by_reference) = owner(&argument.ty)?;
        Ok(Self { name, ident: ident.clone(), owned, by_reference })
    }
}

/// Refuses types that can be told to be impossible without knowing what their names stand for.
fn check_type(ty: &Type) -> Result<()> {
    let what = match ty {
        Type::ImplTrait(_) => "the other side needs concrete types: no `impl Trait`",
        Type::BareFn(_) => "a function cannot cross the boundary",
        Type::Ptr(_) => "a pointer means nothing on the other side",
        Type::Never(_) => "a function that never returns cannot be called from the other side",
        Type::TraitObject(_) => "the other side needs concrete types: no `dyn Trait`",
        _ => return Ok(()),
    };
    Err(Error::new(ty.span(), what))
}

/// The type that owns what `ty` refers to, and whether `ty` is a reference.
fn owner(ty: &Type) -> Result<(Type, bool)> {
    let Type::Reference(reference) = ty else {
        return Ok((ty.clone(), false));
    };
    if let Some(token) = &reference.mutability {
        return Err(Error::new(token.span(), "changes would not reach the other side: no `&mut`"));
    }
    let owned = match &*reference.elem {
        Type::Slice(slice) => {
            let item = &slice.elem;
            syn::parse_quote!(::std::vec::Vec<#item>)
        }
        Type::Path(path) if path.path.is_ident("str") => syn::parse_quote!(::std::string::String),
        other => {
            check_type(other)?;
            other.clone()
        }
    };
    Ok((owned, true))
}

/// The doc comment as text, without the space that Rust puts behind `///`.
pub(crate) fn documentation(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
                _ => None,
            },
            _ => None,
        })
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
        .collect();
    lines.join("\n").trim().to_owned()
}

/// The expression that gives a `Signature` its types. `direction` is that of the parameters.
pub(crate) fn schemas(
    signature: &Signature,
    direction: &TokenStream,
    result: &TokenStream,
) -> TokenStream {
    let names = signature.parameters.iter().map(|parameter| &parameter.name);
    // At the places of the types, where the compiler says what one lacks.
    let types = signature.parameters.iter().map(|parameter| {
        let ty = &parameter.owned;
        quote_spanned!(place(ty)=> (&__ampoule::Slot::<#ty>::new()).schema(#direction))
    });
    quote! {
        __ampoule::Signature {
            parameters: ::std::vec![#((#names, #types),)*],
            result: #result,
        }
    }
}

/// Imports for the code that the macros write; the traits are called by method syntax only.
pub(crate) fn imports() -> TokenStream {
    quote! {
        #[allow(unused_imports, reason = "which traits are needed depends on the types")]
        use ::ampoule_guest::__private::{
            self as __ampoule, BytesResult as _, BytesSlot as _, FailedWithDetails as _,
            FailedWithMessage as _, FallibleResult as _, OutgoingBytes as _, OutgoingValue as _,
            PlainResult as _, SplitPlain as _, SplitResult as _, ValueSlot as _,
        };
    }
}

/// The place of a type for what the macros write about it: errors are told there, and lints know that it
/// is a macro's.
pub(crate) fn place(ty: &Type) -> Span {
    Span::call_site().located_at(ty.span())
}

/// A symbol that only one function of that kind and name can define, so that a second one is found when
/// the guest is built. Its name is what the compiler, or the linker, then says is already defined.
pub(crate) fn unique(kind: &str, name: &str) -> TokenStream {
    let symbol = format!("the {kind} function `{name}`");
    quote! {
        #[unsafe(export_name = #symbol)]
        static UNIQUE: u8 = 0;
    }
}
