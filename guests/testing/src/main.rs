//! A well-behaved guest for the tests: every kind of value, errors, host calls, and what a program
//! may ask of its system, spans and events.

mod echo;
mod failing;
mod found;
mod hosted;
mod memory;
mod model;
mod registers;
mod residue;
mod system;
mod traced;
mod visits;

use ampoule_guest::guest_function;

/// Adds two numbers.
#[guest_function]
fn add(left: i32, right: i32) -> i32 {
    left.wrapping_add(right)
}

/// Does nothing.
#[guest_function]
fn nothing() {}

ampoule_guest::main!(system::prepare);
