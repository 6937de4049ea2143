//! The least that runs ring-3 code: a VM, one slot, one virtual CPU.

use super::image::{CODE, Image, ROOT, STACK_TOP, TSS, TSS_LIMIT};
use super::memory::Memory;
use anyhow::{Result, bail};
use kvm_bindings::{
    CpuId, KVM_MAX_CPUID_ENTRIES, kvm_regs, kvm_segment, kvm_userspace_memory_region,
};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};

/// The port of every floor's `out`.
const PORT: u16 = 0x10;

/// `/dev/kvm`, and what it says once for all VMs.
#[derive(Debug)]
pub(super) struct System {
    kvm: Kvm,
    cpuid: CpuId,
}

/// A VM whose guest stands before its first instruction.
#[derive(Debug)]
pub(super) struct RawVm {
    // In this order they go: the memory last.
    vcpu: VcpuFd,
    _vm: VmFd,
    memory: Memory,
}

impl System {
    pub(super) fn open() -> Result<Self> {
        let kvm = Kvm::new()?;
        let cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?;
        Ok(Self { kvm, cpuid })
    }

    /// Makes a VM over a view of `image`, with RBX = `argument`.
    pub(super) fn create(&self, image: &Image, argument: usize) -> Result<RawVm> {
        let vm = self.kvm.create_vm()?;
        let memory = image.view()?;
        let slot = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: 0,
            memory_size: memory.length() as u64,
            userspace_addr: memory.address(),
        };
        // SAFETY: the mapping outlives the VM, which stands before it in `RawVm`.
        unsafe { vm.set_user_memory_region(slot) }?;
        let vcpu = vm.create_vcpu(0)?;
        vcpu.set_cpuid2(&self.cpuid)?;
        enter_ring_3(&vcpu)?;
        vcpu.set_regs(&kvm_regs {
            rip: CODE as u64,
            rsp: STACK_TOP as u64,
            rbx: argument as u64,
            // I/O privilege level 3, and the bit that is always one.
            rflags: 0x3002,
            ..kvm_regs::default()
        })?;
        Ok(RawVm { vcpu, _vm: vm, memory })
    }
}

impl RawVm {
    /// Runs to the guest's next `out`.
    pub(super) fn run(&mut self) -> Result<()> {
        match self.vcpu.run()? {
            VcpuExit::IoOut(PORT, _) => Ok(()),
            exit => bail!("the floor's guest ended with {exit:?}"),
        }
    }

    pub(super) const fn memory(&self) -> &Memory {
        &self.memory
    }
}

/// Long mode at ring 3, with paging.
fn enter_ring_3(vcpu: &VcpuFd) -> Result<()> {
    let mut sregs = vcpu.get_sregs()?;
    sregs.cr0 = 0x8005_0033;
    sregs.cr3 = ROOT as u64;
    // PAE, OSFXSR, OSXMMEXCPT.
    sregs.cr4 = 1 << 5 | 3 << 9;
    sregs.efer = 0xd01;
    let code = segment(0x33, 11, 3, 1);
    let data = kvm_segment { l: 0, db: 1, ..segment(0x2b, 3, 3, 1) };
    (sregs.cs, sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) =
        (code, data, data, data, data, data);
    sregs.ldt = kvm_segment { unusable: 1, ..kvm_segment::default() };
    let task = segment(0x40, 11, 0, 0);
    sregs.tr = kvm_segment { base: TSS as u64, limit: TSS_LIMIT, l: 0, g: 0, ..task };
    vcpu.set_sregs(&sregs)?;
    Ok(())
}

fn segment(selector: u16, type_: u8, dpl: u8, s: u8) -> kvm_segment {
    kvm_segment {
        limit: 0xffff_ffff,
        selector,
        type_,
        present: 1,
        dpl,
        s,
        l: 1,
        g: 1,
        ..kvm_segment::default()
    }
}
