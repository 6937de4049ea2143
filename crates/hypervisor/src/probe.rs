//! What hypervisors this machine offers.

use crate::kvm::{Missing, System, device_path};
use std::fmt;
use std::path::PathBuf;

/// What [`probe`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The device that was tried.
    pub device: PathBuf,
    /// Whether it can be used.
    pub availability: Availability,
    /// Features of the processor that guests get, by name; empty without a hypervisor.
    pub features: Vec<(&'static str, bool)>,
    /// Whether the Microsoft Hypervisor's device exists; Ampoule cannot use it yet.
    pub mshv_present: bool,
    /// CPUs that this process may run on.
    pub cpus: usize,
}

/// Whether a hypervisor can be used, and if not, why and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Availability {
    /// It works.
    Available,
    /// The device does not exist.
    NoDevice,
    /// The device exists, but this user may not open it.
    NoPermission,
    /// The device could not be opened or used for another reason.
    Unusable {
        /// What the system said.
        reason: String,
    },
    /// The kernel lacks something that Ampoule needs.
    TooOld {
        /// What is missing.
        missing: &'static str,
    },
}

impl Availability {
    pub(crate) fn of_kvm(missing: &Missing) -> Self {
        match *missing {
            Missing::Device { errno: libc::ENOENT | libc::ENODEV | libc::ENXIO } => Self::NoDevice,
            Missing::Device { errno: libc::EACCES | libc::EPERM } => Self::NoPermission,
            Missing::Device { errno } => {
                Self::Unusable { reason: std::io::Error::from_raw_os_error(errno).to_string() }
            }
            Missing::ApiVersion { found } => {
                Self::Unusable { reason: format!("KVM's interface version is {found}, not 12") }
            }
            Missing::Capability { name } => Self::TooOld { missing: name },
        }
    }

    /// A stable word for programs: `available`, `no-device`, `no-permission`, `unusable`, `too-old`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::NoDevice => "no-device",
            Self::NoPermission => "no-permission",
            Self::Unusable { .. } => "unusable",
            Self::TooOld { .. } => "too-old",
        }
    }

    /// What to do about it; empty when nothing needs doing.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Available => "",
            Self::NoDevice => {
                "turn on virtualisation (VT-x or AMD-V) in the firmware and load the module: \
                 `sudo modprobe kvm_intel` or `sudo modprobe kvm_amd`; on a cloud machine choose a \
                 type with nested virtualisation, in a container pass `--device /dev/kvm`"
            }
            Self::NoPermission => {
                "let this user open the device: `sudo usermod -aG kvm $USER`, then log in again"
            }
            Self::Unusable { .. } => {
                "check that the device is KVM's and that no security policy (seccomp, SELinux, \
                 AppArmor) denies it"
            }
            Self::TooOld { .. } => "update the host's kernel to Linux 5.10 or later",
        }
    }
}

impl fmt::Display for Availability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = device_path();
        let device = device.display();
        match self {
            Self::Available => write!(formatter, "{device} works"),
            Self::NoDevice => write!(formatter, "{device} does not exist"),
            Self::NoPermission => write!(formatter, "this user may not open {device}"),
            Self::Unusable { reason } => write!(formatter, "{device} cannot be used: {reason}"),
            Self::TooOld { missing } => write!(formatter, "the kernel's KVM lacks {missing}"),
        }
    }
}

/// Looks for a hypervisor by using it: opens the device and makes a VM.
///
/// Cost: a few milliseconds at most. Changes nothing.
#[must_use]
pub fn probe() -> Probe {
    let opened = System::open().and_then(|system| match system.create_vm() {
        Ok(_) => Ok(system.features),
        Err(error) => Err(Missing::Device { errno: error.errno() }),
    });
    let (availability, features) = match opened {
        Ok(found) => (Availability::Available, found.named()),
        Err(missing) => (Availability::of_kvm(&missing), Vec::new()),
    };
    Probe {
        device: device_path(),
        availability,
        features,
        mshv_present: std::path::Path::new("/dev/mshv").exists(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
    }
}
