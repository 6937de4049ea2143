//! The back end's logic with a real guest: a device that answers as the Microsoft Hypervisor would,
//! but runs the guest in KVM, and that only a signal stops.

use super::{message, out};
use crate::backends::kvm::System;
use crate::backends::mshv::device::Device;
use crate::backends::mshv::vcpu::MshvVcpu;
use crate::long_mode::Features;
use crate::ring3;
use crate::vm::{SystemRegisters, Vcpu, Vm};
use ampoule_abi::layout::PAGE_SIZE;
use ampoule_machine::{Entry, Machine, MachineError, Registers, SystemPages, Trap};
use ampoule_memory::{Access, AddressSpace, FaultOutcome, Mapping, PhysicalAddress, Protection};
use ampoule_testkit::kvm_is_available;
use kvm_bindings::{
    Msrs, kvm_msr_entry, kvm_regs, kvm_segment, kvm_userspace_memory_region, kvm_xcr, kvm_xcrs,
};
use kvm_ioctls::{VcpuExit, VcpuFd, VmFd};
use mshv_bindings as hv;
use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x50_0000;
const STACK: u64 = 0x60_0000;
/// `out %al, $doorbell`
const RING: [u8; 2] = [0xe6, 0x51];
/// `jmp .`
const SPIN: [u8; 2] = [0xeb, 0xfe];
/// Length of the only form of `out` that reaches the host.
const OUT_LENGTH: u64 = 2;

struct OverKvm {
    fd: VmFd,
    mappings: Vec<Arc<Mapping>>,
}

impl Vm for OverKvm {
    fn map_memory(
        &mut self,
        base: PhysicalAddress,
        mapping: Arc<Mapping>,
    ) -> Result<(), MachineError> {
        let region = kvm_userspace_memory_region {
            slot: u32::try_from(self.mappings.len()).unwrap(),
            flags: 0,
            guest_phys_addr: base.get(),
            memory_size: mapping.length(),
            userspace_addr: mapping.host_address(),
        };
        // SAFETY: the range stays mapped while `self.mappings` and the CPU hold the mapping.
        unsafe { self.fd.set_user_memory_region(region) }.unwrap();
        self.mappings.push(mapping);
        Ok(())
    }

    fn forget_translations(&mut self) -> Result<(), MachineError> {
        Ok(())
    }

    fn create_vcpu(&mut self) -> Result<Box<dyn Vcpu>, MachineError> {
        let fd = self.fd.create_vcpu(0).unwrap();
        fd.set_cpuid2(&System::get()?.cpuid).unwrap();
        let device = KvmDevice { fd, at_out: false };
        Ok(Box::new(MshvVcpu::new(device, self.mappings.clone())))
    }
}

struct KvmDevice {
    fd: VcpuFd,
    /// The last exit was an `out`, at which RIP has to be reported.
    at_out: bool,
}

impl Device for KvmDevice {
    fn features(&self) -> Features {
        System::get().unwrap().features
    }

    fn tsc_frequency(&self) -> Option<u64> {
        None
    }

    fn run(&mut self) -> io::Result<hv::hv_message> {
        self.at_out = false;
        let port = match self.fd.run() {
            Ok(VcpuExit::IoOut(port, _)) => port,
            Ok(VcpuExit::Shutdown) => {
                return Ok(message(hv::hv_message_type_HVMSG_UNRECOVERABLE_EXCEPTION));
            }
            Ok(VcpuExit::Intr) => return Err(super::interrupted()),
            Ok(other) => panic!("unexpected exit {other:?}"),
            Err(error) => return Err(io::Error::from_raw_os_error(error.errno())),
        };
        // Some KVMs step over the `out` only at the next run: let all do it now.
        self.fd.set_kvm_immediate_exit(1);
        assert!(self.fd.run().is_err());
        self.fd.set_kvm_immediate_exit(0);
        self.at_out = true;
        Ok(out(port))
    }

    fn set(&mut self, registers: &[hv::hv_register_assoc]) -> io::Result<()> {
        let mut sregs = self.fd.get_sregs().unwrap();
        let mut msrs = Vec::new();
        for register in registers {
            let value = register.value;
            // SAFETY: every bit pattern is a valid word.
            let word = unsafe { value.reg64 };
            // SAFETY: every bit pattern is a valid segment.
            let segment = kvm_segment_of(unsafe { value.segment }.into());
            // SAFETY: every bit pattern is a valid table.
            let table = unsafe { value.table };
            let msr = |index| kvm_msr_entry { index, data: word, reserved: 0 };
            match register.name {
                hv::hv_register_name_HV_X64_REGISTER_CS => sregs.cs = segment,
                hv::hv_register_name_HV_X64_REGISTER_DS => sregs.ds = segment,
                hv::hv_register_name_HV_X64_REGISTER_ES => sregs.es = segment,
                hv::hv_register_name_HV_X64_REGISTER_FS => sregs.fs = segment,
                hv::hv_register_name_HV_X64_REGISTER_GS => sregs.gs = segment,
                hv::hv_register_name_HV_X64_REGISTER_SS => sregs.ss = segment,
                hv::hv_register_name_HV_X64_REGISTER_TR => sregs.tr = segment,
                hv::hv_register_name_HV_X64_REGISTER_LDTR => sregs.ldt = segment,
                hv::hv_register_name_HV_X64_REGISTER_GDTR => {
                    (sregs.gdt.base, sregs.gdt.limit) = (table.base, table.limit);
                }
                hv::hv_register_name_HV_X64_REGISTER_IDTR => {
                    (sregs.idt.base, sregs.idt.limit) = (table.base, table.limit);
                }
                hv::hv_register_name_HV_X64_REGISTER_INTERMEDIATE_CR0 => sregs.cr0 = word,
                hv::hv_register_name_HV_X64_REGISTER_INTERMEDIATE_CR3 => sregs.cr3 = word,
                hv::hv_register_name_HV_X64_REGISTER_INTERMEDIATE_CR4 => sregs.cr4 = word,
                hv::hv_register_name_HV_X64_REGISTER_EFER => sregs.efer = word,
                hv::hv_register_name_HV_X64_REGISTER_STAR => msrs.push(msr(0xc000_0081)),
                hv::hv_register_name_HV_X64_REGISTER_LSTAR => msrs.push(msr(0xc000_0082)),
                hv::hv_register_name_HV_X64_REGISTER_SFMASK => msrs.push(msr(0xc000_0084)),
                hv::hv_register_name_HV_X64_REGISTER_XFEM => {
                    // Needs CR4.OSXSAVE on some KVMs, so what came before has to be there.
                    self.fd.set_sregs(&sregs).unwrap();
                    let mut xcrs = kvm_xcrs { nr_xcrs: 1, ..kvm_xcrs::default() };
                    xcrs.xcrs[0] = kvm_xcr { xcr: 0, reserved: 0, value: word };
                    self.fd.set_xcrs(&xcrs).unwrap();
                }
                name => panic!("unknown register {name:#x}"),
            }
        }
        self.fd.set_sregs(&sregs).unwrap();
        assert_eq!(self.fd.set_msrs(&Msrs::from_entries(&msrs).unwrap()).unwrap(), msrs.len());
        Ok(())
    }

    fn set_general(&mut self, r: &Registers) -> io::Result<()> {
        let regs = kvm_regs {
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
        self.fd.set_regs(&regs).unwrap();
        Ok(())
    }

    fn read(&self) -> io::Result<(Registers, SystemRegisters)> {
        let r = self.fd.get_regs().unwrap();
        let sregs = self.fd.get_sregs().unwrap();
        let general = Registers {
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
            rip: if self.at_out { r.rip - OUT_LENGTH } else { r.rip },
            rflags: r.rflags,
        };
        let (cs, cr2, fs_base) = (sregs.cs.selector, sregs.cr2, sregs.fs.base);
        Ok((general, SystemRegisters { cs, cr2, fs_base, gs_base: sregs.gs.base }))
    }

    fn extended(&self) -> io::Result<Vec<u8>> {
        let xsave = self.fd.get_xsave().unwrap();
        Ok(xsave.region.iter().flat_map(|word| word.to_le_bytes()).collect())
    }

    fn set_extended(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn kvm_segment_of(s: hv::SegmentRegister) -> kvm_segment {
    kvm_segment {
        base: s.base,
        limit: s.limit,
        selector: s.selector,
        type_: s.type_,
        present: s.present,
        dpl: s.dpl,
        db: s.db,
        s: s.s,
        l: s.l,
        g: s.g,
        avl: s.avl,
        unusable: 0,
        padding: 0,
    }
}

fn guest(parts: &[&[u8]]) -> (Box<dyn Machine>, AddressSpace) {
    let mut space = AddressSpace::new(16 << 20).unwrap();
    let pages = SystemPages::install("mshv", &ring3::system_pages(), &mut space).unwrap();
    space.map(CODE, PAGE_SIZE, Protection::READ_EXECUTE).unwrap();
    space.load(CODE, &parts.concat()).unwrap();
    space.map(STACK, PAGE_SIZE, Protection::READ_WRITE).unwrap();
    let fd = System::get().unwrap().create_vm().unwrap();
    let vm = Box::new(OverKvm { fd, mappings: Vec::new() });
    let entry = Entry { instruction: CODE, stack: STACK + PAGE_SIZE };
    let machine = ring3::machine(vm, &space, &pages, entry, Duration::ZERO).unwrap();
    (machine, space)
}

#[test]
fn doorbells_system_calls_and_repaired_faults_run_on_where_they_should() {
    if !kvm_is_available() {
        return;
    }
    // mov $39, %eax; syscall; mov $DATA, %rbx; mov %rax, (%rbx); out; jmp to the out
    let call = [0xb8, 39, 0, 0, 0, 0x0f, 0x05];
    let store = [&[0x48, 0xbb][..], &DATA.to_le_bytes(), &[0x48, 0x89, 0x03]].concat();
    let (mut machine, mut space) = guest(&[&call, &store, &RING, &[0xeb, 0xfc]]);
    match machine.run(&mut space).unwrap() {
        Trap::SystemCall { number, .. } => assert_eq!(number, 39),
        other => panic!("expected a system call, got {other:?}"),
    }
    assert_eq!(machine.position().0, CODE + 7);
    machine.return_from_system_call(-38);
    match machine.run(&mut space).unwrap() {
        Trap::Exception(found) => assert_eq!(found.fault, Some((DATA, Access::Write))),
        other => panic!("expected a page fault, got {other:?}"),
    }
    space.map(DATA, PAGE_SIZE, Protection::READ_WRITE).unwrap();
    assert_eq!(space.handle_fault(DATA, Access::Write), FaultOutcome::Repaired);
    for _ in 0..100 {
        assert_eq!(machine.run(&mut space).unwrap(), Trap::Doorbell);
    }
    let mut result = [0; 8];
    space.read(DATA, &mut result).unwrap();
    assert_eq!(i64::from_le_bytes(result), -38);
}

#[test]
fn a_running_guest_is_kicked_by_signals_alone() {
    if !kvm_is_available() {
        return;
    }
    let (mut machine, mut space) = guest(&[&SPIN]);
    let kicker = machine.kicker();
    let (ask, asked) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        while asked.recv().is_ok() {
            kicker.kick();
        }
    });
    for _ in 0..1000 {
        ask.send(()).unwrap();
        assert_eq!(machine.run(&mut space).unwrap(), Trap::Kicked);
    }
    drop(ask);
    thread.join().unwrap();
}
