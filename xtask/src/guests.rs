//! `cargo xtask guests`: builds every guest that the tests and the examples run.
//!
//! Rust guests form the nested workspace `guests/`, whose own cargo configuration makes them static.
//! C guests are single files; each is linked against glibc and, where `musl-gcc` is installed,
//! against musl, because the two libcs start up and allocate differently. A directory among them is
//! one program of several files, linked against glibc only.

use crate::{process, repository};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// Builds the Rust and C guests; what is up to date is left alone.
pub(crate) fn build_all() -> Result<()> {
    let guests = repository::root().join("guests");
    if guests.join("Cargo.toml").is_file() {
        build_rust(&guests)?;
    }
    build_c(&guests)?;
    // The test kit compares the sources with this file's time and warns about stale guests.
    let stamp = guests.join("target/built");
    fs::write(&stamp, "").with_context(|| format!("write {}", stamp.display()))
}

fn build_rust(guests: &Path) -> Result<()> {
    process::run(process::nested_cargo(guests).args(["build", "--release", "--locked"]))
}

fn build_c(guests: &Path) -> Result<()> {
    let output = guests.join("target/c");
    fs::create_dir_all(&output).with_context(|| format!("create {}", output.display()))?;
    let has_musl = process::exists("musl-gcc");
    if !has_musl {
        eprintln!(
            "note: no musl-gcc, so no musl guests are built (Debian: apt-get install musl-tools)"
        );
    }
    for path in entries(&guests.join("fixtures/c"))? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let program = output.join(format!("{name}-glibc"));
        if path.is_dir() {
            compile_c("gcc", &entries(&path)?, &program)?;
        } else if has_extension(&path, "c") {
            let sources = [path];
            compile_c("gcc", &sources, &program)?;
            if has_musl {
                compile_c("musl-gcc", &sources, &output.join(format!("{name}-musl")))?;
            }
        }
    }
    Ok(())
}

/// What stands in a directory, by name.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// Compiles and links the C files among `sources`; the others, headers, only make it necessary.
fn compile_c(compiler: &str, sources: &[PathBuf], program: &Path) -> Result<()> {
    let is_older = |source: &PathBuf| modified(source) < modified(program);
    if program.is_file() && sources.iter().all(is_older) {
        return Ok(());
    }
    process::run(
        Command::new(compiler)
            .args(["-static", "-O2", "-g1", "-Wall", "-Wextra", "-o"])
            .arg(program)
            .args(sources.iter().filter(|source| has_extension(source, "c")))
            .arg("-lm"),
    )
    .context("is a C compiler installed? (Debian: apt-get install gcc libc6-dev)")
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
