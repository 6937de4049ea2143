//! Registers in the hypervisor's form.

use crate::long_mode::{CR0, EFER, Features, STAR};
use crate::vm::InitialState;
use ampoule_machine::Registers;
use mshv_bindings as hv;
use mshv_bindings::{SegmentRegister, StandardRegisters};

/// Every register but the general ones that a CPU starts with, in the order in which mshv-ioctls
/// sets them too: control registers last. The local descriptor table gets a limit of zero, so that
/// no selector refers to it. Everything left out is as after a reset.
pub(super) fn initial(state: &InitialState, features: Features) -> Vec<hv::hv_register_assoc> {
    let (task_base, task_limit) = state.tss;
    let system = SegmentRegister { dpl: 0, db: 0, s: 0, g: 0, ..flat() };
    let task = SegmentRegister {
        base: task_base,
        limit: task_limit.into(),
        selector: 0x40,
        type_: 11,
        ..system
    };
    let no_local_table = SegmentRegister { limit: 0, type_: 2, ..system };
    let mut registers = ring_3_segments(0, 0).to_vec();
    registers.extend([
        segment(hv::hv_register_name_HV_X64_REGISTER_TR, task),
        segment(hv::hv_register_name_HV_X64_REGISTER_LDTR, no_local_table),
        table(hv::hv_register_name_HV_X64_REGISTER_GDTR, state.gdt),
        table(hv::hv_register_name_HV_X64_REGISTER_IDTR, state.idt),
        word(hv::hv_register_name_HV_X64_REGISTER_INTERMEDIATE_CR0, CR0),
        word(hv::hv_register_name_HV_X64_REGISTER_INTERMEDIATE_CR3, state.page_tables.get()),
        word(hv::hv_register_name_HV_X64_REGISTER_INTERMEDIATE_CR4, features.cr4()),
        word(hv::hv_register_name_HV_X64_REGISTER_EFER, EFER),
        word(hv::hv_register_name_HV_X64_REGISTER_STAR, STAR),
        word(hv::hv_register_name_HV_X64_REGISTER_LSTAR, state.system_call_entry),
        word(hv::hv_register_name_HV_X64_REGISTER_SFMASK, state.system_call_flag_mask),
    ]);
    if features.xcr0 != 0 {
        registers.push(word(hv::hv_register_name_HV_X64_REGISTER_XFEM, features.xcr0));
    }
    registers
}

/// FS with a base.
pub(super) fn fs(base: u64) -> hv::hv_register_assoc {
    segment(hv::hv_register_name_HV_X64_REGISTER_FS, null_segment(base))
}

/// 64-bit code at ring 3: execute, read, accessed.
fn code_segment() -> SegmentRegister {
    SegmentRegister { selector: 0x33, type_: 11, db: 0, l: 1, ..flat() }
}

/// The segment registers that ring 3 can change, with these bases for FS and GS.
pub(super) fn ring_3_segments(fs_base: u64, gs_base: u64) -> [hv::hv_register_assoc; 6] {
    [
        segment(hv::hv_register_name_HV_X64_REGISTER_CS, code_segment()),
        segment(hv::hv_register_name_HV_X64_REGISTER_SS, stack_segment()),
        segment(hv::hv_register_name_HV_X64_REGISTER_DS, null_segment(0)),
        segment(hv::hv_register_name_HV_X64_REGISTER_ES, null_segment(0)),
        fs(fs_base),
        segment(hv::hv_register_name_HV_X64_REGISTER_GS, null_segment(gs_base)),
    ]
}

/// A question for a register's value.
pub(super) fn asked(name: hv::hv_register_name) -> hv::hv_register_assoc {
    hv::hv_register_assoc { name, ..hv::hv_register_assoc::default() }
}

pub(super) const fn to_hypervisor(r: &Registers) -> StandardRegisters {
    StandardRegisters {
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

pub(super) const fn from_hypervisor(r: &StandardRegisters) -> Registers {
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

/// A present segment of the whole address space at ring 3.
const fn flat() -> SegmentRegister {
    SegmentRegister {
        base: 0,
        limit: 0xffff_ffff,
        selector: 0,
        type_: 0,
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

/// Data at ring 3: read, write, accessed.
const fn stack_segment() -> SegmentRegister {
    SegmentRegister { selector: 0x2b, type_: 3, ..flat() }
}

/// No segment, as programs have DS, ES, FS and GS natively; what counts in 64-bit mode is the base.
const fn null_segment(base: u64) -> SegmentRegister {
    SegmentRegister { base, limit: 0, present: 0, dpl: 0, db: 0, s: 0, g: 0, unusable: 1, ..flat() }
}

fn segment(name: hv::hv_register_name, segment: SegmentRegister) -> hv::hv_register_assoc {
    let value = hv::hv_register_value { segment: segment.into() };
    hv::hv_register_assoc { name, value, ..hv::hv_register_assoc::default() }
}

fn table(name: hv::hv_register_name, (base, limit): (u64, u16)) -> hv::hv_register_assoc {
    let table = hv::hv_x64_table_register { pad: [0; 3], limit, base };
    let value = hv::hv_register_value { table };
    hv::hv_register_assoc { name, value, ..hv::hv_register_assoc::default() }
}

fn word(name: hv::hv_register_name, low_part: u64) -> hv::hv_register_assoc {
    // All sixteen bytes, because the hypervisor is handed all of them.
    let reg128 = hv::hv_u128 { low_part, high_part: 0 };
    let value = hv::hv_register_value { reg128 };
    hv::hv_register_assoc { name, value, ..hv::hv_register_assoc::default() }
}
