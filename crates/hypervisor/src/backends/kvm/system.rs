//! `/dev/kvm`, opened and asked once per process.

use crate::long_mode::Features;
use crate::refusal::obstacle;
use ampoule_machine::{
    GuestFeatures, MachineError, Obstacle, ObstacleKind, native_leaf, native_xcr0,
};
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

/// The device, its answers, and the features that guests get.
#[derive(Debug)]
pub(crate) struct System {
    kvm: Kvm,
    pub(crate) cpuid: CpuId,
    pub(crate) features: Features,
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
pub(super) fn device_path() -> PathBuf {
    std::env::var_os("AMPOULE_KVM_DEVICE").map_or_else(|| PathBuf::from("/dev/kvm"), PathBuf::from)
}

impl System {
    /// The process's one instance. A failure is not remembered: the next call tries again, so that
    /// permissions can be mended without a restart.
    pub(crate) fn get() -> Result<&'static Self, MachineError> {
        static SYSTEM: OnceLock<System> = OnceLock::new();
        if let Some(system) = SYSTEM.get() {
            return Ok(system);
        }
        let system = Self::open()
            .map_err(|missing| MachineError::Unavailable { obstacle: missing.obstacle() })?;
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
        let features = features_of(&cpuid);
        Ok(Self { kvm, cpuid, features })
    }

    pub(crate) fn guest_features(&self) -> GuestFeatures {
        let entries = self.cpuid.as_slice();
        if self.features.xcr0 == 0 && native_xcr0() != 0 {
            // A paravirtual KVM without `XSAVE` in its table lets `cpuid` run natively in ring 3: what
            // counts is what the processor itself says.
            return GuestFeatures::of("kvm-native-cpuid", native_xcr0(), native_leaf);
        }
        GuestFeatures::of("kvm", self.features.xcr0, |function, subleaf| {
            let leaf = entries.iter().find(|e| e.function == function && e.index == subleaf);
            leaf.map_or([0; 4], |leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx])
        })
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

impl Missing {
    /// The same in words, with the remedy.
    pub(crate) fn obstacle(&self) -> Obstacle {
        let device = device_path();
        let device = device.display();
        let unusable = |reason: String| {
            obstacle(
                ObstacleKind::Unusable,
                format!("{device} cannot be used: {reason}"),
                "check that the device is KVM's and that no security policy (seccomp, SELinux, \
                 AppArmor) denies it",
            )
        };
        match *self {
            Self::Device { errno: libc::ENOENT | libc::ENODEV | libc::ENXIO } => obstacle(
                ObstacleKind::NoDevice,
                format!("{device} does not exist"),
                "turn on virtualisation (VT-x or AMD-V) in the firmware and load the module: \
                 `sudo modprobe kvm_intel` or `sudo modprobe kvm_amd`; on a cloud machine choose a \
                 type with nested virtualisation, in a container pass `--device /dev/kvm`",
            ),
            Self::Device { errno: libc::EACCES | libc::EPERM } => obstacle(
                ObstacleKind::NoPermission,
                format!("this user may not open {device}"),
                "let this user open the device: `sudo usermod -aG kvm $USER`, then log in again",
            ),
            Self::Device { errno } => {
                unusable(std::io::Error::from_raw_os_error(errno).to_string())
            }
            Self::ApiVersion { found } => {
                unusable(format!("KVM's interface version is {found}, not 12"))
            }
            Self::Capability { name } => obstacle(
                ObstacleKind::TooOld,
                format!("the kernel's KVM lacks {name}"),
                "update the host's kernel to Linux 5.10 or later",
            ),
        }
    }
}

/// Reads the CPUID table that guests get.
fn features_of(cpuid: &CpuId) -> Features {
    Features::of(|function| {
        let leaf = cpuid.as_slice().iter().find(|e| e.function == function && e.index == 0);
        leaf.map_or([0; 4], |leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx])
    })
}
