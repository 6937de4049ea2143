//! The repository on disk: where it is and which files are tracked.

use crate::process;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root directory.
pub(crate) fn root() -> PathBuf {
    // `cargo xtask` sets the manifest directory at run time; the compile-time value serves a
    // directly started binary.
    let manifest =
        std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let manifest = PathBuf::from(manifest);
    manifest.parent().map_or_else(|| manifest.clone(), Path::to_path_buf)
}

/// One tracked text file.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    /// Path from the repository's root, with `/`.
    pub(crate) path: String,
    /// Its text in the working tree.
    pub(crate) text: String,
}

impl SourceFile {
    /// The part of the path behind the last dot, or the empty string.
    pub(crate) fn extension(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// Whether the file is made by a program and never edited.
    pub(crate) fn is_generated(&self) -> bool {
        self.path.contains("/generated/")
            || self.path.ends_with("Cargo.lock")
            || self.path.ends_with("package-lock.json")
    }

    /// Whether the file is a test as a whole (not a source file with a test module in it).
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("__tests__/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.ends_with(".test.ts")
    }
}

/// Every text file of the working tree that git tracks or would track, in path order.
///
/// Untracked files that are not ignored belong to it, so that a finding shows before the commit.
/// Binary files are left out.
pub(crate) fn files(root: &Path) -> Result<Vec<SourceFile>> {
    let listing = process::output(Command::new("git").current_dir(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut files = Vec::new();
    for path in listing.split('\0').filter(|path| !path.is_empty()) {
        let absolute = root.join(path);
        // A deleted file is still listed until its removal is staged; links carry no text of
        // their own.
        let Ok(metadata) = fs::symlink_metadata(&absolute) else { continue };
        if !metadata.is_file() {
            continue;
        }
        let bytes = fs::read(&absolute).with_context(|| format!("read {path}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(SourceFile { path: path.to_owned(), text });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}
