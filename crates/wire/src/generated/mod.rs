//! Code that flatc writes from `schema/`; never edited. `tests/fresh.rs` proves that it is current.
//!
//! This is the only place of the crate with `unsafe`: flatc's accessors read without checks, which
//! is sound after the verifier has passed the buffer. [`crate::interface`] uses nothing else. Of trace
//! records only the builders are used, and the accessors by tests.

#[rustfmt::skip]
#[expect(
    unsafe_code,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    reason = "as flatc writes it"
)]
pub(crate) mod interface;

#[rustfmt::skip]
#[expect(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::extra_unused_lifetimes,
    clippy::missing_safety_doc,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    reason = "as flatc writes it"
)]
pub(crate) mod trace;
