//! `cargo xtask codegen`: regenerates what is made from a schema.
//!
//! Generated Rust carries the SHA-256 of its schema in its first lines; `cargo xtask tidy` compares
//! it with the schema, so that a forgotten run fails without anybody needing `flatc`.

use crate::{process, repository};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The release of `flatc` whose output fits the `flatbuffers` crate in `Cargo.lock`: they must be
/// of one version.
const FLATC_VERSION: &str = "25.12.19";

/// A schema and the module made from it.
pub(crate) struct Generated {
    /// The schema's path.
    pub(crate) schema: &'static str,
    /// The generated module's path.
    pub(crate) module: &'static str,
}

/// Everything that `flatc` makes here.
pub(crate) const GENERATED: &[Generated] = &[
    Generated { schema: "schema/interface.fbs", module: "crates/wire/src/generated/interface.rs" },
    Generated { schema: "schema/trace.fbs", module: "crates/wire/src/generated/trace.rs" },
];

/// Starts the line of a generated file that carries its schema's hash.
pub(crate) const HASH_MARK: &str = "// schema-sha256: ";

/// Regenerates everything in [`GENERATED`].
pub(crate) fn run() -> Result<()> {
    let root = repository::root();
    let flatc = find_flatc()?;
    for generated in GENERATED {
        generate(&root, &flatc, generated)
            .with_context(|| format!("generate {} from {}", generated.module, generated.schema))?;
    }
    Ok(())
}

/// The hash by which a generated file names its schema.
pub(crate) fn schema_hash(schema: &str) -> String {
    Sha256::digest(schema).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `$FLATC`, or `flatc` on the path, if it has the one version that fits.
fn find_flatc() -> Result<String> {
    let flatc = std::env::var("FLATC").unwrap_or_else(|_| "flatc".to_owned());
    let remedy = format!(
        "build flatc {FLATC_VERSION} from the google/flatbuffers sources and name it in $FLATC or \
         put it on the path (Debian's flatbuffers-compiler is older and does not fit)"
    );
    if !process::exists(&flatc) {
        bail!("`{flatc}` was not found: {remedy}");
    }
    let version = process::output(Command::new(&flatc).arg("--version"))?;
    if !version.trim_end().ends_with(&format!(" {FLATC_VERSION}")) {
        bail!("`{flatc}` is {}: {remedy}", version.trim_end());
    }
    Ok(flatc)
}

fn generate(root: &Path, flatc: &str, generated: &Generated) -> Result<()> {
    let module = root.join(generated.module);
    let directory = module.parent().context("a module lies in a directory")?;
    fs::create_dir_all(directory)?;
    process::run(
        Command::new(flatc)
            .args(["--rust", "--filename-suffix", "", "-o"])
            .arg(directory)
            .arg(root.join(generated.schema)),
    )?;
    let schema = fs::read_to_string(root.join(generated.schema))?;
    let body = fs::read_to_string(&module)?;
    // flatc's own first lines say that the file is generated.
    let header = format!("{HASH_MARK}{}\n", schema_hash(&schema));
    fs::write(&module, header + &body)?;
    Ok(())
}
