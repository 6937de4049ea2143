//! Opening what stands in a store, and believing none of it.
//!
//! Every component below the store's own directory is opened by itself, without following links, and
//! must be what it should: a directory or a regular file of the size that its descriptor says. A fifo is
//! opened without waiting for its other end.

use crate::digest::{Digest, Hasher};
use crate::error::StoreError;
use crate::layout::{self, Descriptor, INDEX_MAX, Index, MANIFEST_MAX, Manifest};
use crate::lock::{self, Lock};
use crate::temporary::{self, TEMPORARY};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes read at once.
pub const CHUNK: usize = 1 << 20;
/// Where the blobs are.
pub const BLOBS: &str = "blobs/sha256";
pub(crate) const INDEX_FILE: &str = "index.json";
const LAYOUT_FILE: &str = "oci-layout";

/// The directory of a store.
#[derive(Debug)]
pub struct Directory {
    pub(crate) root: OwnedFd,
    /// `blobs/sha256`.
    pub(crate) blobs: OwnedFd,
    path: String,
}

/// A blob that was opened; its size is right, its contents were not looked at.
#[derive(Debug)]
pub struct Blob {
    /// The open file, to be mapped.
    pub file: Arc<OwnedFd>,
    /// Bytes.
    pub size: u64,
    digest: Digest,
    /// Its path in the store, for messages.
    pub name: String,
}

impl Directory {
    /// Opens a store to load from it; `tag` is for the message when there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path, tag: Option<&str>) -> Result<Self, StoreError> {
        let shown = path.display().to_string();
        let none = || StoreError::NotFound { path: shown.clone(), tag: tag.map(ToOwned::to_owned) };
        let root = match open_root(path) {
            Err(Errno::NOENT) => return Err(none()),
            Err(Errno::NOTDIR) => {
                return Err(StoreError::corrupt(shown, "it is not a directory"));
            }
            other => other.map_err(StoreError::io::<Errno>("open", &shown))?,
        };
        let layout = match read_small(&root, LAYOUT_FILE, LAYOUT_FILE, 4096) {
            Ok(Some(layout)) => layout,
            // Where nothing was saved yet, or nothing of this kind is.
            Ok(None) => return Err(none()),
            Err(error) => return Err(error),
        };
        check_layout(&layout)?;
        let blobs = step(&root, "blobs", "blobs")?;
        let blobs = step(&blobs, "sha256", BLOBS)?;
        Ok(Self { root, blobs, path: shown })
    }

    /// Opens a store to save to it, and makes it first where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn create(path: &Path, stop: &AtomicBool) -> Result<Self, StoreError> {
        let shown = path.display().to_string();
        make_lasting(path, &shown)?;
        let root = open_root(path).map_err(StoreError::io::<Errno>("open", &shown))?;
        let lock = match read_small(&root, LAYOUT_FILE, LAYOUT_FILE, 4096)? {
            Some(layout) => {
                check_layout(&layout)?;
                None
            }
            None => {
                refuse_foreign(path, &shown)?;
                Some(Lock::exclusive(&root, lock::INDEX, stop)?)
            }
        };
        make_directory(&root, "blobs", "blobs")?;
        let parent = step(&root, "blobs", "blobs")?;
        make_directory(&parent, "sha256", BLOBS)?;
        let blobs = step(&parent, "sha256", BLOBS)?;
        let directory = Self { root, blobs, path: shown };
        if lock.is_some() {
            temporary::sync(&parent, "blobs")?;
            temporary::replace(&directory.root, LAYOUT_FILE, layout::LAYOUT.as_bytes())?;
        }
        Ok(directory)
    }

    /// The entries of its snapshots, the one saved last at the end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn snapshots(&self) -> Result<Vec<Descriptor>, StoreError> {
        let index = self.index()?;
        Ok(index.iter().flat_map(Index::snapshots).cloned().collect())
    }

    /// The index; `None` before the first snapshot was saved.
    pub(crate) fn index(&self) -> Result<Option<Index>, StoreError> {
        let bytes = read_small(&self.root, INDEX_FILE, INDEX_FILE, INDEX_MAX)?;
        let decoded = bytes.map(|bytes| layout::decode_index(&bytes)).transpose();
        decoded.map_err(|what| StoreError::corrupt(INDEX_FILE, what))
    }

    /// The entry of `tag` in the index.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn entry(&self, tag: &str) -> Result<Descriptor, StoreError> {
        let index = self.index()?;
        let entry = index.as_ref().and_then(|index| index.find(tag)).cloned();
        entry.ok_or_else(|| StoreError::NotFound {
            path: self.path.clone(),
            tag: Some(tag.to_owned()),
        })
    }

    /// The manifest of an entry of the index.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn manifest(&self, entry: &Descriptor) -> Result<Manifest, StoreError> {
        let blob = self.blob(entry)?;
        let bytes = blob.read(MANIFEST_MAX)?;
        layout::decode_manifest(&bytes).map_err(|what| StoreError::corrupt(blob.name, what))
    }

    /// Opens the blob that `descriptor` names.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn blob(&self, descriptor: &Descriptor) -> Result<Blob, StoreError> {
        let digest = descriptor.digest;
        let hex = digest.hex();
        let name = format!("{BLOBS}/{hex}");
        let Some((file, size)) = open_file(&self.blobs, &hex, &name)? else {
            return Err(StoreError::corrupt(name, "it is missing"));
        };
        if size != descriptor.size {
            let what = format!("it has {size} bytes, {} are expected", descriptor.size);
            return Err(StoreError::corrupt(name, what));
        }
        Ok(Blob { file: Arc::new(file), size, digest, name })
    }
}

impl Blob {
    /// All its bytes, when there are no more than `limit` and they are what the digest says.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(&self, limit: u64) -> Result<Vec<u8>, StoreError> {
        if self.size > limit {
            let what = format!("it has {} bytes, the limit is {limit}", self.size);
            return Err(StoreError::corrupt(&self.name, what));
        }
        let mut bytes = vec![0; usize::try_from(self.size).unwrap_or(usize::MAX)];
        self.read_at(0, &mut bytes)?;
        if Digest::of(&bytes) != self.digest {
            return Err(self.mismatch());
        }
        Ok(bytes)
    }

    /// Reads it once and checks its digest. `each` sees every piece with its offset.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn verify(
        &self,
        stop: &AtomicBool,
        mut each: impl FnMut(u64, &[u8]),
    ) -> Result<(), StoreError> {
        let mut hasher = Hasher::default();
        let mut chunk = vec![0; CHUNK];
        let mut at = 0;
        while at < self.size {
            if stop.load(Ordering::Relaxed) {
                return Err(StoreError::Stopped);
            }
            let count = usize::try_from(self.size - at).unwrap_or(CHUNK).min(CHUNK);
            self.read_at(at, &mut chunk[..count])?;
            hasher.update(&chunk[..count]);
            each(at, &chunk[..count]);
            at += count as u64;
        }
        if hasher.finish() == self.digest { Ok(()) } else { Err(self.mismatch()) }
    }

    /// Fills `out` with its bytes from `offset` on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        let complete = read_at(&self.file, offset, out);
        if complete.map_err(StoreError::io::<Errno>("read", &self.name))? {
            Ok(())
        } else {
            Err(StoreError::corrupt(&self.name, "it became shorter while it was read"))
        }
    }

    fn mismatch(&self) -> StoreError {
        StoreError::corrupt(&self.name, "its contents are not what its digest says")
    }
}

/// Fills `out` from `offset` on; `false` when the file ends before.
fn read_at(file: &OwnedFd, offset: u64, out: &mut [u8]) -> Result<bool, Errno> {
    let mut done = 0;
    while done < out.len() {
        match rustix::io::pread(file, &mut out[done..], offset + done as u64) {
            Ok(0) => return Ok(false),
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(true)
}

/// Makes the directory and those that lead to it so that all survive a crash.
fn make_lasting(path: &Path, shown: &str) -> Result<(), StoreError> {
    let here = Path::new(".");
    let missing: Vec<&Path> =
        path.ancestors().take_while(|path| *path != Path::new("") && !path.exists()).collect();
    std::fs::create_dir_all(path).map_err(StoreError::io("make", shown))?;
    for made in missing {
        let parent = made.parent().filter(|parent| *parent != Path::new("")).unwrap_or(here);
        let parent = open_root(parent).map_err(StoreError::io::<Errno>("open", shown))?;
        temporary::sync(&parent, shown)?;
    }
    Ok(())
}

fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Opens the directory `name`; `shown` is its path in the store.
fn step(at: &OwnedFd, name: &str, shown: &str) -> Result<OwnedFd, StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(at, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => Err(StoreError::corrupt(shown, "it is missing")),
        Err(Errno::NOTDIR | Errno::LOOP) => {
            Err(StoreError::corrupt(shown, "it is not a directory"))
        }
        other => other.map_err(StoreError::io::<Errno>("open", shown)),
    }
}

fn make_directory(at: &OwnedFd, name: &str, shown: &str) -> Result<(), StoreError> {
    match rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o777)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(StoreError::io::<Errno>("make", shown)(errno)),
    }
}

/// Opens the regular file `name` and tells its size; `None` when there is none.
pub(crate) fn open_file(
    at: &OwnedFd,
    name: &str,
    shown: &str,
) -> Result<Option<(OwnedFd, u64)>, StoreError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let no_file = || StoreError::corrupt(shown, "it is not a regular file");
    let file = match rustix::fs::openat(at, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        // A link, and a socket or a device without a driver.
        Err(Errno::LOOP | Errno::NXIO | Errno::NODEV) => return Err(no_file()),
        other => other.map_err(StoreError::io::<Errno>("open", shown))?,
    };
    let status = rustix::fs::fstat(&file).map_err(StoreError::io::<Errno>("examine", shown))?;
    if !FileType::from_raw_mode(status.st_mode).is_file() {
        return Err(no_file());
    }
    Ok(Some((file, u64::try_from(status.st_size).unwrap_or_default())))
}

/// Reads a file of at most `limit` bytes; `None` when there is none.
fn read_small(
    at: &OwnedFd,
    name: &str,
    shown: &str,
    limit: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some((file, size)) = open_file(at, name, shown)? else { return Ok(None) };
    if size > limit {
        let what = format!("it has {size} bytes, the limit is {limit}");
        return Err(StoreError::corrupt(shown, what));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
    match read_at(&file, 0, &mut bytes).map_err(StoreError::io::<Errno>("read", shown))? {
        true => Ok(Some(bytes)),
        false => Err(StoreError::corrupt(shown, "it became shorter while it was read")),
    }
}

fn check_layout(bytes: &[u8]) -> Result<(), StoreError> {
    let layout: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    match layout.as_ref().and_then(|layout| layout.get("imageLayoutVersion")?.as_str()) {
        Some("1.0.0") => Ok(()),
        _ => Err(StoreError::corrupt(LAYOUT_FILE, "not an OCI image layout of version 1.0.0")),
    }
}

/// Refuses a directory that holds something else than a store which is about to be made.
fn refuse_foreign(path: &Path, shown: &str) -> Result<(), StoreError> {
    for entry in std::fs::read_dir(path).map_err(StoreError::io("read", shown))? {
        let name = entry.map_err(StoreError::io("read", shown))?.file_name();
        let own = ["blobs", lock::INDEX, lock::SAVING, LAYOUT_FILE].iter().any(|own| name == *own)
            || name.to_string_lossy().starts_with(TEMPORARY);
        if !own {
            let what = format!("a directory with other things in it, such as {}", name.display());
            return Err(StoreError::Invalid { option: "path", problem: format!("is {what}") });
        }
    }
    Ok(())
}
