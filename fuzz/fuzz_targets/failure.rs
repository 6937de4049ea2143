//! See `ampoule_fuzz::failure`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ampoule_fuzz::failure::check(input));
