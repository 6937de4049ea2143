//! The documents of an OCI image layout (opencontainers/image-spec: `image-layout.md`,
//! `image-index.md`, `manifest.md`), as far as a store uses them.

use super::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The only version there is.
pub(super) const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// What kind of artifact a manifest of ours is.
pub(super) const SNAPSHOT_TYPE: &str = "application/vnd.ampoule.snapshot.v1";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const CONFIG_TYPE: &str = "application/vnd.ampoule.snapshot.config.v1+json";
/// The annotation of an index entry that holds its tag.
pub(super) const TAG: &str = "org.opencontainers.image.ref.name";

/// Bytes of an index, entries in it, bytes of a manifest and layers in it.
pub(super) const INDEX_MAX: u64 = 4 << 20;
const ENTRIES_MAX: usize = 8192;
pub(super) const MANIFEST_MAX: u64 = 4 << 20;
const LAYERS_MAX: usize = 16_384;
/// Bytes of a tag.
const TAG_MAX: usize = 128;

/// A blob and what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
    /// What others wrote, to be kept.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Which manifests a store has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    schema_version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    pub(super) manifests: Vec<Descriptor>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What one snapshot is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    schema_version: u64,
    media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What a layer of a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// Every used page of memory, in order.
    Base,
    /// The pages that differ from the base, behind a list of them.
    Pages,
    /// What the guest said when it was ready.
    Interface,
    /// The guest's executable.
    Executable,
    /// A file of the guest's.
    File,
}

impl Layer {
    const ALL: [Self; 5] = [Self::Base, Self::Pages, Self::Interface, Self::Executable, Self::File];

    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Base => "application/vnd.ampoule.memory.base.v1",
            Self::Pages => "application/vnd.ampoule.memory.pages.v1",
            Self::Interface => "application/vnd.ampoule.interface.v1+flatbuffers",
            Self::Executable => "application/vnd.ampoule.executable.v1",
            Self::File => "application/vnd.ampoule.file.v1",
        }
    }

    pub(super) fn of(descriptor: &Descriptor) -> Option<Self> {
        Self::ALL.into_iter().find(|layer| layer.media_type() == descriptor.media_type)
    }

    /// The name that `inspect` and results use.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Pages => "pages",
            Self::Interface => "interface",
            Self::Executable => "executable",
            Self::File => "file",
        }
    }
}

impl Descriptor {
    pub(super) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            artifact_type: None,
            annotations: BTreeMap::new(),
            rest: Map::new(),
        }
    }

    /// The entry of an index for a manifest of ours.
    pub(super) fn tagged(digest: Digest, size: u64, tag: &str) -> Self {
        Self {
            artifact_type: Some(SNAPSHOT_TYPE.to_owned()),
            annotations: BTreeMap::from([(TAG.to_owned(), tag.to_owned())]),
            ..Self::new(MANIFEST_TYPE, digest, size)
        }
    }

    pub(super) fn tag(&self) -> Option<&str> {
        self.annotations.get(TAG).map(String::as_str)
    }

    /// Whether it is the index entry of a snapshot.
    pub(super) fn is_snapshot(&self) -> bool {
        self.artifact_type.as_deref() == Some(SNAPSHOT_TYPE)
    }
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            schema_version: 2,
            media_type: Some(INDEX_TYPE.to_owned()),
            manifests: Vec::new(),
            rest: Map::new(),
        }
    }

    /// Its snapshots, the one saved last at the end.
    pub(super) fn snapshots(&self) -> impl DoubleEndedIterator<Item = &Descriptor> {
        self.manifests.iter().filter(|entry| entry.is_snapshot())
    }

    pub(super) fn find(&self, tag: &str) -> Option<&Descriptor> {
        self.snapshots().rev().find(|entry| entry.tag() == Some(tag))
    }

    /// Puts `entry` in the place of whatever had its tag; `false` when the index is full.
    pub(super) fn set(&mut self, entry: Descriptor) -> bool {
        self.manifests.retain(|other| !other.is_snapshot() || other.tag() != entry.tag());
        self.manifests.push(entry);
        self.manifests.len() <= ENTRIES_MAX
    }
}

impl Manifest {
    pub(super) fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: MANIFEST_TYPE.to_owned(),
            artifact_type: Some(SNAPSHOT_TYPE.to_owned()),
            config,
            layers,
            rest: Map::new(),
        }
    }

    /// The layers of one kind.
    pub(super) fn layers_of(&self, layer: Layer) -> impl Iterator<Item = &Descriptor> {
        self.layers.iter().filter(move |descriptor| Layer::of(descriptor) == Some(layer))
    }

    /// The only layer of a kind.
    pub(super) fn only(&self, layer: Layer) -> Result<&Descriptor, String> {
        self.at_most_one(layer)?.ok_or_else(|| format!("no layer {}", layer.media_type()))
    }

    pub(super) fn at_most_one(&self, layer: Layer) -> Result<Option<&Descriptor>, String> {
        let mut found = self.layers_of(layer);
        let first = found.next();
        match found.next() {
            Some(_) => Err(format!("two layers {}", layer.media_type())),
            None => Ok(first),
        }
    }
}

/// Reads `index.json`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn decode_index(bytes: &[u8]) -> Result<Index, String> {
    let index: Index = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if index.schema_version != 2 {
        return Err(format!("schema version {}", index.schema_version));
    }
    if index.manifests.len() > ENTRIES_MAX {
        return Err(format!("more than {ENTRIES_MAX} manifests"));
    }
    Ok(index)
}

/// Reads a manifest of ours.
///
/// # Errors
/// What is wrong with it.
pub(super) fn decode_manifest(bytes: &[u8]) -> Result<Manifest, String> {
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if manifest.schema_version != 2 || manifest.media_type != MANIFEST_TYPE {
        return Err("not an image manifest".into());
    }
    if manifest.artifact_type.as_deref() != Some(SNAPSHOT_TYPE)
        || manifest.config.media_type != CONFIG_TYPE
    {
        return Err("not the manifest of a snapshot".into());
    }
    if manifest.layers.len() > LAYERS_MAX {
        return Err(format!("more than {LAYERS_MAX} layers"));
    }
    Ok(manifest)
}

/// Whether `tag` can name a snapshot: letters and digits, with `-._:@/+` between them.
pub(super) fn is_tag(tag: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:@/+".contains(&byte);
    let ends = tag.bytes().next().into_iter().chain(tag.bytes().next_back());
    !tag.is_empty()
        && tag.len() <= TAG_MAX
        && tag.bytes().all(is_inner)
        && ends.into_iter().all(|byte| byte.is_ascii_alphanumeric())
}
