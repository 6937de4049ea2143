//! `#[guest_function]`.

use crate::attributes::carried;
use crate::signature::{Signature, documentation, imports, schemas};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ItemFn, Result};

pub(crate) fn expand(function: ItemFn) -> Result<TokenStream> {
    let signature = Signature::new(&function.sig)?;
    let documentation = documentation(&function.attrs);
    let imports = imports();
    let Signature { name, parameters, output } = &signature;
    let ident = &function.sig.ident;
    let attributes = carried(&function.attrs);
    // The function is often inlined here; this name then stands for it in backtraces. Its place is the
    // macro's: a lint about names is about the function's own.
    let invoke = format_ident!("invoke_{}", ident, span = Span::call_site());

    let result = quote!((&&&__ampoule::ResultType::<#output>::new()).schema());
    let types = schemas(&signature, &quote!(__ampoule::Direction::ToGuest), &result);
    let checks = parameters.iter().map(|parameter| {
        let ty = &parameter.owned;
        quote_spanned!(ty.span()=> __ampoule::assert_from_host::<#ty>();)
    });
    let slots: Vec<_> = (0..parameters.len()).map(|index| format_ident!("slot_{index}")).collect();
    let owned = parameters.iter().map(|parameter| &parameter.owned);
    let reads = parameters.iter().zip(&slots).map(|(parameter, slot)| {
        let (name, ty) = (&parameter.name, &parameter.owned);
        quote! {
            #slot = ::std::option::Option::Some(arguments.next(#name, |from| {
                (&__ampoule::Slot::<#ty>::new()).read(from)
            })?);
        }
    });
    let unwrapped = parameters.iter().zip(&slots).map(|(parameter, slot)| {
        let borrow = parameter.by_reference.then(|| quote!(&));
        quote!(#borrow #slot)
    });

    Ok(quote! {
        #function

        #(#attributes)*
        const _: () = {
            #imports

            fn signature() -> __ampoule::Signature {
                #(#checks)*
                #types
            }

            fn #invoke(
                source: &mut dyn __ampoule::ArgumentSource,
                out: &mut ::std::vec::Vec<u8>,
            ) -> ::std::result::Result<(), __ampoule::GuestError> {
                #(let mut #slots: ::std::option::Option<#owned> = ::std::option::Option::None;)*
                source.read(&mut |mut arguments| {
                    #(#reads)*
                    arguments.finish()
                })?;
                // All are there, or reading them had failed.
                let (#(::std::option::Option::Some(#slots),)*) = (#(#slots,)*) else {
                    return ::std::result::Result::Ok(());
                };
                let returned = __ampoule::Returned::new(#ident(#(#unwrapped),*));
                match (&returned).split() {
                    ::std::option::Option::Some(::std::result::Result::Ok(value)) => {
                        (&__ampoule::Outgoing(&value))
                            .write(out)
                            .map_err(|error| __ampoule::invalid_result(#name, &error))
                    }
                    ::std::option::Option::Some(::std::result::Result::Err(error)) => {
                        ::std::result::Result::Err((&__ampoule::Failed(&error)).to_guest_error())
                    }
                    ::std::option::Option::None => ::std::result::Result::Ok(()),
                }
            }

            __ampoule::inventory::submit! {
                __ampoule::Export {
                    name: #name,
                    documentation: #documentation,
                    signature,
                    invoke: #invoke,
                }
            }
        };
    })
}
