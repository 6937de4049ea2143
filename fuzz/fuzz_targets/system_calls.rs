//! See `ampoule_fuzz::system_calls`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ampoule_fuzz::system_calls::check(input));
