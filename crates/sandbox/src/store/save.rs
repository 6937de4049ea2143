//! Saving a snapshot.

use super::config::{self, CONFIG_MAX, Config, Facts};
use super::error::SnapshotStoreError;
use super::layer::Layer;
use super::pages::{self, Run};
use super::parts::check_sizes;
use crate::sandbox::Snapshot;
use ampoule_abi::layout::PAGE_SIZE;
use ampoule_memory::SealedSpace;
use ampoule_store::{
    Blob, CHUNK, CONFIG_TYPE, Descriptor, Digest, Directory, Hasher, StoreError, Temporary, Writer,
    check_tag,
};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Manifests, the newest first, that are searched for bases.
const MANIFESTS_MAX: usize = 256;
/// Bases that are tried: comparing with one costs reading it.
const BASES_MAX: usize = 4;
const PAGE: usize = 4096;
const _: () = assert!(PAGE as u64 == PAGE_SIZE);

/// How a snapshot is to be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveOptions {
    /// The name to load it by. Whatever had the name loses it.
    pub tag: String,
    /// The guest's name, for messages.
    pub name: String,
    /// What to keep with it; not interpreted.
    pub metadata: BTreeMap<String, String>,
}

/// What was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Digest of its manifest.
    pub digest: String,
    /// The name to load it by.
    pub tag: String,
    /// Bytes of blobs that the store did not have yet, holes included.
    pub new_bytes: u64,
    /// Kind, digest and bytes of each layer.
    pub layers: Vec<(&'static str, String, u64)>,
}

/// Saves `snapshot` to the store at `path`, which is made if there is none. When this returns, the
/// snapshot survives a crash; when it fails or is stopped, the store is as it was.
///
/// Many threads and processes may save to one store at once. Only pages that a base in the store does
/// not have are written, where the store has one of the same executable.
///
/// Cost: memory is read twice, once for its digest, and so is each base that is compared; `fsync`s.
///
/// # Errors
/// [`SnapshotStoreError`].
pub fn save(
    snapshot: &Snapshot,
    path: &Path,
    options: &SaveOptions,
    stop: &AtomicBool,
) -> Result<Saved, SnapshotStoreError> {
    let invalid = |option, problem| StoreError::Invalid { option, problem };
    check_tag(&options.tag)?;
    config::check_name(&options.name).map_err(|problem| invalid("name", problem))?;
    config::check_metadata(&options.metadata).map_err(|problem| invalid("metadata", problem))?;
    let parts = snapshot.parts();
    let backend = parts.loaded.backend;
    let features = backend.features()?;

    let (personality, files) = parts.personality.state();
    check_sizes(files.iter().chain([&parts.loaded.executable]).map(|file| file.len() as u64))
        .map_err(|problem| invalid("snapshot", problem))?;

    let directory = Directory::create(path, stop)?;
    let mut writer = Writer::begin(&directory, stop)?;
    let executable = writer.add(Layer::Executable.media_type(), &parts.loaded.executable)?;
    let mut layers = save_memory(&directory, &mut writer, &parts.space, &executable, stop)?;
    layers.push(writer.add(Layer::Interface.media_type(), &parts.interface.encode())?);
    layers.push(executable);
    for file in &files {
        if stop.load(Ordering::Relaxed) {
            return Err(StoreError::Stopped.into());
        }
        layers.push(writer.add(Layer::File.media_type(), file)?);
    }
    let config = Config::new(Facts {
        name: options.name.clone(),
        pages: &backend.system_pages(),
        features: &features,
        tsc_frequency: parts.tsc_frequency,
        imports: parts.interface.imports.iter().map(|import| import.name.clone()).collect(),
        limits: parts.limits,
        stack_bytes: parts.stack_bytes,
        message_bytes: parts.message_bytes,
        metadata: options.metadata.clone(),
        sequence: parts.sequence,
        cpu: &parts.cpu.narrowed(&features),
        space: parts.space.describe(),
        personality,
    });
    let config = serde_json::to_vec(&config)
        .map_err(|error| StoreError::io("encode", "the configuration")(io::Error::other(error)))?;
    if config.len() as u64 > CONFIG_MAX {
        let problem = "has too many files or too much unread input".to_owned();
        return Err(invalid("snapshot", problem).into());
    }
    let config = writer.add(CONFIG_TYPE, &config)?;
    let named = layers
        .iter()
        .filter_map(|layer| Some((Layer::of(layer)?.word(), layer.digest.to_string(), layer.size)));
    let named = named.collect();
    let committed = writer.commit(config, layers, &options.tag)?;
    Ok(Saved {
        digest: committed.digest.to_string(),
        tag: options.tag.clone(),
        new_bytes: committed.new_bytes,
        layers: named,
    })
}

/// Saves the memory as pages over a base, where that saves space, or as a base.
fn save_memory(
    directory: &Directory,
    writer: &mut Writer<'_>,
    space: &SealedSpace,
    executable: &Descriptor,
    stop: &AtomicBool,
) -> Result<Vec<Descriptor>, StoreError> {
    let memory = Memory { space, stop };
    let (digest, used) = memory.digest()?;
    let mut best: Option<(Descriptor, Vec<Run>)> = None;
    for base in bases(directory, executable)? {
        if base.digest == digest {
            best = None;
            break;
        }
        let runs = match directory.blob(&base).and_then(|blob| memory.difference(&blob)) {
            Ok(runs) => runs,
            // A base that is damaged is no base.
            Err(StoreError::Corrupt { .. }) => continue,
            Err(other) => return Err(other),
        };
        let worth = used / 4 * 3;
        let smallest = best.as_ref().map_or(worth, |(_, runs)| pages::size(runs));
        if pages::size(&runs) < smallest {
            best = Some((base, runs));
        }
    }
    let Some((base, runs)) = best else {
        let base = Descriptor::new(Layer::Base.media_type(), digest, space.image_bytes());
        let pages = space.image_bytes() / PAGE_SIZE;
        let all = [Run { first: 0, count: pages }];
        let base = writer.add_with(base, |file| memory.write(&all, file, 0))?;
        return Ok(vec![base]);
    };
    if runs.is_empty() {
        // The rest of memory is zeros.
        return Ok(vec![base]);
    }
    let header = pages::encode(&runs);
    let mut hasher = Hasher::default();
    hasher.update(&header);
    memory.each(&runs, |_, bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    let layer = Descriptor::new(Layer::Pages.media_type(), hasher.finish(), pages::size(&runs));
    let layer = writer.add_with(layer, |file| {
        file.write_at(&header, 0)?;
        memory.write(&runs, file, header.len() as u64)
    })?;
    Ok(vec![base, layer])
}

/// The bases of snapshots of the same executable, the newest first.
fn bases(directory: &Directory, executable: &Descriptor) -> Result<Vec<Descriptor>, StoreError> {
    let mut found: Vec<Descriptor> = Vec::new();
    for entry in directory.snapshots()?.iter().rev().take(MANIFESTS_MAX) {
        // Others' damage is theirs: it does not keep this one from being saved.
        let Ok(manifest) = directory.manifest(entry) else { continue };
        let is_same = manifest
            .layers_of(Layer::Executable.media_type())
            .any(|e| e.digest == executable.digest);
        if let (true, Ok(base)) = (is_same, manifest.only(Layer::Base.media_type()))
            && found.iter().all(|known| known.digest != base.digest)
        {
            found.push(base.clone());
        }
        if found.len() >= BASES_MAX {
            break;
        }
    }
    Ok(found)
}

/// The memory of a snapshot, read in pieces.
struct Memory<'a> {
    space: &'a SealedSpace,
    stop: &'a AtomicBool,
}

impl Memory<'_> {
    /// The digest of all of it, and the bytes of pages that are not zero.
    fn digest(&self) -> Result<(Digest, u64), StoreError> {
        let mut hasher = Hasher::default();
        let mut used = 0;
        let all = [Run { first: 0, count: self.space.image_bytes() / PAGE_SIZE }];
        self.each(&all, |_, bytes| {
            hasher.update(bytes);
            let pages = bytes.as_chunks::<PAGE>().0;
            used += pages.iter().filter(|page| !is_zero(page)).count() as u64 * PAGE_SIZE;
            Ok(())
        })?;
        Ok((hasher.finish(), used))
    }

    /// The runs of pages that are not what `base` has there, with its digest checked on the way.
    fn difference(&self, base: &Blob) -> Result<Vec<Run>, StoreError> {
        let total = self.space.image_bytes();
        let mut changed = Vec::new();
        let mut failed = None;
        let mut own = vec![0; CHUNK];
        base.verify(self.stop, |at, theirs| {
            let count = usize::try_from(total.saturating_sub(at)).unwrap_or(usize::MAX);
            let count = count.min(theirs.len());
            if let Err(error) = self.space.read(at, &mut own[..count]) {
                failed = Some(error);
            }
            let pages = own[..count].as_chunks::<PAGE>().0.iter().zip(theirs.as_chunks::<PAGE>().0);
            for (index, (own, theirs)) in pages.enumerate() {
                if own != theirs {
                    changed.push(at / PAGE_SIZE + index as u64);
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(StoreError::io("read", "memory")(error));
        }
        if !base.size.is_multiple_of(PAGE_SIZE) {
            return Err(StoreError::corrupt(&base.name, "it does not hold whole pages"));
        }
        let first = base.size.min(total) / PAGE_SIZE;
        let behind = [Run { first, count: total / PAGE_SIZE - first }];
        self.each(&behind, |page, bytes| {
            let pages = bytes.as_chunks::<PAGE>().0.iter().zip(page..);
            changed.extend(pages.filter(|(bytes, _)| !is_zero(bytes)).map(|(_, page)| page));
            Ok(())
        })?;
        Ok(pages::runs(&changed))
    }

    /// Writes the pages of `runs` one behind the other from `offset` on, except for those of zeros.
    fn write(&self, runs: &[Run], file: &mut Temporary<'_>, offset: u64) -> Result<(), StoreError> {
        let mut offset = offset;
        self.each(runs, |_, bytes| {
            let pages = bytes.as_chunks::<PAGE>().0;
            let mut at = 0;
            // One write for each stretch without a page of zeros.
            for stretch in pages.chunk_by(|one, next| is_zero(one) == is_zero(next)) {
                if !is_zero(&stretch[0]) {
                    file.write_at(stretch.as_flattened(), offset + at)?;
                }
                at += stretch.len() as u64 * PAGE_SIZE;
            }
            offset += at;
            Ok(())
        })
    }

    /// Shows the pages of `runs` in pieces, each with the number of its first page.
    fn each(
        &self,
        runs: &[Run],
        mut show: impl FnMut(u64, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut chunk = vec![0; CHUNK];
        for run in runs {
            let end = run.end() * PAGE_SIZE;
            let mut at = run.first * PAGE_SIZE;
            while at < end {
                if self.stop.load(Ordering::Relaxed) {
                    return Err(StoreError::Stopped);
                }
                let count = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
                let read = self.space.read(at, &mut chunk[..count]);
                read.map_err(StoreError::io("read", "memory"))?;
                show(at / PAGE_SIZE, &chunk[..count])?;
                at += count as u64;
            }
        }
        Ok(())
    }
}

fn is_zero(page: &[u8; PAGE]) -> bool {
    *page == [0; PAGE]
}
