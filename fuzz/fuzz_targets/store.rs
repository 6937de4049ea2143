//! See `ampoule_fuzz::store`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ampoule_fuzz::store::check(input));
