//! The configuration of a snapshot: everything but bytes of memory and of files.

use super::error::{Incompatibility, SnapshotStoreError};
use crate::config::{Limits, MESSAGE_MIN, STACK_MIN};
use ampoule_abi::layout::{MEMORY_MAX, MESSAGE_MAX, PAGE_SIZE};
use ampoule_abi::version;
use ampoule_linux::PersonalityState;
use ampoule_machine::{
    Backends, CpuState, FEATURE_WORDS, GuestFeatures, Registers, SystemPage, SystemPages,
};
use ampoule_memory::SpaceDescription;
use ampoule_store::{Digest, hex, unhex};
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
/// Bytes of extended state in the standard format.
const EXTENDED_BYTES: usize = 4096;
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

/// What guests saw of the processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProcessorConfig {
    hypervisor: String,
    /// By leaf, subleaf and register, as hexadecimal digits.
    cpuid: BTreeMap<String, Hex>,
    xcr0: Hex,
    components: Vec<(u32, u32, u32)>,
    /// Frequency of the time-stamp counter in Hz, if it was known; a guest is told the new one, which
    /// it sees unless it has kept the old one.
    tsc_frequency: Option<u64>,
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RegistersConfig {
    /// RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP, R8 to R15, RIP, RFLAGS, then the bases of FS and GS.
    general: Vec<Hex>,
    /// The extended state in the standard format of `XSAVE`, as hexadecimal digits, without the zeros
    /// at its end.
    extended: String,
}

/// A number as hexadecimal digits: JSON readers that keep numbers as doubles would round it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Hex(u64);

impl From<Hex> for String {
    fn from(Hex(value): Hex) -> Self {
        format!("{value:#x}")
    }
}

impl TryFrom<String> for Hex {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.strip_prefix("0x").filter(|digits| !digits.starts_with('+'));
        let value = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        value.map(Self).ok_or("a number is `0x` and up to 16 hexadecimal digits")
    }
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
        let cpuid = FEATURE_WORDS.iter().zip(facts.features.words);
        let end = facts.cpu.extended.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        Self {
            format: FORMAT,
            name: facts.name,
            abi_version: version::CURRENT,
            architecture: ARCHITECTURE.to_owned(),
            system_pages: system_pages_digest(facts.pages),
            processor: ProcessorConfig {
                hypervisor: facts.features.backend.to_owned(),
                cpuid: cpuid
                    .map(|(word, value)| (word.name.to_owned(), Hex(value.into())))
                    .collect(),
                xcr0: Hex(facts.features.xcr0),
                components: facts.features.components.clone(),
                tsc_frequency: facts.tsc_frequency,
            },
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
            registers: RegistersConfig {
                general: words_of(facts.cpu).into_iter().map(Hex).collect(),
                extended: hex(&facts.cpu.extended[..end]),
            },
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
        // The back end's name lives as long as the program; one that this release does not know is none
        // that this machine has.
        let mut known = host.backends.feature_sources();
        let Some(backend) = known.find(|name| *name == self.processor.hypervisor) else {
            let needed = format!("the hypervisor `{}`", self.processor.hypervisor);
            return unfit(Incompatibility::CpuFeatures, needed);
        };
        let word = |name: &str| self.processor.cpuid.get(name).map_or(0, |value| value.0);
        let unknown = self.processor.cpuid.iter().find(|(name, value)| {
            value.0 > u64::from(u32::MAX)
                || !FEATURE_WORDS.iter().any(|word| word.name == name.as_str())
        });
        if let Some((name, value)) = unknown {
            let needed = format!("the bits {:#x} of CPUID {name}", value.0);
            return unfit(Incompatibility::CpuFeatures, needed);
        }
        let needed = GuestFeatures {
            backend,
            words: FEATURE_WORDS.map(|known| u32::try_from(word(known.name)).unwrap_or(u32::MAX)),
            xcr0: self.processor.xcr0.0,
            components: self.processor.components.clone(),
        };
        match needed.missing_on(host.features) {
            Some(needed) => unfit(Incompatibility::CpuFeatures, needed),
            None => Ok(()),
        }
    }

    /// The processor's state.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn cpu(&self, host: &GuestFeatures) -> Result<CpuState, String> {
        let mut extended = unhex(&self.registers.extended).ok_or("registers: not hexadecimal")?;
        if extended.len() > EXTENDED_BYTES {
            return Err("registers: extended state of another size".into());
        }
        extended.resize(EXTENDED_BYTES, 0);
        let words: Vec<u64> = self.registers.general.iter().map(|word| word.0).collect();
        let words = words.try_into().map_err(|_| "registers: another number of them")?;
        let cpu = cpu_of(words, extended);
        cpu.check(host).map_err(|what| format!("registers: {what}"))?;
        Ok(cpu)
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

fn words_of(cpu: &CpuState) -> [u64; 20] {
    let r = &cpu.registers;
    [
        r.rax,
        r.rbx,
        r.rcx,
        r.rdx,
        r.rsi,
        r.rdi,
        r.rsp,
        r.rbp,
        r.r8,
        r.r9,
        r.r10,
        r.r11,
        r.r12,
        r.r13,
        r.r14,
        r.r15,
        r.rip,
        r.rflags,
        cpu.fs_base,
        cpu.gs_base,
    ]
}

fn cpu_of(words: [u64; 20], extended: Vec<u8>) -> CpuState {
    let [
        rax,
        rbx,
        rcx,
        rdx,
        rsi,
        rdi,
        rsp,
        rbp,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rip,
        rflags,
        fs_base,
        gs_base,
    ] = words;
    let registers = Registers {
        rax,
        rbx,
        rcx,
        rdx,
        rsi,
        rdi,
        rsp,
        rbp,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rip,
        rflags,
    };
    CpuState { registers, fs_base, gs_base, extended }
}
