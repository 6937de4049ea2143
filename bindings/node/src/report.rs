//! Failures, the probe and what is in an executable: data for people.

use crate::convert::count;
use ampoule_sandbox::{ElfKind, Failure, parse_executable};
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use serde_json::Value;

/// A failure as data.
#[napi(object, object_from_js = false)]
pub struct NativeFailure {
    /// One of the public codes.
    pub code: String,
    /// What was wrong, for people.
    pub message: String,
    /// Facts by name.
    #[napi(ts_type = "Record<string, unknown>")]
    pub details: Value,
    /// What can be done about it, if it is one of these.
    #[napi(ts_type = "'raise-limit' | 'diagnose-host'")]
    pub remedy: Option<String>,
}

impl From<Failure> for NativeFailure {
    fn from(from: Failure) -> Self {
        let Failure { code, message, details, remedy } = from;
        let remedy = remedy.map(|remedy| remedy.word().to_owned());
        Self { code: code.to_string(), message, details, remedy }
    }
}

/// What this machine offers.
#[napi(object, object_from_js = false)]
pub struct NativeProbe {
    /// The device that was tried.
    pub device: String,
    /// Whether a hypervisor can be used.
    pub usable: bool,
    /// What was found, as a sentence.
    pub finding: String,
    /// What to do about it; empty when nothing needs doing.
    pub remedy: String,
    /// Features of the processor that guests get.
    pub features: Vec<NativeFeature>,
    /// Whether the Microsoft Hypervisor's device exists.
    pub mshv_present: bool,
    /// CPUs that this process may run on.
    pub cpus: u32,
    /// How long a sandbox waits when it runs on another thread than before, in milliseconds.
    pub thread_change_ms: f64,
}

/// A feature of the processor.
#[napi(object, object_from_js = false)]
pub struct NativeFeature {
    /// Its usual name.
    pub name: String,
    /// Whether guests have it.
    pub present: bool,
}

/// Says what hypervisor there is.
#[napi]
#[must_use]
pub fn probe() -> NativeProbe {
    let probe = ampoule_host::probe();
    NativeProbe {
        device: probe.device.display().to_string(),
        usable: probe.is_usable(),
        finding: probe.finding(),
        remedy: probe.availability.remedy().to_owned(),
        features: probe
            .features
            .iter()
            .map(|&(name, present)| NativeFeature { name: name.to_owned(), present })
            .collect(),
        mshv_present: probe.mshv_present,
        cpus: u32::try_from(probe.cpus).unwrap_or(u32::MAX),
        thread_change_ms: ampoule_host::BACKENDS.thread_change_cost().as_secs_f64() * 1000.0,
    }
}

/// What is in an executable, or why it cannot be a guest.
#[napi(object, object_from_js = false)]
pub struct NativeInspection {
    /// What is in it.
    pub elf: Option<NativeElf>,
    /// Why it cannot be a guest.
    pub error: Option<NativeFailure>,
}

/// What is in an executable.
#[napi(object, object_from_js = false)]
pub struct NativeElf {
    /// `"fixed"` or `"position-independent"`.
    pub kind: String,
    /// Address of the first instruction, as `0x...`.
    pub entry: String,
    /// First address behind the highest segment, as `0x...`.
    pub end: String,
    /// Bytes of the file.
    pub file_bytes: f64,
}

/// Says what is in an executable.
#[napi]
#[must_use]
pub fn inspect_elf(executable: Uint8Array) -> NativeInspection {
    match parse_executable(&executable) {
        Ok(program) => NativeInspection {
            elf: Some(NativeElf {
                kind: match program.kind {
                    ElfKind::Fixed => "fixed",
                    ElfKind::PositionIndependent => "position-independent",
                }
                .to_owned(),
                entry: format!("{:#x}", program.entry),
                end: format!("{:#x}", program.break_start),
                file_bytes: count(u64::try_from(executable.len()).unwrap_or(u64::MAX)),
            }),
            error: None,
        },
        Err(error) => {
            let failure = ampoule_sandbox::CreateError::from(error).failure();
            NativeInspection { elf: None, error: Some(failure.into()) }
        }
    }
}
