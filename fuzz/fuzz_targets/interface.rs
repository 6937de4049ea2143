//! See `ampoule_fuzz::interface`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ampoule_fuzz::interface::check(input));
