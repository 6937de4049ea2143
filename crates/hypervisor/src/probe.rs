//! What hypervisors this machine offers.

use crate::backends::BACKENDS;
use crate::backends::mshv::{self, Mshv};

use ampoule_machine::{Availability, Backend, Backends, Finding, ObstacleKind};
use std::cell::RefCell;
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

impl Probe {
    /// Whether there is a hypervisor that can be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.availability == Availability::Available
    }

    /// What was found, as a sentence that names the device.
    #[must_use]
    pub fn finding(&self) -> String {
        match &self.availability {
            Availability::Available => format!("{} works", self.device.display()),
            Availability::Unavailable(obstacle) => obstacle.to_string(),
        }
    }
}

/// Looks for a hypervisor by using it: opens the device and makes a VM.
///
/// Cost: a few milliseconds at most. Changes nothing.
#[must_use]
pub fn probe() -> Probe {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    of(BACKENDS, Backend::probe, mshv::device_path().exists(), cpus)
}

fn of(
    backends: Backends,
    ask: impl Fn(&'static dyn Backend) -> Finding,
    mshv_present: bool,
    cpus: usize,
) -> Probe {
    let mshv = RefCell::new(None);
    let noting = |backend: &'static dyn Backend| {
        let finding = ask(backend);
        if mshv_present && backend.name() == Mshv.name() {
            mshv.replace(Some(finding.availability.clone()));
        }
        finding
    };
    let Finding { device, availability, features } = backends.nearest(noting, obstacle);
    Probe { device, availability, features, mshv_present, mshv: mshv.take(), cpus }
}

fn obstacle(finding: &Finding) -> Option<ObstacleKind> {
    match &finding.availability {
        Availability::Available => None,
        Availability::Unavailable(obstacle) => Some(obstacle.kind),
    }
}

#[cfg(test)]
mod tests {
    use super::{Probe, of};
    use crate::backends::kvm::Kvm;
    use crate::backends::mshv::{self, Mshv};
    use crate::refusal::obstacle;
    use ampoule_machine::{Availability, Backend, Backends, Finding, Obstacle, ObstacleKind};
    use std::path::PathBuf;

    type Features = Vec<(&'static str, bool)>;

    fn without_kvm(kind: ObstacleKind) -> Obstacle {
        obstacle(kind, "no KVM".into(), "")
    }

    fn with_mshv(kvm: Obstacle, mshv: Availability, features: Features) -> Probe {
        let ask = |backend: &'static dyn Backend| {
            let (device, availability, features) = match backend.name() {
                "kvm" => ("/dev/kvm", Availability::Unavailable(kvm.clone()), Vec::new()),
                _ => ("/dev/mshv", mshv.clone(), features.clone()),
            };
            Finding { device: PathBuf::from(device), availability, features }
        };
        of(Backends::new(&Kvm, &[&Mshv]), ask, true, 1)
    }

    #[test]
    fn the_microsoft_hypervisor_stands_in_for_a_kvm_that_cannot_be_used() {
        let features = vec![("avx", true)];
        let kvm = without_kvm(ObstacleKind::NoPermission);
        let probe = with_mshv(kvm, Availability::Available, features.clone());
        assert_eq!(probe.finding(), "/dev/mshv works");
        assert_eq!((probe.features, probe.mshv), (features, Some(Availability::Available)));
    }

    #[test]
    fn without_kvm_the_microsoft_hypervisors_obstacle_is_told() {
        let missing = mshv::Missing::Device { errno: libc::EACCES };
        let mshv = Availability::Unavailable(missing.obstacle());
        let probe = with_mshv(without_kvm(ObstacleKind::NoDevice), mshv, Vec::new());
        assert_eq!(probe.finding(), "this user may not open /dev/mshv");
        assert_eq!(probe.availability.word(), "no-permission");
        assert!(probe.availability.remedy().contains("/dev/mshv"));
    }

    #[test]
    fn a_kvm_that_only_lacks_permission_is_told_first_and_the_other_is_kept() {
        let kvm = without_kvm(ObstacleKind::NoPermission);
        let mshv = Availability::Unavailable(mshv::Missing::MovableMemory.obstacle());
        let probe = with_mshv(kvm.clone(), mshv.clone(), Vec::new());
        assert_eq!(probe.availability, Availability::Unavailable(kvm));
        assert_eq!(probe.device, PathBuf::from("/dev/kvm"));
        assert_eq!(probe.mshv, Some(mshv));
    }

    #[test]
    fn an_operation_that_fails_is_named() {
        let source = std::io::Error::from_raw_os_error(libc::ENOMEM);
        let missing = mshv::Missing::Operation { operation: "create a VM", source };
        let text = missing.obstacle().to_string();
        assert!(text.starts_with("/dev/mshv cannot be used: cannot create a VM: "), "{text}");
    }
}
