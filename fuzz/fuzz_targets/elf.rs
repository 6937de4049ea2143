//! See `ampoule_fuzz::elf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ampoule_fuzz::elf::check(input));
