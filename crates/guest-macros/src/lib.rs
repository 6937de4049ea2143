//! Attribute macros of the guest SDK; use them through `ampoule-guest`, which they refer to.
#![forbid(unsafe_code)]

mod attributes;
mod guest_function;
mod host_function;
mod signature;

use proc_macro::TokenStream;

/// Makes a function callable by the host, under its own name.
///
/// The function stays as it is. Its doc comment becomes its documentation; `cfg`, and lints that it allows or
/// expects, also hold for what the macro makes of it. Not possible: `async`,
/// generics, `self`, patterns other than a name, `&mut` parameters, `unsafe`, another ABI.
#[proc_macro_attribute]
pub fn guest_function(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand(attribute, item, guest_function::expand)
}

/// Makes a function of the host callable: a function without a body, `fn name(..) -> Result<T,
/// HostError>;`.
///
/// A host that lacks it cannot create a sandbox of this guest. Restrictions as for guest functions.
#[proc_macro_attribute]
pub fn host_function(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand(attribute, item, host_function::expand)
}

fn expand<T: syn::parse::Parse>(
    attribute: TokenStream,
    item: TokenStream,
    expand: fn(T) -> syn::Result<proc_macro2::TokenStream>,
) -> TokenStream {
    if !attribute.is_empty() {
        let tokens = proc_macro2::TokenStream::from(attribute);
        return syn::Error::new_spanned(tokens, "this attribute takes no arguments")
            .into_compile_error()
            .into();
    }
    syn::parse(item).and_then(expand).unwrap_or_else(syn::Error::into_compile_error).into()
}

#[cfg(test)]
mod tests;
