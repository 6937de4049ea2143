//! Gives back what it is given, as values of as many types as Rust programs use, and of types that
//! whoever starts it declares.

mod declared;
mod kinds;
mod tagged;

ampoule_guest::main!();
