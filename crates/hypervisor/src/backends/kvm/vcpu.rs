//! One virtual CPU.

use super::errno::refused;
use super::selectors;
use super::signal::KickState;
use super::system::System;
use crate::long_mode::{CR0, EFER, STAR};
use crate::refusal;
use crate::signal::kick_signal;
use crate::vm::{Exit, InitialState, SystemRegisters, Vcpu};
use ampoule_machine::{CpuState, EXTENDED_STATE, Kicker, MachineError, Registers};
use ampoule_memory::Mapping;
use kvm_bindings::{
    KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, Msrs, kvm_device_attr, kvm_msr_entry, kvm_regs,
    kvm_segment, kvm_sregs, kvm_xcr, kvm_xcrs, kvm_xsave,
};
use kvm_ioctls::{SyncReg, VcpuExit, VcpuFd};
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// Model-specific registers of `syscall` (AMD64 APM vol. 2, section 6.1.1).
const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_SFMASK: u32 = 0xc000_0084;

/// `_IOW(KVMIO, 0xe1, struct kvm_device_attr)` (linux/kvm.h); kvm-ioctls offers it for devices only.
const KVM_SET_DEVICE_ATTR: libc::c_ulong = 0x4018_aee1;
const _: () = assert!(size_of::<kvm_device_attr>() == 0x18);

pub(super) struct KvmVcpu {
    fd: VcpuFd,
    kick: Arc<KickState>,
    system: &'static System,
    /// System registers as they were at first. Ring 3 can change segment registers and nothing else
    /// of them, so a CPU is reset by these.
    initial: kvm_sregs,
    /// The last exit was an `out`, which some KVMs only finish at the next run.
    out_may_be_pending: bool,
    /// The VM's file descriptor lives on in the kernel while this CPU does, and so must its memory.
    _memory: Vec<Arc<Mapping>>,
}

impl KvmVcpu {
    pub(super) fn new(
        mut fd: VcpuFd,
        system: &'static System,
        memory: Vec<Arc<Mapping>>,
    ) -> Result<Self, MachineError> {
        kick_signal().map_err(refusal::refused("claim a signal"))?;
        fd.set_cpuid2(&system.cpuid).map_err(refused("set the CPUID table"))?;
        fd.set_sync_valid_reg(SyncReg::Register);
        fd.set_sync_valid_reg(SyncReg::SystemRegister);
        let immediate_exit = &raw mut fd.get_kvm_run().immediate_exit;
        let kick = Arc::new(KickState::new(immediate_exit));
        let initial = kvm_sregs::default();
        Ok(Self { fd, kick, system, initial, out_may_be_pending: false, _memory: memory })
    }

    /// Makes the guest's time-stamp counter the host's (kernel: Documentation/virt/kvm/devices/vcpu.rst,
    /// `KVM_VCPU_TSC_OFFSET`, Linux 5.16). Where that fails it starts at zero with the VM, or is the
    /// host's anyway, as under a paravirtual KVM; whoever needs to know looks at a value of the guest's.
    fn share_time_stamp(&self) {
        let offset = 0_u64;
        let attribute = kvm_device_attr {
            group: KVM_VCPU_TSC_CTRL,
            attr: u64::from(KVM_VCPU_TSC_OFFSET),
            addr: (&raw const offset).expose_provenance() as u64,
            flags: 0,
        };
        // SAFETY: the request reads the structure and the eight bytes that it points to, and both live
        // until the call returns; the file descriptor is that of a vCPU.
        let _ =
            unsafe { libc::ioctl(self.fd.as_raw_fd(), KVM_SET_DEVICE_ATTR, &raw const attribute) };
    }

    /// Lets KVM step over an `out` that stopped the CPU, where it has not yet (kernel:
    /// `complete_fast_pio_out`), without running the guest.
    fn finish_out(&mut self) -> Result<(), MachineError> {
        if !self.out_may_be_pending {
            return Ok(());
        }
        self.fd.set_kvm_immediate_exit(1);
        let ran = self.fd.run().map(|_| ()).map_err(|error| error.errno());
        self.kick.rearm();
        if ran != Err(libc::EINTR) {
            return Err(refused("finish an `out`")(kvm_ioctls::Error::new(libc::EIO)));
        }
        self.out_may_be_pending = false;
        Ok(())
    }

    /// Runs until an exit or an interruption; `None` is a spurious interruption.
    fn run_once(&mut self) -> Result<Option<Exit>, MachineError> {
        Ok(Some(match self.fd.run() {
            Ok(exit) => match exit {
                VcpuExit::IoOut(port, _) => Exit::PortOut { port },
                VcpuExit::IoIn(port, _) => Exit::PortIn { port },
                VcpuExit::MmioRead(address, _) | VcpuExit::MmioWrite(address, _) => {
                    Exit::Unbacked { address: Some(address) }
                }
                VcpuExit::MemoryFault { gpa, .. } => Exit::Unbacked { address: Some(gpa) },
                VcpuExit::Hlt => Exit::Halt,
                VcpuExit::Shutdown => Exit::Shutdown,
                VcpuExit::Intr | VcpuExit::IrqWindowOpen => return Ok(None),
                VcpuExit::FailEntry(code, _) => Exit::Unrunnable { code },
                VcpuExit::InternalError => Exit::Unrunnable { code: 0 },
                // Nothing else is enabled; whatever it is, the guest caused it.
                _ => Exit::Unrunnable { code: u64::MAX },
            },
            Err(error) => match error.errno() {
                libc::EINTR | libc::EAGAIN => {
                    return Ok(self.kick.take().then_some(Exit::Kicked));
                }
                // The guest touched memory that the host mapped with fewer rights.
                libc::EFAULT => Exit::Unbacked { address: None },
                _ => return Err(refused("run the guest")(error)),
            },
        }))
    }
}

impl Vcpu for KvmVcpu {
    fn initialise(&mut self, state: &InitialState) -> Result<(), MachineError> {
        let features = self.system.features;
        let mut sregs = self.fd.get_sregs().map_err(refused("read system registers"))?;
        sregs.cr0 = CR0;
        sregs.cr3 = state.page_tables.get();
        sregs.cr4 = features.cr4();
        sregs.efer = EFER;
        sregs.cs = code_segment();
        sregs.ss = stack_segment();
        let null = kvm_segment { unusable: 1, ..kvm_segment::default() };
        (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ldt) = (null, null, null, null, null);
        sregs.tr = task_segment(state.tss);
        (sregs.gdt.base, sregs.gdt.limit) = state.gdt;
        (sregs.idt.base, sregs.idt.limit) = state.idt;
        self.fd.set_sregs(&sregs).map_err(refused("set system registers"))?;

        if features.xcr0 != 0 {
            let mut xcrs = kvm_xcrs { nr_xcrs: 1, ..kvm_xcrs::default() };
            xcrs.xcrs[0] = kvm_xcr { xcr: 0, reserved: 0, value: features.xcr0 };
            self.fd.set_xcrs(&xcrs).map_err(refused("enable extended state"))?;
        }

        let msrs = Msrs::from_entries(&[
            msr(MSR_STAR, STAR),
            msr(MSR_LSTAR, state.system_call_entry),
            msr(MSR_SFMASK, state.system_call_flag_mask),
        ])
        .map_err(|_| refused("set system call registers")(kvm_ioctls::Error::new(libc::EINVAL)))?;
        let set = self.fd.set_msrs(&msrs).map_err(refused("set system call registers"))?;
        if set != 3 {
            return Err(refused("set system call registers")(kvm_ioctls::Error::new(libc::EINVAL)));
        }
        self.share_time_stamp();
        self.set_registers(&state.registers);
        self.fd.sync_regs_mut().sregs = sregs;
        self.initial = sregs;
        Ok(())
    }

    fn run(&mut self) -> Result<Exit, MachineError> {
        self.kick.enter();
        let exit = loop {
            match self.run_once() {
                Ok(None) => {}
                Ok(Some(exit)) => break Ok(exit),
                Err(error) => break Err(error),
            }
        };
        self.kick.leave();
        selectors::clear();
        self.fd.clear_sync_dirty_reg(SyncReg::Register);
        self.fd.clear_sync_dirty_reg(SyncReg::SystemRegister);
        self.out_may_be_pending = matches!(exit, Ok(Exit::PortOut { .. }));
        exit
    }

    fn registers(&self) -> Registers {
        let r = self.fd.sync_regs().regs;
        Registers {
            rax: r.rax,
            rbx: r.rbx,
            rcx: r.rcx,
            rdx: r.rdx,
            rsi: r.rsi,
            rdi: r.rdi,
            rsp: r.rsp,
            rbp: r.rbp,
            r8: r.r8,
            r9: r.r9,
            r10: r.r10,
            r11: r.r11,
            r12: r.r12,
            r13: r.r13,
            r14: r.r14,
            r15: r.r15,
            rip: r.rip,
            rflags: r.rflags,
        }
    }

    fn set_registers(&mut self, r: &Registers) {
        self.fd.sync_regs_mut().regs = kvm_regs {
            rax: r.rax,
            rbx: r.rbx,
            rcx: r.rcx,
            rdx: r.rdx,
            rsi: r.rsi,
            rdi: r.rdi,
            rsp: r.rsp,
            rbp: r.rbp,
            r8: r.r8,
            r9: r.r9,
            r10: r.r10,
            r11: r.r11,
            r12: r.r12,
            r13: r.r13,
            r14: r.r14,
            r15: r.r15,
            rip: r.rip,
            rflags: r.rflags,
        };
        self.fd.set_sync_dirty_reg(SyncReg::Register);
    }

    fn system_registers(&self) -> SystemRegisters {
        let sregs = self.fd.sync_regs().sregs;
        SystemRegisters {
            cs: sregs.cs.selector,
            cr2: sregs.cr2,
            fs_base: sregs.fs.base,
            gs_base: sregs.gs.base,
        }
    }

    fn set_fs_base(&mut self, base: u64) {
        self.fd.sync_regs_mut().sregs.fs.base = base;
        self.fd.set_sync_dirty_reg(SyncReg::SystemRegister);
    }

    fn save(&mut self) -> Result<CpuState, MachineError> {
        self.finish_out()?;
        let xsave = self.fd.get_xsave().map_err(refused("read extended state"))?;
        let system = self.system_registers();
        Ok(CpuState {
            registers: self.registers(),
            fs_base: system.fs_base,
            gs_base: system.gs_base,
            extended: xsave.region.iter().flat_map(|word| word.to_le_bytes()).collect(),
        })
    }

    fn set_segments(&mut self, fs_base: u64, gs_base: u64) -> Result<(), MachineError> {
        let mut wanted = self.initial;
        (wanted.fs.base, wanted.gs.base) = (fs_base, gs_base);
        let found = &self.fd.sync_regs().sregs;
        // Setting them costs a walk through the vCPU's state, and most often nothing has changed.
        if !is_same(found, &wanted) {
            self.fd.sync_regs_mut().sregs = wanted;
            self.fd.set_sync_dirty_reg(SyncReg::SystemRegister);
        }
        Ok(())
    }

    fn load_extended(&mut self, extended: &[u8]) -> Result<(), MachineError> {
        let mut xsave = kvm_xsave::default();
        let (words, rest) = extended.as_chunks::<4>();
        if words.len() != xsave.region.len() || !rest.is_empty() {
            return Err(refused("set extended state")(kvm_ioctls::Error::new(libc::EINVAL)));
        }
        for (word, bytes) in xsave.region.iter_mut().zip(words) {
            *word = u32::from_le_bytes(*bytes);
        }
        // SAFETY: without dynamically enabled state components (none is ever asked for) the kernel
        // reads the 4096 bytes of the structure and no more.
        unsafe { self.fd.set_xsave(&xsave) }.map_err(refused("set extended state"))
    }

    fn xcr0(&self) -> Option<u64> {
        // A paravirtual KVM tells of no `XSAVE` and leaves the processor's own to ring 3.
        let told = self.system.features.xcr0;
        Some(if told == 0 { EXTENDED_STATE } else { told })
    }

    fn tsc_frequency(&self) -> Option<u64> {
        let kilohertz = self.fd.get_tsc_khz().ok()?;
        (kilohertz > 0).then_some(u64::from(kilohertz) * 1000)
    }

    fn kicker(&self) -> Kicker {
        Kicker::new(Arc::clone(&self.kick) as _)
    }

    fn forget_kicks(&mut self) {
        let _ = self.kick.take();
    }
}

/// Whether two CPUs agree in everything that ring 3, an exception or a shutdown may have changed.
fn is_same(a: &kvm_sregs, b: &kvm_sregs) -> bool {
    let segments =
        |s: &kvm_sregs| [s.cs, s.ds, s.es, s.fs, s.gs, s.ss].map(|s| (s.selector, s.base));
    let control = |s: &kvm_sregs| [s.cr0, s.cr3, s.cr4, s.efer];
    segments(a) == segments(b) && control(a) == control(b)
}

impl Drop for KvmVcpu {
    fn drop(&mut self) {
        // `fd` unmaps `kvm_run` right after this.
        self.kick.detach();
    }
}

const fn msr(index: u32, data: u64) -> kvm_msr_entry {
    kvm_msr_entry { index, data, reserved: 0 }
}

const fn segment(selector: u16, type_: u8) -> kvm_segment {
    kvm_segment {
        base: 0,
        limit: 0xffff_ffff,
        selector,
        type_,
        present: 1,
        dpl: 3,
        db: 1,
        s: 1,
        l: 0,
        g: 1,
        avl: 0,
        unusable: 0,
        padding: 0,
    }
}

/// 64-bit code at ring 3: execute, read, accessed.
const fn code_segment() -> kvm_segment {
    kvm_segment { db: 0, l: 1, ..segment(0x33, 11) }
}

/// Data at ring 3: read, write, accessed. The other segments are null, as programs have them natively.
const fn stack_segment() -> kvm_segment {
    segment(0x2b, 3)
}

/// A busy 64-bit task state segment.
const fn task_segment((base, limit): (u64, u16)) -> kvm_segment {
    kvm_segment { base, limit: limit as u32, dpl: 0, db: 0, s: 0, g: 0, ..segment(0x40, 11) }
}
