//! Signatures that are refused, and why.

use crate::{guest_function, host_function};

fn guest_error(function: &str) -> String {
    let function = syn::parse_str(function).unwrap();
    guest_function::expand(function).unwrap_err().to_string()
}

#[test]
fn what_cannot_cross_the_boundary_is_refused() {
    let cases = [
        ("async fn f() {}", "`async`"),
        ("unsafe fn f() {}", "`unsafe`"),
        ("extern \"C\" fn f() {}", "Rust's own ABI"),
        ("fn f<T>(value: T) {}", "no generics"),
        ("fn f<'a>(value: &'a str) {}", "no lifetimes"),
        ("fn f() where (): Sized {}", "no `where`"),
        ("fn f(&self) {}", "no `self`"),
        ("fn f((a, b): (i32, i32)) {}", "plain name"),
        ("fn f(_: i32) {}", "plain name"),
        ("fn f(value: &mut i32) {}", "no `&mut`"),
        ("fn f(value: impl Into<String>) {}", "no `impl Trait`"),
        ("fn f(value: &dyn Fn()) {}", "no `dyn Trait`"),
        ("fn f(value: *const u8) {}", "a pointer"),
        ("fn f(value: fn()) {}", "a function"),
        ("fn f() -> ! { loop {} }", "never returns"),
        ("fn f() -> &'static str { \"\" }", "must be owned"),
        ("fn größe() {}", "ASCII"),
        ("fn f(#[cfg(unix)] value: i32) {}", "depend on a `cfg`"),
    ];
    for (function, expected) in cases {
        let error = guest_error(function);
        assert!(error.contains(expected), "{function}: {error}");
    }
}

#[test]
fn a_host_function_has_no_body() {
    let error = syn::parse_str::<host_function::Declaration>("fn f() -> Result<(), HostError> {}")
        .err()
        .map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("the host has the body: end the declaration with `;`"));
}

#[test]
fn the_documentation_is_the_doc_comment() {
    let function: syn::ItemFn =
        syn::parse_str("/// First.\n///\n///   indented\n#[inline]\n/// last \nfn f() {}").unwrap();
    let text = crate::signature::documentation(&function.attrs);
    assert_eq!(text, "First.\n\n  indented\nlast");
}

/// The attributes of what is made of a function with these, in the compiler's spelling.
fn carried(attributes: &str) -> Vec<String> {
    let function: syn::ItemFn =
        syn::parse_str(&format!("{attributes} fn toString() {{}}")).unwrap();
    let file: syn::File = syn::parse2(guest_function::expand(function).unwrap()).unwrap();
    let [syn::Item::Fn(function), syn::Item::Const(rest)] = &file.items[..] else {
        panic!("a function and the rest")
    };
    assert_eq!(function.sig.ident, "toString");
    let text = |attribute: &syn::Attribute| quote::quote!(#attribute).to_string().replace(' ', "");
    rest.attrs.iter().map(text).collect()
}

#[test]
fn what_a_function_is_allowed_and_where_it_is_holds_for_what_is_made_of_it() {
    let cases: [(&str, &[&str]); 9] = [
        ("", &[]),
        ("#[allow(non_snake_case)]", &["#[allow(non_snake_case)]"]),
        (
            "#[expect(non_snake_case, reason = \"a name\")]",
            &["#[allow(non_snake_case,reason=\"aname\")]"],
        ),
        ("#[cfg(unix)] #[allow(unused)]", &["#[cfg(unix)]", "#[allow(unused)]"]),
        (
            "#[cfg_attr(unix, inline, expect(unused), cfg(test))]",
            &["#[cfg_attr(unix,allow(unused))]", "#[cfg_attr(unix,cfg(test))]"],
        ),
        ("#[deprecated]", &["#[allow(deprecated)]"]),
        ("#[deprecated(since = \"1\")]", &["#[allow(deprecated)]"]),
        ("#[cfg_attr(unix, deprecated = \"old\")]", &["#[cfg_attr(unix,allow(deprecated))]"]),
        ("/// Text.\n#[must_use] #[inline(never)] #[cold] #[deny(unused)] #[doc(hidden)]", &[]),
    ];
    for (attributes, expected) in cases {
        assert_eq!(carried(attributes), expected, "{attributes}");
    }
}
