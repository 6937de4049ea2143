//! See `ampoule_fuzz::value`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ampoule_fuzz::value::check(input));
