//! A guest that attacks its host: one function for each hostile act.
//!
//! The doc comment of a function begins with the expected outcome: the code of the error, without
//! `ERR_AMPOULE_`, or `survives` if the act is to have no effect, in which case the function returns
//! what it saw. Where processors differ, both are named. Whatever happens, the Node.js process must
//! stay usable.
//!
//! Not here, because a guest with one virtual CPU cannot do it: changing a message while the host
//! reads it.
#![expect(clippy::undocumented_unsafe_blocks, reason = "every block breaks the rules on purpose")]

mod batch;
mod endings;
mod initialisation;
mod instructions;
mod memory;
mod messages;
mod ports;
mod raw;
mod system_calls;
mod trace;
mod work;

use ampoule_guest::guest_function;

/// survives: answers "ok".
#[guest_function]
fn ok() -> String {
    "ok".to_owned()
}

/// survives: adds two numbers.
#[guest_function]
fn add(left: i32, right: i32) -> i32 {
    left.wrapping_add(right)
}

ampoule_guest::main!(initialisation::prepare);
