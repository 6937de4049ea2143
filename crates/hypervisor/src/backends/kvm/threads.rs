//! What it costs to run a virtual processor on another thread than before.

use super::system::device_path;
use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

/// The first Linux in which a virtual processor moves for nothing: 6.13, commit "KVM: Protect vCPU's
/// 'last run PID' with rwlock, not RCU".
const FREE_SINCE: (u32, u32) = (6, 13);

/// A grace period of RCU, measured as 15 ms on Linux 6.1 (250 ticks a second, two emulated processors).
const GRACE_PERIOD: Duration = Duration::from_millis(15);

/// How long the first run of a virtual processor on another thread than the last one's takes beyond
/// the run itself.
///
/// Nothing on a new kernel. Before Linux 6.13, `KVM_RUN` on another thread waits for a grace period of RCU
/// (`synchronize_rcu` in `kvm_vcpu_ioctl`), unless the machine's owner has made these short by
/// `/sys/kernel/rcu_expedited`: then it is half a millisecond at most, which counts as nothing here.
///
/// Cost: reads two files, once.
#[must_use]
pub(super) fn thread_change_cost() -> Duration {
    static COST: OnceLock<Duration> = OnceLock::new();
    *COST.get_or_init(ask)
}

fn ask() -> Duration {
    if !device_path().exists() {
        // Another hypervisor's.
        return Duration::ZERO;
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let expedited = fs::read_to_string("/sys/kernel/rcu_expedited").unwrap_or_default();
    let is_free = version(&release).is_none_or(|version| version >= FREE_SINCE);
    if is_free || expedited.trim() == "1" { Duration::ZERO } else { GRACE_PERIOD }
}

/// Major and minor number of a kernel's release, as in `6.1.0-56-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{FREE_SINCE, version};

    #[test]
    fn a_release_begins_with_its_version() {
        assert_eq!(version("6.1.0-56-amd64\n"), Some((6, 1)));
        assert_eq!(version("5.14.0-427.el9.x86_64"), Some((5, 14)));
        assert_eq!(version("6.18.44"), Some((6, 18)));
        assert_eq!(version("6.13"), Some(FREE_SINCE));
        assert!(version("6.9.1") < Some(FREE_SINCE));
        for other in ["", "six", "6", "v6.1"] {
            assert_eq!(version(other), None, "{other:?}");
        }
    }
}
