//! The documents of an OCI image layout (opencontainers/image-spec: `image-layout.md`,
//! `image-index.md`, `manifest.md`), as far as a store uses them.

use crate::digest::Digest;
use crate::error::StoreError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The only version there is.
pub(crate) const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// What kind of artifact a manifest of ours is.
const SNAPSHOT_TYPE: &str = "application/vnd.ampoule.snapshot.v1";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of a snapshot's configuration.
pub const CONFIG_TYPE: &str = "application/vnd.ampoule.snapshot.config.v1+json";
/// The annotation of an index entry that holds its tag.
const TAG: &str = "org.opencontainers.image.ref.name";

/// Bytes of an index, entries in it, bytes of a manifest and layers in it.
pub(crate) const INDEX_MAX: u64 = 4 << 20;
const ENTRIES_MAX: usize = 8192;
pub(crate) const MANIFEST_MAX: u64 = 4 << 20;
const LAYERS_MAX: usize = 16_384;
/// Bytes of a tag.
const TAG_MAX: usize = 128;

/// A blob and what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its name.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    /// What others wrote, to be kept.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Which manifests a store has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    schema_version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What one snapshot is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    schema_version: u64,
    media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    /// Everything that is not in a layer.
    pub config: Descriptor,
    /// Its layers, in the order in which they were saved.
    pub layers: Vec<Descriptor>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Descriptor {
    /// A blob of `size` bytes.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
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
    pub(crate) fn tagged(digest: Digest, size: u64, tag: &str) -> Self {
        Self {
            artifact_type: Some(SNAPSHOT_TYPE.to_owned()),
            annotations: BTreeMap::from([(TAG.to_owned(), tag.to_owned())]),
            ..Self::new(MANIFEST_TYPE, digest, size)
        }
    }

    /// The tag of the entry of an index.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.annotations.get(TAG).map(String::as_str)
    }

    /// Whether it is the index entry of a snapshot.
    pub(crate) fn is_snapshot(&self) -> bool {
        self.artifact_type.as_deref() == Some(SNAPSHOT_TYPE)
    }
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            schema_version: 2,
            media_type: Some(INDEX_TYPE.to_owned()),
            manifests: Vec::new(),
            rest: Map::new(),
        }
    }

    /// Its snapshots, the one saved last at the end.
    pub(crate) fn snapshots(&self) -> impl DoubleEndedIterator<Item = &Descriptor> {
        self.manifests.iter().filter(|entry| entry.is_snapshot())
    }

    pub(crate) fn find(&self, tag: &str) -> Option<&Descriptor> {
        self.snapshots().rev().find(|entry| entry.tag() == Some(tag))
    }

    /// Puts `entry` in the place of whatever had its tag; `false` when the index is full.
    pub(crate) fn set(&mut self, entry: Descriptor) -> bool {
        self.manifests.retain(|other| !other.is_snapshot() || other.tag() != entry.tag());
        self.manifests.push(entry);
        self.manifests.len() <= ENTRIES_MAX
    }
}

impl Manifest {
    pub(crate) fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: MANIFEST_TYPE.to_owned(),
            artifact_type: Some(SNAPSHOT_TYPE.to_owned()),
            config,
            layers,
            rest: Map::new(),
        }
    }

    /// The layers of a media type.
    pub fn layers_of<'a>(&'a self, media_type: &'a str) -> impl Iterator<Item = &'a Descriptor> {
        self.layers.iter().filter(move |layer| layer.media_type == media_type)
    }

    /// The only layer of a media type.
    ///
    /// # Errors
    /// That there is none, or more than one.
    pub fn only(&self, media_type: &str) -> Result<&Descriptor, String> {
        self.at_most_one(media_type)?.ok_or_else(|| format!("no layer {media_type}"))
    }

    /// The layer of a media type, if there is one.
    ///
    /// # Errors
    /// That there is more than one.
    pub fn at_most_one(&self, media_type: &str) -> Result<Option<&Descriptor>, String> {
        let mut found = self.layers.iter().filter(|layer| layer.media_type == media_type);
        let first = found.next();
        match found.next() {
            Some(_) => Err(format!("two layers {media_type}")),
            None => Ok(first),
        }
    }
}

/// Reads `index.json`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn decode_index(bytes: &[u8]) -> Result<Index, String> {
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
pub(crate) fn decode_manifest(bytes: &[u8]) -> Result<Manifest, String> {
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

/// Checks that `tag` can name a snapshot: letters and digits, with `-._:@/+` between them.
///
/// # Errors
/// [`StoreError::Invalid`].
pub fn check_tag(tag: &str) -> Result<(), StoreError> {
    if is_tag(tag) {
        return Ok(());
    }
    let problem = format!(
        "must be letters and digits, with `-._:@/+` between them, up to {TAG_MAX}, got {tag:?}"
    );
    Err(StoreError::Invalid { option: "tag", problem })
}

fn is_tag(tag: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:@/+".contains(&byte);
    let ends = tag.bytes().next().into_iter().chain(tag.bytes().next_back());
    !tag.is_empty()
        && tag.len() <= TAG_MAX
        && tag.bytes().all(is_inner)
        && ends.into_iter().all(|byte| byte.is_ascii_alphanumeric())
}
