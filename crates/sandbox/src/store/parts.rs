//! What a snapshot is made of in a store.

use super::config::{self, CONFIG_MAX, Config};
use super::error::{Incompatibility, SnapshotStoreError};
use super::layer::Layer;
use super::pages::{self, Run};
use ampoule_abi::layout::{MEMORY_MAX, PAGE_SIZE};
use ampoule_store::{BLOBS, Blob, Descriptor, Directory, Manifest, StoreError};
use ampoule_wire::interface::{self, Interface};
use std::sync::atomic::AtomicBool;

/// Bytes of an executable or of a guest's file, and of all of them together: they are read into memory.
pub(super) const FILE_MAX: u64 = 1 << 30;
const FILES_TOTAL_MAX: u64 = 4 << 30;

/// Checks what an executable and files take in memory.
pub(super) fn check_sizes(sizes: impl Iterator<Item = u64>) -> Result<(), String> {
    let mut total = 0_u64;
    for size in sizes {
        total = total.saturating_add(size);
        if size > FILE_MAX || total > FILES_TOTAL_MAX {
            return Err(format!(
                "has a file of {size} bytes, {total} together; the limits are {FILE_MAX} and \
                 {FILES_TOTAL_MAX}"
            ));
        }
    }
    Ok(())
}

/// The blobs of one snapshot, opened, and what is small among them, read.
pub(super) struct Parts {
    pub(super) config: Config,
    /// Name of the configuration's file, for messages.
    pub(super) config_name: String,
    pub(super) interface: Interface,
    /// Opened one after the other: there may be more than a process has descriptors for.
    pub(super) executable: Descriptor,
    pub(super) files: Vec<Descriptor>,
    pub(super) base: Blob,
    pub(super) changed: Option<(Blob, Vec<Run>)>,
}

impl Parts {
    /// Opens what `manifest`, that of `entry` in the index, names.
    pub(super) fn open(
        directory: &Directory,
        entry: &Descriptor,
        manifest: &Manifest,
    ) -> Result<Self, SnapshotStoreError> {
        let manifest_name = format!("{BLOBS}/{}", entry.digest.hex());
        let layers = |what| StoreError::corrupt(&manifest_name, what);
        let blob = directory.blob(&manifest.config)?;
        let config = config::decode(&blob.read(CONFIG_MAX)?).map_err(|what| match what {
            Some(what) => StoreError::corrupt(&blob.name, what).into(),
            None => SnapshotStoreError::Incompatible {
                reason: Incompatibility::Format,
                needed: "a release of Ampoule that knows its format".into(),
            },
        })?;
        let config_name = blob.name;

        let blob = directory.blob(manifest.only(Layer::Interface.media_type()).map_err(layers)?)?;
        let bytes = blob.read(interface::SIZE_LIMIT as u64)?;
        let interface = Interface::decode(&bytes);
        let interface =
            interface.map_err(|error| StoreError::corrupt(&blob.name, error.to_string()))?;
        if interface.imports.iter().map(|import| &import.name).ne(&config.required_host_functions) {
            let what = "it names other host functions than the interface";
            return Err(StoreError::corrupt(config_name, what).into());
        }

        let executable = manifest.only(Layer::Executable.media_type()).map_err(layers)?.clone();
        let files: Vec<_> = manifest.layers_of(Layer::File.media_type()).cloned().collect();
        check_sizes(files.iter().chain([&executable]).map(|file| file.size)).map_err(layers)?;
        if files.len() != config.personality.file_count() {
            return Err(layers("another number of files than the configuration says".into()).into());
        }
        let base = directory.blob(manifest.only(Layer::Base.media_type()).map_err(layers)?)?;
        if base.size == 0 || !base.size.is_multiple_of(PAGE_SIZE) || base.size > MEMORY_MAX {
            return Err(StoreError::corrupt(&base.name, "it does not hold whole pages").into());
        }
        let changed = manifest.at_most_one(Layer::Pages.media_type()).map_err(layers)?;
        let changed = changed.map(|layer| open_pages(directory.blob(layer)?)).transpose()?;
        Ok(Self { config, config_name, interface, executable, files, base, changed })
    }

    /// Whether the snapshot's layers of memory are what their digests say.
    pub(super) fn verify_memory(&self, stop: &AtomicBool) -> Result<(), StoreError> {
        self.base.verify(stop, |_, _| {})?;
        self.changed.as_ref().map_or(Ok(()), |(blob, _)| blob.verify(stop, |_, _| {}))
    }

    /// As [`Self::verify_memory`], for everything that is not read anyway.
    pub(super) fn verify_all(
        &self,
        directory: &Directory,
        stop: &AtomicBool,
    ) -> Result<(), SnapshotStoreError> {
        self.verify_memory(stop)?;
        let mut others = self.files.iter().chain([&self.executable]);
        others.try_for_each(|file| directory.blob(file)?.verify(stop, |_, _| {}))?;
        Ok(())
    }
}

fn open_pages(blob: Blob) -> Result<(Blob, Vec<Run>), StoreError> {
    let corrupt = |what: String| StoreError::corrupt(&blob.name, what);
    let mut start = [0; 16];
    if blob.size < start.len() as u64 {
        return Err(corrupt("it has no header".into()));
    }
    blob.read_at(0, &mut start)?;
    let size = pages::header_size(&start).map_err(corrupt)?;
    if size > blob.size {
        return Err(corrupt("its header is cut off".into()));
    }
    let mut header = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
    blob.read_at(0, &mut header)?;
    let runs = pages::decode(&header, blob.size).map_err(corrupt)?;
    Ok((blob, runs))
}
