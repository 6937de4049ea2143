//! One interface over hypervisors: a VM with one virtual CPU that runs ring-3 code.
//!
//! - [`Vm`], [`Vcpu`]: what a back end offers; [`kvm`] is the tested one, [`mshv`] the Microsoft
//!   Hypervisor's, [`fake`] a scripted one for tests without hardware.
//! - [`ring3`]: the few descriptor tables and stubs with which ring 3 can run and be left again, and
//!   [`ring3::Machine`], which turns raw exits into [`ring3::Trap`]s.
//! - [`Kicker`]: makes a running virtual CPU return, from any thread.
//! - [`probe()`]: what this machine has, what is missing and how to fix it.
//!
//! Knows nothing of sandboxes, system calls or messages.

mod backend;
mod clock;
pub mod fake;
mod features;
mod kick;
pub mod kvm;
mod long_mode;
pub mod mshv;
mod probe;
pub mod ring3;
mod signal;

pub use backend::{
    CpuState, Exit, HypervisorError, InitialState, Registers, SystemRegisters, Vcpu, Vm,
};
pub use clock::{monotonic, time_stamp, time_stamp_is_invariant};
pub use features::{FEATURE_SOURCES, FEATURE_WORDS, FeatureWord, GuestFeatures, guest_features};
pub use kick::Kicker;
pub use kvm::thread_change_cost;
pub use probe::{Availability, Probe, probe};

/// Makes a VM with the hypervisor of this machine: KVM where it can be used, else the Microsoft
/// Hypervisor where its device exists.
///
/// Cost: about a millisecond under nested KVM, a tenth of that on bare metal.
///
/// # Errors
/// [`HypervisorError::Unavailable`] with the remedy when there is no usable hypervisor,
/// [`HypervisorError::Refused`] when the hypervisor refuses (usually a limit of the host).
pub fn create_vm() -> Result<Box<dyn Vm>, HypervisorError> {
    match kvm::KvmVm::new() {
        Ok(vm) => Ok(Box::new(vm)),
        Err(HypervisorError::Unavailable { availability }) if mshv::device_path().exists() => {
            match mshv::MshvVm::new() {
                Ok(vm) => Ok(Box::new(vm)),
                Err(HypervisorError::Unavailable { availability: other }) => {
                    Err(HypervisorError::Unavailable { availability: availability.nearer(other) })
                }
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}
