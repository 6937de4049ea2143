//! Making sandboxes: the options, converted.

use crate::convert::{number, unsigned};
use crate::{contents, environment, snapshots};
use ampoule_host::{BACKENDS, Driver};
use ampoule_sandbox::{Config, File, Limits};
use napi::{Error, Result};
use napi_derive::napi;

/// What a sandbox is made of, everything resolved; sizes in bytes.
#[napi(object, object_to_js = false)]
pub struct NativeConfig {
    /// `argv[0]`.
    pub name: String,
    /// Number of the ELF file, from `intern`.
    pub executable: i64,
    /// Arguments behind the name.
    pub arguments: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// Read-only files.
    pub files: Vec<NativeFile>,
    /// Guest memory.
    pub memory_bytes: i64,
    /// Its stack.
    pub stack_bytes: i64,
    /// Largest message; absent for a plain program without a channel.
    pub message_bytes: Option<i64>,
    /// What is checked while the guest runs.
    pub limits: NativeLimits,
    /// Whether every call is followed by a restore.
    pub restore_after_call: bool,
}

/// Limits that are checked while a guest runs.
#[napi(object, object_to_js = false)]
pub struct NativeLimits {
    /// Output during one call; absent for no limit.
    pub output_bytes: Option<i64>,
    /// Host calls during one call; absent for no limit.
    pub host_calls: Option<i64>,
    /// Levels to which a value may nest.
    pub value_depth: u32,
    /// Items of which a value may be made.
    pub value_items: u32,
    /// Trace records during one call; absent for no limit.
    pub trace_bytes: Option<i64>,
}

/// A read-only file of a guest.
#[napi(object, object_to_js = false)]
pub struct NativeFile {
    /// Absolute path.
    pub path: String,
    /// Number of its bytes, from `intern`.
    pub contents: i64,
}

/// Makes a sandbox and returns its handle; the virtual machine is made when it is started.
#[napi]
pub fn create(config: NativeConfig) -> Result<f64> {
    let file = |file: NativeFile| {
        Ok(File { path: file.path.into_bytes(), contents: contents::take(file.contents)? })
    };
    let restores = config.restore_after_call;
    let config = Config {
        executable: contents::take(config.executable)?,
        name: config.name,
        arguments: config.arguments.into_iter().map(String::into_bytes).collect(),
        environment: config.environment.into_iter().map(String::into_bytes).collect(),
        files: config.files.into_iter().map(file).collect::<Result<_>>()?,
        memory_bytes: unsigned(config.memory_bytes)?,
        stack_bytes: unsigned(config.stack_bytes)?,
        message_bytes: config.message_bytes.map(unsigned).transpose()?,
        limits: limits(&config.limits)?,
        backends: BACKENDS,
    };
    let handle = environment::add(restores, |on_step| Driver::new(config, on_step))?;
    Ok(number(handle))
}

/// Makes a sandbox that begins as a snapshot; the virtual machine is made when it is started.
#[napi]
pub fn create_from_snapshot(
    snapshot: i64,
    checked: NativeLimits,
    restore_after_call: bool,
) -> Result<f64> {
    let limits = limits(&checked)?;
    let snapshot = snapshots::find(snapshot)?;
    let snapshot = snapshot.ok_or_else(|| Error::from_reason("there is no snapshot 0"))?;
    let handle = environment::add(restore_after_call, |on_step| {
        Driver::from_snapshot(snapshot, limits, on_step)
    })?;
    Ok(number(handle))
}

fn limits(from: &NativeLimits) -> Result<Limits> {
    Ok(Limits {
        host_calls: bound(from.host_calls)?,
        output_bytes: bound(from.output_bytes)?,
        value_depth: usize::try_from(from.value_depth).unwrap_or(usize::MAX),
        value_items: from.value_items.into(),
        trace_bytes: bound(from.trace_bytes)?,
    })
}

fn bound(limit: Option<i64>) -> Result<u64> {
    limit.map_or(Ok(u64::MAX), unsigned)
}
