//! `/dev/mshv`, opened and asked once per process.

use crate::long_mode::Features;
use crate::refusal::obstacle;
use ampoule_abi::layout::PAGE_SIZE;
use ampoule_machine::{GuestFeatures, MachineError, Obstacle, ObstacleKind};
use ampoule_memory::{Mapping, PhysicalAddress};
use mshv_bindings as hv;
use mshv_ioctls::{Mshv, MshvError, VmFd};
use std::ffi::c_void;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

/// Times that a hypercall is tried when the kernel had to give the hypervisor more memory for it;
/// every try brings another page.
const TRIES: u32 = 64;

/// The device, and what of it holds for every partition.
#[derive(Debug)]
pub(crate) struct System {
    mshv: Mshv,
    pub(crate) features: Features,
    pub(crate) guest_features: GuestFeatures,
    pub(crate) tsc_frequency: Option<u64>,
}

/// Why `/dev/mshv` cannot be used.
#[derive(Debug)]
pub(crate) enum Missing {
    /// There is no device, as on nearly every machine.
    NoDevice,
    Device {
        errno: i32,
    },
    Operation {
        operation: &'static str,
        source: io::Error,
    },
    MovableMemory,
}

/// The device, whether or not it exists.
pub(crate) fn device_path() -> &'static Path {
    Path::new("/dev/mshv")
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

    /// Opens the device and tries it with a partition of its own.
    pub(crate) fn open() -> Result<Self, Missing> {
        if !device_path().exists() {
            return Err(Missing::NoDevice);
        }
        let mshv = Mshv::new().map_err(|error| Missing::Device { errno: error.errno() })?;
        let failed = |operation| move |source: io::Error| Missing::Operation { operation, source };
        // Made first, so that it goes after the partition that uses it.
        let scratch = Mapping::anonymous(4 * PAGE_SIZE).map_err(failed("make memory"))?;
        let vm = create_partition(&mshv).map_err(failed("create a VM"))?;

        // A kernel that pins guest memory does so when it is added, which touches every page. It
        // would go on showing the guest the old pages when the host discards some, and stale
        // translations when the host rewrites page tables, because `Mapping::discard` and
        // `Mapping::evict_translations` reach the hypervisor through the MMU notifier that only
        // movable regions have (kernel: `mshv_region_interval_invalidate`).
        map(&vm, PhysicalAddress::new(0), &scratch).map_err(failed("add memory"))?;
        if is_resident(&scratch).map_err(failed("look at memory"))? {
            return Err(Missing::MovableMemory);
        }

        let vcpu =
            vm.create_vcpu(0).map_err(|error| failed("create a virtual CPU")(to_io(error)))?;
        let leaf = |function, subleaf| retry(|| vcpu.get_cpuid_values(function, subleaf, 0, 0));
        // Asked once before, so that a failure is not mistaken for a processor without features.
        leaf(1, 0).map_err(failed("read the CPUID table"))?;
        let features = Features::of(|function| leaf(function, 0).unwrap_or([0; 4]));
        let guest_features = GuestFeatures::of("mshv", features.xcr0, |function, subleaf| {
            leaf(function, subleaf).unwrap_or([0; 4])
        });
        let frequency = retry(|| {
            vm.get_partition_property(
                hv::hv_partition_property_code_HV_PARTITION_PROPERTY_PROCESSOR_CLOCK_FREQUENCY,
            )
        });
        let tsc_frequency = frequency.ok().filter(|&hertz| hertz > 0);
        Ok(Self { mshv, features, guest_features, tsc_frequency })
    }

    pub(crate) fn create_vm(&self) -> io::Result<VmFd> {
        create_partition(&self.mshv)
    }
}

impl Missing {
    /// The same in words, with the remedy.
    pub(crate) fn obstacle(&self) -> Obstacle {
        let device = device_path().display();
        let unusable = |reason: String| {
            obstacle(
                ObstacleKind::Unusable,
                format!("{device} cannot be used: {reason}"),
                "check that Linux runs as the root partition of the hypervisor and that no security \
                 policy (seccomp, SELinux, AppArmor) denies the device",
            )
        };
        match self {
            Self::NoDevice => obstacle(
                ObstacleKind::NoDevice,
                format!("{device} does not exist"),
                "run Linux as the root partition of the Microsoft Hypervisor, or use KVM",
            ),
            Self::Device { errno: libc::EACCES | libc::EPERM } => obstacle(
                ObstacleKind::NoPermission,
                format!("this user may not open {device}"),
                "let this user open the device: by default only root may, so give it to a group \
                 with a udev rule, or `sudo chgrp $(id -g) /dev/mshv && sudo chmod 660 /dev/mshv`",
            ),
            Self::Device { errno } => unusable(io::Error::from_raw_os_error(*errno).to_string()),
            Self::Operation { operation, source } => {
                unusable(format!("cannot {operation}: {source}"))
            }
            Self::MovableMemory => obstacle(
                ObstacleKind::TooOld,
                format!("the kernel's driver of {device} lacks movable guest memory"),
                "update the host's kernel to one whose mshv driver has movable memory regions \
                 (built with HMM), or use KVM",
            ),
        }
    }
}

/// A partition with every processor feature, but no interrupt controller and none of the synthetic
/// features that `Mshv::create_vm` would turn on: ring 3 has no use for them.
fn create_partition(mshv: &Mshv) -> io::Result<VmFd> {
    let vm = loop {
        // A signal can interrupt the creation.
        match mshv.create_vm_with_args(&hv::mshv_create_partition_v2::default()) {
            Err(error) if error.errno() == libc::EINTR => {}
            other => break other.map_err(to_io)?,
        }
    };
    retry(|| {
        vm.set_partition_property(
            hv::hv_partition_property_code_HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES,
            0,
        )
    })?;
    retry(|| vm.initialize())?;
    Ok(vm)
}

/// Shows `mapping` to the guest with every right; the guest's page tables narrow them. The caller
/// keeps the mapping until the partition is gone.
pub(super) fn map(vm: &VmFd, base: PhysicalAddress, mapping: &Mapping) -> io::Result<()> {
    let region = hv::mshv_user_mem_region {
        size: mapping.length(),
        guest_pfn: base.get() / PAGE_SIZE,
        userspace_addr: mapping.host_address(),
        flags: 1 << hv::MSHV_SET_MEM_BIT_WRITABLE | 1 << hv::MSHV_SET_MEM_BIT_EXECUTABLE,
        rsvd: [0; 7],
    };
    vm.map_user_memory(region).map_err(to_io)
}

/// Whether the first page of anonymous memory exists.
pub(super) fn is_resident(mapping: &Mapping) -> io::Result<bool> {
    let address = usize::try_from(mapping.host_address()).map_err(io::Error::other)?;
    let length = usize::try_from(PAGE_SIZE).map_err(io::Error::other)?;
    let mut state = 0_u8;
    let start = std::ptr::with_exposed_provenance_mut::<c_void>(address);
    // SAFETY: the call reads no memory of the range, only its state; `state` has the one byte that
    // one page needs.
    let asked = unsafe { libc::mincore(start, length, &raw mut state) };
    if asked == 0 { Ok(state & 1 != 0) } else { Err(io::Error::last_os_error()) }
}

/// Makes a call again when the hypervisor was out of memory: the kernel has given it some then and
/// leaves the repetition to the caller (kernel: `mshv_ioctl_passthru_hvcall`).
pub(super) fn retry<T>(mut call: impl FnMut() -> Result<T, MshvError>) -> io::Result<T> {
    for _ in 1..TRIES {
        match call().map_err(to_io) {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
            other => return other,
        }
    }
    call().map_err(to_io)
}

/// The error with its errno; `EAGAIN` for a hypercall that is to be repeated.
pub(super) fn to_io(error: MshvError) -> io::Error {
    match error {
        MshvError::Errno(error) => error.into(),
        MshvError::Hypercall { status: Some(hv::HvError::InsufficientMemory), .. } => {
            io::Error::from_raw_os_error(libc::EAGAIN)
        }
        // The status says more than the errno would.
        MshvError::Hypercall { .. } => io::Error::other(error),
    }
}
