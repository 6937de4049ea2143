//! `/dev/kvm`, opened and asked once per process.

use crate::backend::HypervisorError;
use crate::probe::Availability;
use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES};
use kvm_ioctls::{Cap, Kvm, VmFd};
use std::ffi::CString;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The interface version that KVM has had since Linux 2.6.22; no other exists.
const API_VERSION: i32 = 12;
/// Capabilities without which the back end does not work, with the kernel that brought them.
const REQUIRED: [(Cap, &str); 4] = [
    (Cap::UserMemory, "user memory (Linux 2.6.20)"),
    (Cap::ImmediateExit, "immediate exit (Linux 4.13)"),
    (Cap::SyncRegs, "register synchronisation (Linux 4.17 on x86)"),
    (Cap::ExtCpuid, "CPUID setting (Linux 2.6.25)"),
];
/// Extended state that guests may use: x87, SSE, AVX and AVX-512. Left out on purpose: AMX, whose
/// use needs a permission of the host process, and protection keys, which guests could not use.
const EXTENDED_STATE: u64 = 0b1110_0111;

/// The device, its answers, and the features that guests get.
#[derive(Debug)]
pub(crate) struct System {
    kvm: Kvm,
    pub(crate) cpuid: CpuId,
    pub(crate) features: Features,
}

/// What of the processor's features the back end turns on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Features {
    pub(crate) fsgsbase: bool,
    pub(crate) umip: bool,
    /// XCR0, zero without `XSAVE`.
    pub(crate) xcr0: u64,
}

/// Why `/dev/kvm` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    Device { errno: i32 },
    ApiVersion { found: i32 },
    Capability { name: &'static str },
}

/// Which device is opened: `/dev/kvm`, or what the environment variable `AMPOULE_KVM_DEVICE` says.
#[must_use]
pub fn device_path() -> PathBuf {
    std::env::var_os("AMPOULE_KVM_DEVICE").map_or_else(|| PathBuf::from("/dev/kvm"), PathBuf::from)
}

impl System {
    /// The process's one instance. A failure is not remembered: the next call tries again, so that
    /// permissions can be mended without a restart.
    pub(crate) fn get() -> Result<&'static Self, HypervisorError> {
        static SYSTEM: OnceLock<System> = OnceLock::new();
        if let Some(system) = SYSTEM.get() {
            return Ok(system);
        }
        let system = Self::open().map_err(|missing| HypervisorError::Unavailable {
            availability: Availability::of_kvm(&missing),
        })?;
        Ok(SYSTEM.get_or_init(|| system))
    }

    pub(crate) fn open() -> Result<Self, Missing> {
        let device = |errno| Missing::Device { errno };
        let path = CString::new(device_path().into_os_string().into_encoded_bytes())
            .map_err(|_| device(libc::EINVAL))?;
        let kvm = Kvm::new_with_path(&path).map_err(|error| device(error.errno()))?;
        let found = kvm.get_api_version();
        if found != API_VERSION {
            // A file that is not KVM answers the ioctl with an error, which shows as -1.
            return Err(if found < 0 {
                device(libc::ENOTTY)
            } else {
                Missing::ApiVersion { found }
            });
        }
        if let Some((_, name)) = REQUIRED.iter().find(|(cap, _)| !kvm.check_extension(*cap)) {
            return Err(Missing::Capability { name });
        }
        let cpuid = kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(|error| device(error.errno()))?;
        let features = Features::of(&cpuid);
        Ok(Self { kvm, cpuid, features })
    }

    pub(crate) fn create_vm(&self) -> Result<VmFd, kvm_ioctls::Error> {
        loop {
            // KVM_CREATE_VM can be interrupted by a signal while it waits for other CPUs.
            match self.kvm.create_vm() {
                Err(error) if error.errno() == libc::EINTR => {}
                other => return other,
            }
        }
    }
}

impl Features {
    /// Reads the CPUID table that guests get (Intel SDM vol. 2, CPUID).
    fn of(cpuid: &CpuId) -> Self {
        let leaf = |function, index| {
            cpuid.as_slice().iter().find(|e| e.function == function && e.index == index)
        };
        let xsave = leaf(1, 0).is_some_and(|leaf| leaf.ecx & 1 << 26 != 0);
        let states = leaf(0xd, 0).map_or(0, |leaf| u64::from(leaf.edx) << 32 | u64::from(leaf.eax));
        Self {
            fsgsbase: leaf(7, 0).is_some_and(|leaf| leaf.ebx & 1 != 0),
            umip: leaf(7, 0).is_some_and(|leaf| leaf.ecx & 1 << 2 != 0),
            xcr0: if xsave { states & EXTENDED_STATE } else { 0 },
        }
    }
}
