//! Development only: gates and fixtures for the tests.
//!
//! - [`kvm_is_available`]: skips a test loudly where there is no hypervisor.
//! - [`guest`], [`c_guest`]: programs that `cargo xtask guests` built.
//! - [`system_program`]: third-party programs of the machine.
//! - [`executables`]: ELF files made of fields.
//! - [`interpreter`]: a back end that needs no hypervisor, and a guest of a few instructions for it.
#![forbid(unsafe_code)]

pub mod executables;
pub mod interpreter;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::SystemTime;

/// Set to `1`, it turns every skip for want of a hypervisor or a program into a failure.
pub const REQUIRE_KVM: &str = "AMPOULE_REQUIRE_KVM";

/// Whether this machine lets the test use KVM; `false` means that the test has to return.
///
/// ```no_run
/// if !ampoule_testkit::kvm_is_available() {
///     return;
/// }
/// ```
///
/// # Panics
///
/// If there is no usable `/dev/kvm` although [`REQUIRE_KVM`] is `1`, as CI sets it: a test that
/// silently skips itself proves nothing.
#[must_use]
pub fn kvm_is_available() -> bool {
    match File::options().read(true).write(true).open("/dev/kvm") {
        Ok(_) => true,
        Err(error) => {
            skip(&format!("/dev/kvm cannot be used ({error})"));
            false
        }
    }
}

/// Path of the Rust guest `name`, a package of the workspace `guests/`.
///
/// # Panics
///
/// If it has not been built.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    built(&format!("x86_64-unknown-linux-gnu/release/{name}"))
}

/// Contents of the Rust guest `name`.
///
/// # Panics
///
/// As [`guest`].
#[must_use]
pub fn guest_bytes(name: &str) -> Vec<u8> {
    read(&guest(name))
}

/// The C library that a C guest is linked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CLibrary {
    /// The GNU C library.
    Glibc,
    /// musl.
    Musl,
}

/// Path of the C guest `guests/fixtures/c/<name>.c`, linked against `library`; `None`, loudly, where
/// `musl-gcc` is not installed.
///
/// # Panics
///
/// If it has not been built, or [`REQUIRE_KVM`] is `1` and there is no musl.
#[must_use]
pub fn c_guest(name: &str, library: CLibrary) -> Option<PathBuf> {
    match library {
        CLibrary::Glibc => Some(built(&format!("c/{name}-glibc"))),
        CLibrary::Musl => {
            let program = guests_directory().join(format!("target/c/{name}-musl"));
            if !program.is_file() {
                skip(&format!(
                    "the musl build of guests/fixtures/c/{name}.c is missing: install musl-gcc (Debian: \
                     musl-tools), then run `cargo xtask guests`"
                ));
                return None;
            }
            Some(program)
        }
    }
}

/// Path of a program of the machine, say `/bin/busybox`; `None`, loudly, where it is missing.
///
/// # Panics
///
/// If it is missing although [`REQUIRE_KVM`] is `1`.
#[must_use]
pub fn system_program(path: &str, debian_package: &str) -> Option<PathBuf> {
    let program = PathBuf::from(path);
    if !program.is_file() {
        skip(&format!("{path} is missing (Debian: apt-get install {debian_package})"));
        return None;
    }
    Some(program)
}

/// Reads a whole file.
///
/// # Panics
///
/// If it cannot be read.
#[must_use]
#[expect(clippy::panic, reason = "a fixture that cannot be read fails the test")]
pub fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// Says on standard error that a test is skipped and why; fails it where nothing may be skipped.
///
/// # Panics
///
/// If [`REQUIRE_KVM`] is `1`.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(
        std::env::var(REQUIRE_KVM).as_deref() != Ok("1"),
        "{test} may not be skipped because {REQUIRE_KVM}=1: {reason}"
    );
    eprintln!("SKIPPED {test}: {reason}");
}

fn guests_directory() -> PathBuf {
    // Without `..`, so that the path also holds on a machine that has the guests but not the crate.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.unwrap_or(Path::new(".")).join("guests")
}

fn built(path: &str) -> PathBuf {
    static WARN: Once = Once::new();
    let guests = guests_directory();
    let program = guests.join("target").join(path);
    assert!(
        program.is_file(),
        "the guest {} has not been built: run `cargo xtask guests`",
        program.display()
    );
    WARN.call_once(|| warn_if_stale(&guests));
    program
}

/// Warns when a source that goes into guests is newer than the last `cargo xtask guests`.
fn warn_if_stale(guests: &Path) {
    let Some(stamp) = modified(&guests.join("target/built")) else { return };
    let crates = guests.join("../crates");
    let newest = [
        guests.to_path_buf(),
        crates.join("abi"),
        crates.join("guest"),
        crates.join("guest-macros"),
        crates.join("wire"),
    ]
    .iter()
    .filter_map(|directory| newest_source(directory))
    .max_by_key(|(_, time)| *time);
    if let Some((path, time)) = newest
        && time > stamp
    {
        eprintln!(
            "WARNING: {} is newer than the built guests: run `cargo xtask guests`",
            path.display()
        );
    }
}

fn newest_source(directory: &Path) -> Option<(PathBuf, SystemTime)> {
    fs::read_dir(directory)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let path = entry.path();
            if path.is_dir() {
                let is_output = path.file_name().is_some_and(|name| name == "target");
                return if is_output { None } else { newest_source(&path) };
            }
            let is_source =
                path.extension().is_some_and(|extension| extension == "rs" || extension == "c");
            if !is_source {
                return None;
            }
            let time = modified(&path)?;
            Some((path, time))
        })
        .max_by_key(|(_, time)| *time)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::{guest, system_program};

    #[test]
    fn names_the_remedy_for_a_guest_that_is_not_built() {
        let panic = std::panic::catch_unwind(|| guest("no-such-guest")).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains("no-such-guest"), "{message}");
        assert!(message.contains("cargo xtask guests"), "{message}");
    }

    #[test]
    fn finds_a_program_of_the_machine() {
        assert_eq!(system_program("/proc/self/exe", "-").unwrap().to_str(), Some("/proc/self/exe"));
    }
}
