//! What the compiler says of functions that cannot cross the boundary: it speaks of the type at its
//! place, and never of how the macros look for what they need.

use std::path::Path;
use std::process::Command;
use std::{fs, io};

/// What `cargo build` says of a guest with that program.
fn complaint(name: &str, program: &str) -> io::Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(package.join("src"))?;
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
         [dependencies]\nampoule-guest = {{ path = {root:?}, default-features = false }}\n"
    );
    fs::write(package.join("Cargo.toml"), manifest)?;
    fs::copy(root.join("../../Cargo.lock"), package.join("Cargo.lock"))?;
    let head = "#![forbid(unsafe_code)]\nuse ampoule_guest::*;\n";
    fs::write(package.join("src/main.rs"), format!("{head}{program}\nampoule_guest::main!();\n"))?;
    let built = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--color=never"])
        .current_dir(&package)
        // One folder for all, so that the dependencies are built once.
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("messages"))
        .output()?;
    assert!(!built.status.success(), "{program} is built");
    String::from_utf8(built.stderr).map_err(io::Error::other)
}

#[test]
fn what_a_type_lacks_is_said_at_its_place() {
    let said = complaint(
        "lacking",
        "pub struct Plain;\n\
         #[derive(Debug)] pub struct Silent;\n\
         #[guest_function] fn result() -> Plain { Plain }\n\
         #[guest_function] fn fallible() -> Result<Plain, String> { Ok(Plain) }\n\
         #[guest_function] fn failing() -> Result<i32, Silent> { Err(Silent) }\n\
         #[guest_function] fn parameter(value: Plain) { drop(value) }\n\
         #[host_function] fn argument(value: Plain) -> Result<(), HostError>;\n\
         #[host_function] fn answer() -> Result<Plain, HostError>;",
    )
    .unwrap();
    for (what, place) in [
        ("`Plain` cannot go to the host", "src/main.rs:5:"),
        ("`Plain` cannot go to the host", "src/main.rs:6:"),
        ("`Silent` cannot be the error of a guest function", "src/main.rs:7:"),
        ("`Plain` cannot come from the host", "src/main.rs:8:"),
        ("`Plain` cannot go to the host", "src/main.rs:9:"),
        ("the host cannot be told what `Plain` is", "src/main.rs:10:"),
    ] {
        let found = said.lines().zip(said.lines().skip(1)).any(|(first, second)| {
            first.ends_with(what) && second.trim().trim_start_matches("--> ").starts_with(place)
        });
        assert!(found, "{what} at {place}:\n{said}");
    }
    for inner in ["ResultType", "Slot<", "Outgoing<", "Failed<", "&&"] {
        assert!(!said.contains(inner), "{inner}:\n{said}");
    }
}

#[test]
fn two_functions_of_one_name_are_not_built() {
    let said = complaint(
        "twice",
        "mod inner { #[ampoule_guest::guest_function] fn same() {} }\n\
         #[guest_function] fn same() {}",
    )
    .unwrap();
    assert!(said.contains("`the guest function `same`` is already defined"), "{said}");
    let said = complaint(
        "imports",
        "mod inner { use ampoule_guest::*; #[host_function] pub fn same() -> Result<(), HostError>; }\n\
         #[host_function] fn same() -> Result<(), HostError>;\n\
         #[guest_function] fn call() { let _ = (same(), inner::same()); }",
    ).unwrap();
    assert!(said.contains("`the host function `same`` is already defined"), "{said}");
}
