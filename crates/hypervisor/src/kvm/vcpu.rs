//! One virtual CPU.

use super::refused;
use super::signal::KickState;
use super::system::System;
use crate::backend::{Exit, HypervisorError, InitialState, Registers, SystemRegisters, Vcpu};
use crate::kick::Kicker;
use crate::long_mode::{CR0, EFER, STAR};
use crate::signal::kick_signal;
use ampoule_memory::Mapping;
use kvm_bindings::{Msrs, kvm_msr_entry, kvm_regs, kvm_segment, kvm_xcr, kvm_xcrs};
use kvm_ioctls::{SyncReg, VcpuExit, VcpuFd};
use std::sync::Arc;

/// Model-specific registers of `syscall` (AMD64 APM vol. 2, section 6.1.1).
const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_SFMASK: u32 = 0xc000_0084;

pub(super) struct KvmVcpu {
    fd: VcpuFd,
    kick: Arc<KickState>,
    system: &'static System,
    /// The VM's file descriptor lives on in the kernel while this CPU does, and so must its memory.
    _memory: Vec<Arc<Mapping>>,
}

impl KvmVcpu {
    pub(super) fn new(
        mut fd: VcpuFd,
        system: &'static System,
        memory: Vec<Arc<Mapping>>,
    ) -> Result<Self, HypervisorError> {
        kick_signal()
            .map_err(|source| HypervisorError::Refused { operation: "claim a signal", source })?;
        fd.set_cpuid2(&system.cpuid).map_err(refused("set the CPUID table"))?;
        fd.set_sync_valid_reg(SyncReg::Register);
        fd.set_sync_valid_reg(SyncReg::SystemRegister);
        let immediate_exit = &raw mut fd.get_kvm_run().immediate_exit;
        Ok(Self { fd, kick: Arc::new(KickState::new(immediate_exit)), system, _memory: memory })
    }

    /// Runs until an exit or an interruption; `None` is a spurious interruption.
    fn run_once(&mut self) -> Result<Option<Exit>, HypervisorError> {
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
    fn initialise(&mut self, state: &InitialState) -> Result<(), HypervisorError> {
        let features = self.system.features;
        let mut sregs = self.fd.get_sregs().map_err(refused("read system registers"))?;
        sregs.cr0 = CR0;
        sregs.cr3 = state.page_tables.get();
        sregs.cr4 = features.cr4();
        sregs.efer = EFER;
        sregs.cs = code_segment();
        let data = data_segment();
        (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
        sregs.ldt = kvm_segment { unusable: 1, ..kvm_segment::default() };
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
        self.set_registers(&state.registers);
        self.fd.sync_regs_mut().sregs = sregs;
        Ok(())
    }

    fn run(&mut self) -> Result<Exit, HypervisorError> {
        self.kick.enter();
        let exit = loop {
            match self.run_once() {
                Ok(None) => {}
                Ok(Some(exit)) => break Ok(exit),
                Err(error) => break Err(error),
            }
        };
        self.kick.leave();
        self.fd.clear_sync_dirty_reg(SyncReg::Register);
        self.fd.clear_sync_dirty_reg(SyncReg::SystemRegister);
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
        SystemRegisters { cs: sregs.cs.selector, cr2: sregs.cr2, fs_base: sregs.fs.base }
    }

    fn set_fs_base(&mut self, base: u64) {
        self.fd.sync_regs_mut().sregs.fs.base = base;
        self.fd.set_sync_dirty_reg(SyncReg::SystemRegister);
    }

    fn tsc_frequency(&self) -> Option<u64> {
        let kilohertz = self.fd.get_tsc_khz().ok()?;
        (kilohertz > 0).then_some(u64::from(kilohertz) * 1000)
    }

    fn kicker(&self) -> Kicker {
        Kicker::new(Arc::clone(&self.kick) as _)
    }
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

/// Data at ring 3: read, write, accessed.
const fn data_segment() -> kvm_segment {
    segment(0x2b, 3)
}

/// A busy 64-bit task state segment.
const fn task_segment((base, limit): (u64, u16)) -> kvm_segment {
    kvm_segment { base, limit: limit as u32, dpl: 0, db: 0, s: 0, g: 0, ..segment(0x40, 11) }
}
