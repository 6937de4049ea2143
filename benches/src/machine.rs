//! What the figures were measured on. No host names: a record is public.

use serde::Serialize;
use std::fs;

/// The machine, as far as figures depend on it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// Model of the processor.
    cpu: String,
    /// CPUs that this process may use.
    cpus: usize,
    /// MiB of memory.
    memory_mib: u64,
    /// Release of the kernel.
    kernel: String,
    /// Which KVM: `kvm_intel`, `kvm_amd`, `kvm_pvm`, ...
    hypervisor: String,
    /// Whether the machine is itself a virtual one.
    nested: bool,
    /// Version of Ampoule.
    ampoule: &'static str,
}

/// Reads it from the system; what cannot be read is "unknown".
pub(crate) fn describe() -> Machine {
    let cpuinfo = read("/proc/cpuinfo");
    let meminfo = read("/proc/meminfo");
    let kilobytes = value(&meminfo, "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    Machine {
        cpu: value(&cpuinfo, "model name").to_owned(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_mib: kilobytes / 1024,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        hypervisor: hypervisor(),
        nested: value(&cpuinfo, "flags").split(' ').any(|flag| flag == "hypervisor"),
        ampoule: env!("CARGO_PKG_VERSION"),
    }
}

impl Machine {
    pub(crate) fn line(&self) -> String {
        let place = if self.nested { "inside a virtual machine" } else { "bare metal" };
        format!(
            "{} x {}, {} MiB, Linux {}, {} ({place}), ampoule {}",
            self.cpus, self.cpu, self.memory_mib, self.kernel, self.hypervisor, self.ampoule
        )
    }
}

/// The loaded module behind `/dev/kvm`.
fn hypervisor() -> String {
    let mut modules: Vec<_> = fs::read_dir("/sys/module")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("kvm_"))
        .collect();
    modules.sort();
    if modules.is_empty() { "unknown".to_owned() } else { modules.join("+") }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `name : value`.
fn value<'a>(text: &'a str, name: &str) -> &'a str {
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    let mut found = fields.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
    found.next().unwrap_or("unknown")
}
