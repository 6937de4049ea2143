//! The configuration of a snapshot: everything but bytes of memory and of files.

use super::error::{Incompatibility, SnapshotStoreError};
use super::processor::{ProcessorConfig, RegistersConfig};
use crate::config::{Limits, MESSAGE_MIN, STACK_MIN};
use ampoule_abi::layout::{MEMORY_MAX, MESSAGE_MAX, PAGE_SIZE};
use ampoule_abi::version;
use ampoule_linux::PersonalityState;
use ampoule_machine::{Backends, CpuState, GuestFeatures, SystemPage, SystemPages};
use ampoule_memory::SpaceDescription;
use ampoule_store::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of everything that this module and `pages` define.
pub(super) const FORMAT: u64 = 3;
/// Bytes of a configuration.
pub(super) const CONFIG_MAX: u64 = 32 << 20;
/// Entries of metadata, and bytes of all keys and values.
const METADATA_ENTRIES_MAX: usize = 256;
const METADATA_BYTES_MAX: usize = 64 << 10;
/// Bytes of a guest's name.
const NAME_MAX: usize = 4096;
/// The processor that this release knows.
const ARCHITECTURE: &str = "x86-64";

/// A snapshot without its blobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Config {
    format: u64,
    /// The guest's name, for messages.
    pub(super) name: String,
    /// The host's version of the guest ABI.
    abi_version: u32,
    architecture: String,
    /// Digest of the ring-0 code and tables that the memory must hold.
    system_pages: Digest,
    processor: ProcessorConfig,
    /// Names of the host functions that the guest imports, for people.
    pub(super) required_host_functions: Vec<String>,
    pub(super) limits: LimitsConfig,
    /// What the user said about it.
    pub(super) metadata: BTreeMap<String, String>,
    /// Number of the last message in the channel.
    pub(super) sequence: u32,
    registers: RegistersConfig,
    pub(super) space: SpaceDescription,
    pub(super) personality: PersonalityState,
}

/// What a snapshot without a limit on items was saved with.
const fn every_item() -> u64 {
    ampoule_wire::value::ITEM_LIMIT
}

/// What the guest may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LimitsConfig {
    host_calls: u64,
    output_bytes: u64,
    value_depth: usize,
    /// Absent in snapshots of releases that did not count them.
    #[serde(default = "every_item")]
    value_items: u64,
    trace_bytes: u64,
    pub(super) memory_bytes: u64,
    pub(super) stack_bytes: u64,
    pub(super) message_bytes: u64,
}

/// What [`Config::new`] takes.
pub(super) struct Facts<'a> {
    pub(super) name: String,
    pub(super) pages: &'a [SystemPage],
    pub(super) features: &'a GuestFeatures,
    pub(super) tsc_frequency: Option<u64>,
    pub(super) imports: Vec<String>,
    pub(super) limits: Limits,
    pub(super) stack_bytes: u64,
    pub(super) message_bytes: u64,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) sequence: u32,
    pub(super) cpu: &'a CpuState,
    pub(super) space: SpaceDescription,
    pub(super) personality: PersonalityState,
}

/// Where a snapshot is to run.
pub(super) struct Place<'a> {
    /// What the back end needs in memory.
    pub(super) pages: &'a [SystemPage],
    /// What its guests see of the processor.
    pub(super) features: &'a GuestFeatures,
    /// All back ends that there are.
    pub(super) backends: Backends,
}

impl Config {
    pub(super) fn new(facts: Facts<'_>) -> Self {
        let Limits { host_calls, output_bytes, value_depth, value_items, trace_bytes } =
            facts.limits;
        Self {
            format: FORMAT,
            name: facts.name,
            abi_version: version::CURRENT,
            architecture: ARCHITECTURE.to_owned(),
            system_pages: system_pages_digest(facts.pages),
            processor: ProcessorConfig::new(facts.features, facts.tsc_frequency),
            required_host_functions: facts.imports,
            limits: LimitsConfig {
                host_calls,
                output_bytes,
                value_depth,
                value_items,
                trace_bytes,
                memory_bytes: facts.space.limit * PAGE_SIZE,
                stack_bytes: facts.stack_bytes,
                message_bytes: facts.message_bytes,
            },
            metadata: facts.metadata,
            sequence: facts.sequence,
            registers: RegistersConfig::new(facts.cpu),
            space: facts.space,
            personality: facts.personality,
        }
    }

    /// Whether the snapshot can run at `host`.
    pub(super) fn check_fit(&self, host: &Place<'_>) -> Result<(), SnapshotStoreError> {
        let unfit = |reason, needed| Err(SnapshotStoreError::Incompatible { reason, needed });
        if !version::is_compatible(version::CURRENT, self.abi_version) {
            let needed = format!("version {} of the guest ABI", named(self.abi_version));
            return unfit(Incompatibility::Abi, needed);
        }
        if self.architecture != ARCHITECTURE {
            return unfit(
                Incompatibility::Architecture,
                format!("a processor `{}`", self.architecture),
            );
        }
        if self.system_pages != system_pages_digest(host.pages) {
            let needed = "the release of Ampoule that saved it".to_owned();
            return unfit(Incompatibility::SystemPages, needed);
        }
        match self.processor.missing_on(host.features, host.backends) {
            Some(needed) => unfit(Incompatibility::CpuFeatures, needed),
            None => Ok(()),
        }
    }

    /// The processor's state.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn cpu(&self, host: &GuestFeatures) -> Result<CpuState, String> {
        self.registers.cpu(host).map_err(|what| format!("registers: {what}"))
    }

    /// The limits that a sandbox checks.
    pub(super) const fn limits(&self) -> Limits {
        let LimitsConfig {
            host_calls, output_bytes, value_depth, value_items, trace_bytes, ..
        } = self.limits;
        Limits { host_calls, output_bytes, value_depth, value_items, trace_bytes }
    }

    pub(super) const fn tsc_frequency(&self) -> Option<u64> {
        self.processor.tsc_frequency
    }

    /// What `inspect` shows.
    pub(super) fn summary(&self) -> serde_json::Value {
        let bound = |value: u64| (value != u64::MAX).then_some(value);
        let limits = &self.limits;
        serde_json::json!({
            "format": self.format,
            "name": self.name,
            "abiVersion": named(self.abi_version),
            "architecture": self.architecture,
            "processor": self.processor,
            "requiredHostFunctions": self.required_host_functions,
            "limits": {
                "memoryBytes": limits.memory_bytes,
                "stackBytes": limits.stack_bytes,
                "messageBytes": limits.message_bytes,
                "outputBytes": bound(limits.output_bytes),
                "hostCalls": bound(limits.host_calls),
                "depth": limits.value_depth,
                "items": limits.value_items,
                "traceBytes": bound(limits.trace_bytes),
            },
            "metadata": self.metadata,
        })
    }

    fn check(&self) -> Result<(), String> {
        check_name(&self.name)?;
        check_metadata(&self.metadata)?;
        let LimitsConfig {
            value_depth, value_items, memory_bytes, stack_bytes, message_bytes, ..
        } = self.limits;
        let is_within = (STACK_MIN..=memory_bytes).contains(&stack_bytes)
            && memory_bytes <= MEMORY_MAX
            && memory_bytes == self.space.limit.saturating_mul(PAGE_SIZE)
            // The channel rounds a message's size up to whole pages.
            && (MESSAGE_MIN..=MESSAGE_MAX + PAGE_SIZE).contains(&message_bytes)
            && value_depth <= ampoule_wire::value::DEPTH_LIMIT
            && value_items <= ampoule_wire::value::ITEM_LIMIT;
        if is_within { Ok(()) } else { Err("limits: out of range".into()) }
    }
}

/// Reads a configuration. Whether it fits this machine is another question; one of another format is
/// told by `Err(None)`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn decode(bytes: &[u8]) -> Result<Config, Option<String>> {
    /// What every format has.
    #[derive(Deserialize)]
    struct Versioned {
        format: u64,
    }
    let malformed = |error: serde_json::Error| Some(error.to_string());
    let versioned: Versioned = serde_json::from_slice(bytes).map_err(malformed)?;
    if versioned.format != FORMAT {
        return Err(None);
    }
    let config: Config = serde_json::from_slice(bytes).map_err(malformed)?;
    config.check()?;
    Ok(config)
}

/// Checks a guest's name.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.len() > NAME_MAX {
        return Err(format!("name: {} bytes, the limit is {NAME_MAX}", name.len()));
    }
    Ok(())
}

/// Checks what a user wants to be kept with a snapshot.
pub(super) fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), String> {
    if metadata.len() > METADATA_ENTRIES_MAX {
        return Err(format!("metadata: more than {METADATA_ENTRIES_MAX} entries"));
    }
    let bytes: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > METADATA_BYTES_MAX {
        return Err(format!("metadata: {bytes} bytes, the limit is {METADATA_BYTES_MAX}"));
    }
    Ok(())
}

fn system_pages_digest(pages: &[SystemPage]) -> Digest {
    Digest::of(&SystemPages::fixed_bytes(pages))
}

fn named(version: u32) -> String {
    format!("{}.{}", version >> 16, version & 0xffff)
}
