//! See `ampoule_fuzz::trace_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ampoule_fuzz::trace_header::check(input));
