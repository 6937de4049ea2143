//! `#[host_function]`.

use crate::signature::{Signature, documentation, imports, place, schemas, unique};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Result, Token, Visibility};

/// A function without a body.
pub(crate) struct Declaration {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    signature: syn::Signature,
}

impl Parse for Declaration {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let declaration = Self {
            attributes: input.call(Attribute::parse_outer)?,
            visibility: input.parse()?,
            signature: input.parse()?,
        };
        if input.peek(syn::token::Brace) {
            let what = "the host has the body: end the declaration with `;`";
            return Err(Error::new(input.span(), what));
        }
        input.parse::<Token![;]>()?;
        Ok(declaration)
    }
}

pub(crate) fn expand(declaration: Declaration) -> Result<TokenStream> {
    let Declaration { attributes, visibility, signature: tokens } = declaration;
    let signature = Signature::new(&tokens)?;
    let documentation = documentation(&attributes);
    let imports = imports();
    let Signature { name, parameters, output } = &signature;

    let value = quote_spanned!(place(output)=> <#output as __ampoule::HostOutcome>::Value);
    let result = quote_spanned! {place(output)=>
        (&__ampoule::Slot::<#value>::new()).schema(__ampoule::Direction::ToGuest)
    };
    let read = quote_spanned!(place(output)=> (&__ampoule::Slot::<#value>::new()).read(from));
    let types = schemas(&signature, &quote!(__ampoule::Direction::ToHost), &result);
    let count = parameters.len();
    let unique = unique("host", name);
    let writes = parameters.iter().map(|parameter| {
        let ident = &parameter.ident;
        let borrow = (!parameter.by_reference).then(|| quote!(&));
        let ty = &parameter.owned;
        quote_spanned!(place(ty)=> (&__ampoule::Outgoing(#borrow #ident)).write(out)?;)
    });

    Ok(quote! {
        #(#attributes)*
        #visibility #tokens {
            #imports
            #unique

            fn signature() -> __ampoule::Signature {
                #types
            }

            static IMPORT: __ampoule::Import =
                __ampoule::Import::new(#name, #documentation, signature);
            __ampoule::inventory::submit! { __ampoule::ImportEntry(&IMPORT) }

            __ampoule::HostOutcome::from_result(__ampoule::call(
                &IMPORT,
                |out| {
                    __ampoule::write_argument_count(#count, out)?;
                    #(#writes)*
                    ::std::result::Result::Ok(())
                },
                |from| #read,
            ))
        }
    })
}
