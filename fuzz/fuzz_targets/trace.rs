//! See `ampoule_fuzz::trace`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ampoule_fuzz::trace::check(input));
