//! Compiles the part of the guest that is written in C.

fn main() {
    println!("cargo::rerun-if-changed=src/traced.c");
    println!("cargo::rerun-if-changed=../../crates/guest/include/ampoule_trace.h");
    cc::Build::new()
        .file("src/traced.c")
        .include("../../crates/guest/include")
        .std("c11")
        .warnings_into_errors(true)
        .compile("traced");
}
