//! Loading a snapshot.

use super::config::Place;
use super::error::SnapshotStoreError;
use super::pages::{self, EXTENTS_MAX, Run};
use super::parts::{FILE_MAX, Parts};
use crate::channel::Channel;
use crate::loaded::LoadedProgram;
use crate::sandbox::{Snapshot, SnapshotParts};
use ampoule_abi::layout::PAGE_SIZE;
use ampoule_linux::Personality;
use ampoule_machine::Backends;
use ampoule_memory::{DescriptionError, Extent, PhysicalAddress, SealedSpace};
use ampoule_store::{Blob, CHUNK, Descriptor, Directory, StoreError};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Times that loading begins again because the snapshot was replaced meanwhile.
const RETRIES_MAX: u32 = 3;

/// Which snapshot is to be loaded, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOptions {
    /// The name it was saved by.
    pub tag: String,
    /// Whether to check the digests of memory, which costs reading all of it. What else a snapshot has is
    /// always checked, page tables and ring-0 pages among it.
    pub verify: bool,
    /// What may run it, in order of preference.
    pub backends: Backends,
}

/// A snapshot, and what was saved about it.
#[derive(Debug)]
pub struct Loaded {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The guest's name.
    pub name: String,
}

/// Loads the snapshot of a tag from the store at `path`. Its memory is mapped from the files there and
/// not copied; they must not change as long as anything uses it.
///
/// Cost: reading the executable, the guest's files and, unless [`LoadOptions::verify`] is off, the
/// memory once.
///
/// # Errors
/// [`SnapshotStoreError`].
pub fn load(
    path: &Path,
    options: &LoadOptions,
    stop: &AtomicBool,
) -> Result<Loaded, SnapshotStoreError> {
    let directory = Directory::open(path, Some(&options.tag))?;
    let mut entry = directory.entry(&options.tag)?;
    for _ in 0..RETRIES_MAX {
        match load_entry(&directory, &entry, options, stop) {
            // Somebody may have saved another one under the tag and pruned this one away.
            Err(SnapshotStoreError::Store(StoreError::Corrupt { file, what })) => {
                let now = directory.entry(&options.tag)?;
                if now.digest == entry.digest {
                    return Err(StoreError::Corrupt { file, what }.into());
                }
                entry = now;
            }
            other => return other,
        }
    }
    load_entry(&directory, &entry, options, stop)
}

fn load_entry(
    directory: &Directory,
    entry: &Descriptor,
    options: &LoadOptions,
    stop: &AtomicBool,
) -> Result<Loaded, SnapshotStoreError> {
    let parts = Parts::open(directory, entry, &directory.manifest(entry)?)?;
    if options.verify {
        parts.verify_memory(stop)?;
    }
    check_stop(stop)?;
    let snapshot = snapshot(&parts, directory, options.backends, stop)?;
    Ok(Loaded { snapshot, name: parts.config.name })
}

fn check_stop(stop: &AtomicBool) -> Result<(), StoreError> {
    if stop.load(Ordering::Relaxed) { Err(StoreError::Stopped) } else { Ok(()) }
}

fn snapshot(
    parts: &Parts,
    directory: &Directory,
    backends: Backends,
    stop: &AtomicBool,
) -> Result<Snapshot, SnapshotStoreError> {
    let backend = backends.select();
    let features = backend.features()?;
    let wanted = backend.system_pages();
    let config = &parts.config;
    let corrupt = |what: String| StoreError::corrupt(&parts.config_name, what);
    config.check_fit(&Place { pages: &wanted, features: &features, backends })?;
    let cpu = config.cpu(&features).map_err(corrupt)?;

    let ranges = Channel::ranges(config.limits.message_bytes);
    let mut pinned = ranges.map_err(|error| corrupt(error.to_string()))?.to_vec();
    pinned.extend(wanted.iter().map(|page| page.range));
    let space = SealedSpace::from_extents(&config.space, extents(parts, stop)?, &pinned);
    let space = Arc::new(space.map_err(|error| match error {
        DescriptionError::Host { source } => StoreError::io("map", &parts.base.name)(source),
        other => corrupt(format!("memory: {other}")),
    })?);
    let system_pages = backend.find_pages(&space).ok_or_else(|| {
        StoreError::corrupt(&parts.base.name, "its ring-0 pages are not those of this release")
    })?;

    let blob = directory.blob(&parts.executable)?;
    let executable: Arc<[u8]> = blob.read(FILE_MAX)?.into();
    let memory_bytes = config.limits.memory_bytes;
    let loaded =
        LoadedProgram::of_snapshot(executable, backend, system_pages, &space, memory_bytes);
    let loaded =
        loaded.map_err(|error| StoreError::corrupt(&blob.name, format!("not a guest: {error}")))?;
    let mut files: Vec<Arc<[u8]>> = Vec::new();
    for file in &parts.files {
        check_stop(stop)?;
        files.push(directory.blob(file)?.read(FILE_MAX)?.into());
    }
    let personality = Personality::from_state(&config.personality, &files);
    let personality = personality.map_err(|error| corrupt(error.to_string()))?;
    Ok(Snapshot::from_parts(SnapshotParts {
        loaded: Arc::new(loaded),
        space,
        cpu,
        personality,
        sequence: config.sequence,
        message_bytes: config.limits.message_bytes,
        interface: Arc::new(parts.interface.clone()),
        limits: config.limits(),
        stack_bytes: config.limits.stack_bytes,
        tsc_frequency: config.tsc_frequency(),
    }))
}

/// The memory as extents of files: of the blobs themselves, or, where that would be too many, of a
/// memfd that is put together from them.
fn extents(parts: &Parts, stop: &AtomicBool) -> Result<Vec<Extent>, StoreError> {
    let end = parts.config.space.used.saturating_mul(PAGE_SIZE);
    let pieces = pieces(&parts.base, parts.changed.as_ref(), end).ok_or_else(|| {
        StoreError::corrupt(&parts.config_name, "there are pages behind the end of memory")
    })?;
    if pieces.len() <= EXTENTS_MAX {
        let extent = |piece: &Piece<'_>| Extent {
            file: Arc::clone(&piece.blob.file),
            file_offset: piece.file_offset,
            start: PhysicalAddress::new(piece.offset),
            length: piece.length,
        };
        return Ok(pieces.iter().map(extent).collect());
    }
    let file = put_together(&pieces, end, stop)?;
    Ok(vec![Extent {
        file: Arc::new(file),
        file_offset: 0,
        start: PhysicalAddress::new(0),
        length: end,
    }])
}
/// A part of a blob and where in memory it stands.
struct Piece<'a> {
    blob: &'a Blob,
    file_offset: u64,
    offset: u64,
    length: u64,
}

/// The base below `end` with the changed pages in their places; `None` when some stand behind `end`.
fn pieces<'a>(
    base: &'a Blob,
    changed: Option<&'a (Blob, Vec<Run>)>,
    end: u64,
) -> Option<Vec<Piece<'a>>> {
    let base_end = base.size.min(end);
    let mut pieces = Vec::new();
    let mut done = 0;
    let base_until = |pieces: &mut Vec<Piece<'a>>, from: u64, to: u64| {
        let to = to.min(base_end);
        if from < to {
            pieces.push(Piece { blob: base, file_offset: from, offset: from, length: to - from });
        }
    };
    if let Some((blob, runs)) = changed {
        let mut file_offset = pages::header_bytes(runs.len() as u64);
        for run in runs {
            let (offset, length) = (run.first * PAGE_SIZE, run.count * PAGE_SIZE);
            base_until(&mut pieces, done, offset);
            pieces.push(Piece { blob, file_offset, offset, length });
            file_offset += length;
            done = offset + length;
        }
    }
    base_until(&mut pieces, done, end);
    (done <= end).then_some(pieces)
}

/// A sealed memfd with the pieces in their places; pages of zeros stay holes.
fn put_together(pieces: &[Piece<'_>], end: u64, stop: &AtomicBool) -> Result<OwnedFd, StoreError> {
    let failed = || StoreError::io::<Errno>("make", "a copy of memory");
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("ampoule-image", flags).map_err(failed())?;
    rustix::fs::ftruncate(&file, end).map_err(failed())?;
    let mut chunk = vec![0; CHUNK];
    for piece in pieces {
        let mut done = 0;
        while done < piece.length {
            if stop.load(Ordering::Relaxed) {
                return Err(StoreError::Stopped);
            }
            let count = usize::try_from(piece.length - done).unwrap_or(CHUNK).min(CHUNK);
            piece.blob.read_at(piece.file_offset + done, &mut chunk[..count])?;
            write_used(&file, &chunk[..count], piece.offset + done).map_err(failed())?;
            done += count as u64;
        }
    }
    let seals = SealFlags::FUTURE_WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals).map_err(failed())?;
    Ok(file)
}

/// Writes the pages that are not zero.
fn write_used(file: &OwnedFd, bytes: &[u8], offset: u64) -> Result<(), Errno> {
    for (page, at) in bytes.as_chunks::<4096>().0.iter().zip((offset..).step_by(4096)) {
        let mut done = 0;
        while *page != [0; 4096] && done < page.len() {
            match rustix::io::pwrite(file, &page[done..], at + done as u64) {
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(())
}
