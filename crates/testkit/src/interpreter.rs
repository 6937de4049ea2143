//! A back end without a hypervisor: it interprets the few instructions that its guests are made of.
//!
//! - [`INTERPRETER`]: the back end; [`ABSENT`] is one that cannot be used.
//! - [`Assembler`]: writes code for it, which a processor would run as well.
//! - [`guest`]: a guest with functions, one for each way in which a program can be left.

mod assembler;
mod backend;
mod cpu;
pub mod guest;
mod machine;
#[cfg(test)]
mod tests;

pub use assembler::{Assembler, Register};
pub use backend::{ABSENT, INTERPRETER};
