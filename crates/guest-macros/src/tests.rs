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
