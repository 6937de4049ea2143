//! What of a function's attributes the items made from it need, too.

use proc_macro2::TokenStream;
use quote::quote;
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token};

/// The attributes for the items beside the function: there only where it is, and with its permissions, so that
/// a guest that denies warnings builds. Expecting a lint becomes allowing it, because what the function is
/// expected to do these items need not do; a deprecated function is called by them all the same.
///
/// What else there may be is about the function alone: documentation, `must_use`, `inline`, lints that are
/// made stricter, other macros.
pub(crate) fn carried(attributes: &[Attribute]) -> Vec<TokenStream> {
    let metas = attributes.iter().flat_map(|attribute| of_meta(&attribute.meta));
    metas.map(|meta| quote!(#[#meta])).collect()
}

fn of_meta(meta: &Meta) -> Vec<TokenStream> {
    let path = meta.path();
    let is = |name: &str| path.is_ident(name);
    match meta {
        // `#[deprecated]`, `#[deprecated = ".."]` and `#[deprecated(..)]`
        _ if is("deprecated") => vec![quote!(allow(deprecated))],
        Meta::List(list) if is("cfg") || is("allow") => vec![quote!(#list)],
        Meta::List(list) if is("expect") => {
            let lints = &list.tokens;
            vec![quote!(allow(#lints))]
        }
        Meta::List(list) if is("cfg_attr") => {
            let parse = Punctuated::<Meta, Token![,]>::parse_terminated;
            // One that cannot be read is the compiler's to refuse.
            let Ok(parts) = list.parse_args_with(parse) else { return Vec::new() };
            let mut parts = parts.iter();
            let Some(predicate) = parts.next() else { return Vec::new() };
            let carried = parts.flat_map(of_meta);
            carried.map(|meta| quote!(cfg_attr(#predicate, #meta))).collect()
        }
        _ => Vec::new(),
    }
}
