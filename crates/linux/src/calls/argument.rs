//! From argument registers to the arguments of a handler.
//!
//! A handler is an ordinary function of the call and of up to six arguments with names and types. The types say
//! how much of a register counts, as in the kernel's prototypes: `i32` is C's `int`, `u32` an `unsigned`,
//! `i64` a `long` or an `off_t`, `u64` an `unsigned long`, a `size_t` or a pointer.

use super::call::Call;
use crate::answer::Outcome;
use crate::guest::low_half;

/// What `rdi`, `rsi`, `rdx`, `r10`, `r8` and `r9` hold.
pub(crate) type ArgumentRegisters = [u64; 6];

/// A type that an argument register is read as.
pub(crate) trait Argument {
    fn of_register(register: u64) -> Self;
}

impl Argument for u64 {
    fn of_register(register: u64) -> Self {
        register
    }
}

impl Argument for i64 {
    fn of_register(register: u64) -> Self {
        register.cast_signed()
    }
}

impl Argument for u32 {
    fn of_register(register: u64) -> Self {
        low_half(register)
    }
}

impl Argument for i32 {
    fn of_register(register: u64) -> Self {
        low_half(register).cast_signed()
    }
}

/// A function that answers a system call; `Arguments` are the types of its arguments.
pub(crate) trait Handler<Arguments> {
    /// Calls it with the arguments that the registers hold.
    fn answer(&self, call: &mut Call<'_>, registers: &ArgumentRegisters) -> Outcome;
}

/// Handlers of so many arguments.
macro_rules! handlers {
    ($(($($argument:ident $index:literal),*))*) => {$(
        impl<Function, $($argument: Argument),*> Handler<($($argument,)*)> for Function
        where
            Function: Fn(&mut Call<'_>, $($argument),*) -> Outcome,
        {
            fn answer(&self, call: &mut Call<'_>, _registers: &ArgumentRegisters) -> Outcome {
                self(call, $($argument::of_register(_registers[$index])),*)
            }
        }
    )*};
}

handlers! {
    ()
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
}
