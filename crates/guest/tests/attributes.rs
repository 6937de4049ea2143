//! Functions with every attribute that a function may have, in a program that denies all warnings: that it
//! builds is the test.

#![deny(warnings, unused, nonstandard_style, future_incompatible, rust_2018_idioms)]
#![deny(clippy::pedantic, clippy::nursery)]
#![deny(missing_docs, unused_qualifications, unused_results, unreachable_pub)]
#![deny(single_use_lifetimes, let_underscore_drop, trivial_casts, variant_size_differences)]
#![forbid(unsafe_code)]

use ampoule_guest::{HostError, guest_function, host_function};

/// A name that another language wants.
#[expect(non_snake_case, reason = "the host's spelling")]
#[guest_function]
fn toString(value: i32) -> String {
    value.to_string()
}

/// The macro first.
#[guest_function]
#[expect(non_snake_case, reason = "the host's spelling")]
const fn valueOf(someValue: i32) -> i32 {
    someValue
}

/// Replaced by another.
#[guest_function]
#[deprecated(since = "0.1.0", note = "use `toString`")]
#[must_use]
#[inline(never)]
const fn old(value: i32) -> i32 {
    value
}

/// In one of two forms.
#[guest_function]
#[cfg(target_os = "linux")]
const fn platform() -> u8 {
    1
}

/// In one of two forms.
#[guest_function]
#[cfg(not(target_os = "linux"))]
const fn platform() -> u8 {
    2
}

/// Conditional permissions.
#[guest_function]
#[cfg_attr(target_os = "linux", expect(non_snake_case, reason = "the host's spelling"), cold)]
#[cfg_attr(not(target_os = "linux"), cfg(target_os = "none"))]
#[track_caller]
fn isCold() -> bool {
    std::env::args_os().len() > 0
}

/// Of the host, with a name of its own.
#[host_function]
#[expect(non_snake_case, reason = "the host's spelling")]
#[deprecated]
pub(crate) fn hostString(someValue: i32) -> Result<String, HostError>;

/// Of no host.
#[host_function]
#[cfg(target_os = "none")]
fn absent();

#[test]
fn functions_with_attributes_remain_ordinary_functions() {
    assert_eq!(toString(valueOf(platform().into())), "1");
    #[expect(deprecated, reason = "what is tested")]
    let (replaced, refused) = (old(2), hostString(1));
    assert_eq!(replaced, 2);
    assert_eq!(refused.unwrap_err().kind(), "NotServing");
    assert!(isCold());
}
