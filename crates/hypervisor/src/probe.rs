//! What hypervisors this machine offers.

use crate::kvm::{Missing, System, device_path};
use crate::mshv;
use std::fmt;
use std::path::PathBuf;

/// What [`probe`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The device that a sandbox would use, or else the one that is nearer to being usable.
    pub device: PathBuf,
    /// Whether it can be used.
    pub availability: Availability,
    /// Features of the processor that guests get, by name; empty without a hypervisor.
    pub features: Vec<(&'static str, bool)>,
    /// Whether the Microsoft Hypervisor's device exists.
    pub mshv_present: bool,
    /// Whether the Microsoft Hypervisor can be used; `None` without its device, and where KVM can be
    /// used, because it is not tried then.
    pub mshv: Option<Availability>,
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
    /// The Microsoft Hypervisor's device exists, but this user may not open it.
    MshvNoPermission,
    /// The Microsoft Hypervisor's device could not be opened or used for another reason.
    MshvUnusable {
        /// What the system said.
        reason: String,
    },
    /// The kernel's driver for the Microsoft Hypervisor lacks something that Ampoule needs.
    MshvTooOld {
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

    pub(crate) fn of_mshv(missing: &mshv::Missing) -> Self {
        match missing {
            mshv::Missing::Device { errno: libc::EACCES | libc::EPERM } => Self::MshvNoPermission,
            mshv::Missing::Device { errno } => {
                let reason = std::io::Error::from_raw_os_error(*errno).to_string();
                Self::MshvUnusable { reason }
            }
            mshv::Missing::Operation { operation, source } => {
                Self::MshvUnusable { reason: format!("cannot {operation}: {source}") }
            }
            mshv::Missing::MovableMemory => Self::MshvTooOld { missing: "movable guest memory" },
        }
    }

    /// What to report where neither KVM (`self`) nor the Microsoft Hypervisor (`mshv`), whose device
    /// exists, can be used: KVM if it is there at all.
    pub(crate) fn nearer(self, mshv: Self) -> Self {
        if self == Self::NoDevice { mshv } else { self }
    }

    /// Whether this is about the Microsoft Hypervisor.
    const fn is_mshv(&self) -> bool {
        matches!(self, Self::MshvNoPermission | Self::MshvUnusable { .. } | Self::MshvTooOld { .. })
    }

    /// A stable word for programs: `available`, `no-device`, `no-permission`, `unusable`, `too-old`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::NoDevice => "no-device",
            Self::NoPermission | Self::MshvNoPermission => "no-permission",
            Self::Unusable { .. } | Self::MshvUnusable { .. } => "unusable",
            Self::TooOld { .. } | Self::MshvTooOld { .. } => "too-old",
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
            Self::MshvNoPermission => {
                "let this user open the device: by default only root may, so give it to a group \
                 with a udev rule, or `sudo chgrp $(id -g) /dev/mshv && sudo chmod 660 /dev/mshv`"
            }
            Self::MshvUnusable { .. } => {
                "check that Linux runs as the root partition of the hypervisor and that no security \
                 policy (seccomp, SELinux, AppArmor) denies the device"
            }
            Self::MshvTooOld { .. } => {
                "update the host's kernel to one whose mshv driver has movable memory regions \
                 (built with HMM), or use KVM"
            }
        }
    }
}

impl fmt::Display for Availability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = if self.is_mshv() { mshv::device_path().to_owned() } else { device_path() };
        let device = device.display();
        match self {
            Self::Available => formatter.write_str("the hypervisor works"),
            Self::NoDevice => write!(formatter, "{device} does not exist"),
            Self::NoPermission | Self::MshvNoPermission => {
                write!(formatter, "this user may not open {device}")
            }
            Self::Unusable { reason } | Self::MshvUnusable { reason } => {
                write!(formatter, "{device} cannot be used: {reason}")
            }
            Self::TooOld { missing } => write!(formatter, "the kernel's KVM lacks {missing}"),
            Self::MshvTooOld { missing } => {
                write!(formatter, "the kernel's driver of {device} lacks {missing}")
            }
        }
    }
}

impl Probe {
    /// What was found, as a sentence that names the device.
    #[must_use]
    pub fn finding(&self) -> String {
        match self.availability {
            Availability::Available => format!("{} works", self.device.display()),
            ref obstacle => obstacle.to_string(),
        }
    }
}

/// Looks for a hypervisor by using it: opens the device and makes a VM.
///
/// Cost: a few milliseconds at most. Changes nothing.
#[must_use]
pub fn probe() -> Probe {
    let mshv_present = mshv::device_path().exists();
    let (kvm, features) = probe_kvm();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let found = Probe {
        device: device_path(),
        availability: kvm,
        features,
        mshv_present,
        mshv: None,
        cpus,
    };
    if found.availability == Availability::Available || !mshv_present {
        return found;
    }
    match mshv::System::open() {
        Ok(system) => found.with_mshv(Availability::Available, system.features.named()),
        Err(missing) => found.with_mshv(Availability::of_mshv(&missing), Vec::new()),
    }
}

impl Probe {
    /// Adds what the Microsoft Hypervisor's device, which exists, was found to be.
    fn with_mshv(self, mshv: Availability, features: Vec<(&'static str, bool)>) -> Self {
        let both = Self { mshv: Some(mshv.clone()), ..self };
        let availability = match mshv {
            Availability::Available => mshv,
            obstacle => both.availability.clone().nearer(obstacle),
        };
        if availability == both.availability {
            return both;
        }
        let device = mshv::device_path().to_owned();
        Self { device, availability, features, ..both }
    }
}

fn probe_kvm() -> (Availability, Vec<(&'static str, bool)>) {
    let opened = System::open().and_then(|system| match system.create_vm() {
        Ok(_) => Ok(system.features),
        Err(error) => Err(Missing::Device { errno: error.errno() }),
    });
    match opened {
        Ok(found) => (Availability::Available, found.named()),
        Err(missing) => (Availability::of_kvm(&missing), Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Availability, Probe};
    use crate::mshv;
    use std::path::PathBuf;

    fn without_kvm(availability: Availability) -> Probe {
        Probe {
            device: PathBuf::from("/dev/kvm"),
            availability,
            features: Vec::new(),
            mshv_present: true,
            mshv: None,
            cpus: 1,
        }
    }

    #[test]
    fn the_microsoft_hypervisor_stands_in_for_a_kvm_that_cannot_be_used() {
        let features = vec![("avx", true)];
        let probe = without_kvm(Availability::NoPermission)
            .with_mshv(Availability::Available, features.clone());
        assert_eq!(probe.finding(), "/dev/mshv works");
        assert_eq!((probe.features, probe.mshv), (features, Some(Availability::Available)));
    }

    #[test]
    fn without_kvm_the_microsoft_hypervisors_obstacle_is_told() {
        let missing = mshv::Missing::Device { errno: libc::EACCES };
        let probe = without_kvm(Availability::NoDevice)
            .with_mshv(Availability::of_mshv(&missing), Vec::new());
        assert_eq!(probe.finding(), "this user may not open /dev/mshv");
        assert_eq!(probe.availability.word(), "no-permission");
        assert!(probe.availability.remedy().contains("/dev/mshv"));
    }

    #[test]
    fn a_kvm_that_only_lacks_permission_is_told_first_and_the_other_is_kept() {
        let obstacle = Availability::of_mshv(&mshv::Missing::MovableMemory);
        let probe = without_kvm(Availability::NoPermission).with_mshv(obstacle.clone(), Vec::new());
        assert_eq!(probe.availability, Availability::NoPermission);
        assert_eq!(probe.device, PathBuf::from("/dev/kvm"));
        assert_eq!(probe.mshv, Some(obstacle));
    }

    #[test]
    fn an_operation_that_fails_is_named() {
        let source = std::io::Error::from_raw_os_error(libc::ENOMEM);
        let missing = mshv::Missing::Operation { operation: "create a VM", source };
        let text = Availability::of_mshv(&missing).to_string();
        assert!(text.starts_with("/dev/mshv cannot be used: cannot create a VM: "), "{text}");
    }
}
