//! The processor in the configuration of a snapshot: what guests saw of it, and its state.

use ampoule_machine::{Backends, CpuState, FEATURE_WORDS, GuestFeatures, Registers};
use ampoule_store::{hex, unhex};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bytes of extended state in the standard format.
const EXTENDED_BYTES: usize = 4096;

/// What guests saw of the processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ProcessorConfig {
    hypervisor: String,
    /// By leaf, subleaf and register, as hexadecimal digits.
    cpuid: BTreeMap<String, Hex>,
    xcr0: Hex,
    components: Vec<(u32, u32, u32)>,
    /// Frequency of the time-stamp counter in Hz, if it was known; a guest is told the new one, which
    /// it sees unless it has kept the old one.
    pub(super) tsc_frequency: Option<u64>,
}

/// The registers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RegistersConfig {
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

impl ProcessorConfig {
    pub(super) fn new(features: &GuestFeatures, tsc_frequency: Option<u64>) -> Self {
        let cpuid = FEATURE_WORDS.iter().zip(features.words);
        Self {
            hypervisor: features.backend.to_owned(),
            cpuid: cpuid.map(|(word, value)| (word.name.to_owned(), Hex(value.into()))).collect(),
            xcr0: Hex(features.xcr0),
            components: features.components.clone(),
            tsc_frequency,
        }
    }

    /// What a guest saw and would miss where guests see `host`; `backends` are all that there are.
    pub(super) fn missing_on(&self, host: &GuestFeatures, backends: Backends) -> Option<String> {
        // The back end's name lives as long as the program; one that this release does not know is none
        // that this machine has.
        let Some(backend) = backends.feature_sources().find(|name| *name == self.hypervisor) else {
            return Some(format!("the hypervisor `{}`", self.hypervisor));
        };
        let word = |name: &str| self.cpuid.get(name).map_or(0, |value| value.0);
        let unknown = self.cpuid.iter().find(|(name, value)| {
            value.0 > u64::from(u32::MAX)
                || !FEATURE_WORDS.iter().any(|word| word.name == name.as_str())
        });
        if let Some((name, value)) = unknown {
            return Some(format!("the bits {:#x} of CPUID {name}", value.0));
        }
        let needed = GuestFeatures {
            backend,
            words: FEATURE_WORDS.map(|known| u32::try_from(word(known.name)).unwrap_or(u32::MAX)),
            xcr0: self.xcr0.0,
            components: self.components.clone(),
        };
        needed.missing_on(host)
    }
}

impl RegistersConfig {
    pub(super) fn new(cpu: &CpuState) -> Self {
        let end = cpu.extended.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        Self {
            general: words_of(cpu).into_iter().map(Hex).collect(),
            extended: hex(&cpu.extended[..end]),
        }
    }

    /// The processor's state.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn cpu(&self, host: &GuestFeatures) -> Result<CpuState, String> {
        let mut extended = unhex(&self.extended).ok_or("not hexadecimal")?;
        if extended.len() > EXTENDED_BYTES {
            return Err("extended state of another size".into());
        }
        extended.resize(EXTENDED_BYTES, 0);
        let words: Vec<u64> = self.general.iter().map(|word| word.0).collect();
        let words = words.try_into().map_err(|_| "another number of them")?;
        let cpu = cpu_of(words, extended);
        cpu.check(host)?;
        Ok(cpu)
    }
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
