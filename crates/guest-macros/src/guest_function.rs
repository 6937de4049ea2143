//! `#[guest_function]`.

use crate::attributes::carried;
use crate::signature::{Signature, documentation, imports, place, schemas, unique};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
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

    // At the place of the type, where the compiler says what it lacks.
    let result = quote_spanned!(place(output)=>
        (&&&__ampoule::ResultType::<#output>::new()).schema()
    );
    let write = quote_spanned!(place(output)=> (&__ampoule::Outgoing(&value)).write(out));
    let failed = quote_spanned!(place(output)=> (&__ampoule::Failed(&error)).to_guest_error());
    let unique = unique("guest", name);
    let types = schemas(&signature, &quote!(__ampoule::Direction::ToGuest), &result);
    let slots: Vec<_> = (0..parameters.len()).map(|index| format_ident!("slot_{index}")).collect();
    let owned = parameters.iter().map(|parameter| &parameter.owned);
    let reads = parameters.iter().zip(&slots).map(|(parameter, slot)| {
        let (name, ty) = (&parameter.name, &parameter.owned);
        let read = quote_spanned!(place(ty)=> (&__ampoule::Slot::<#ty>::new()).read(from));
        quote!(#slot = ::std::option::Option::Some(arguments.next(#name, |from| #read)?);)
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
            #unique

            fn signature() -> __ampoule::Signature {
                #types
            }

            fn #invoke(
                source: __ampoule::ArgumentSource<'_>,
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
                        #write.map_err(|error| __ampoule::invalid_result(#name, &error))
                    }
                    ::std::option::Option::Some(::std::result::Result::Err(error)) => {
                        ::std::result::Result::Err(#failed)
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
