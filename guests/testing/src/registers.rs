//! Every register that ring 3 can write.
//!
//! The list was made by going through the instructions and noting what each writes besides memory: Intel's
//! Software Developer's Manual, volume 2, chapters 3 to 6 ("SDM 2"), and AMD's Architecture Programmer's
//! Manual, volumes 3 to 5 ("APM 3"). An entry says which instructions write the register, how the next run is
//! asked for it, or which of them faults because the register is not for ring 3 or not enabled.

use ampoule_guest::{Error, guest_function};
use schemars::JsonSchema;
use serde::Serialize;
use std::arch::asm;

/// A register, or several that the same instructions write.
struct Register {
    name: &'static str,
    written_by: &'static str,
    source: &'static str,
    asked: Asked,
}

/// How to find out what a run left in a register.
#[derive(Clone, Copy)]
enum Asked {
    /// `leave` writes it, and `fingerprint` tells it in this part.
    Fingerprint(&'static str),
    /// By two instructions, each of which may fault: where the processor has not got the register, or has it
    /// turned off.
    Directly { write: unsafe fn(u64), read: unsafe fn() -> u64 },
    /// Not at all, because this faults.
    Faults(unsafe fn()),
    /// Not at all, for this reason.
    Untold(&'static str),
}

use Asked::{Directly, Faults, Fingerprint, Untold};

const fn register(
    name: &'static str,
    written_by: &'static str,
    source: &'static str,
    asked: Asked,
) -> Register {
    Register { name, written_by, source, asked }
}

/// A function of one instruction sequence that is given nothing.
macro_rules! run {
    ($($instruction:literal),+) => {{
        unsafe fn run() {
            // SAFETY: the caller expects a fault. What does not fault changes scratch registers only.
            unsafe {
                asm!($($instruction),+, out("rax") _, out("rcx") _, out("rdx") _, out("r10") _)
            };
        }
        run
    }};
}

/// A function that hands RAX to an instruction sequence.
macro_rules! write {
    ($($instruction:literal),+) => {{
        unsafe fn write(value: u64) {
            // SAFETY: the caller expects a fault, or that the register has this value afterwards; no code here
            // relies on it.
            unsafe {
                asm!($($instruction),+, inout("rax") value => _, out("rcx") _, out("rdx") _)
            };
        }
        write
    }};
}

/// A function that returns what an instruction sequence leaves in RAX, which is zero before.
macro_rules! read {
    ($($instruction:literal),+) => {{
        unsafe fn read() -> u64 {
            let mut value = 0_u64;
            // SAFETY: reads a register, by scratch registers and this run's own stack.
            unsafe {
                asm!($($instruction),+, inout("rax") value, out("rcx") _, out("rdx") _)
            };
            value
        }
        read
    }};
}

#[rustfmt::skip]
const REGISTERS: &[Register] = &[
    register("RAX to R15", "nearly all", "SDM 2, MOV", Fingerprint("general")),
    register("RIP", "JMP, CALL, RET", "SDM 2, JMP", Untold("where a run begins is what a call is")),
    register("TF, DF, NT, AC, ID", "POPF, STD, IRET", "SDM 2, POPF", Fingerprint("flags")),
    register("CF, PF, AF, ZF, SF, OF", "ADD, SAHF, CMC", "SDM 2, ADD",
        Untold("no code finds them: every call sets them before it is asked")),
    register("IF", "CLI, STI, POPF", "SDM 2, CLI: with an I/O privilege level of 3",
        Directly { write: write!("cli"), read: read!("pushfq", "pop rax", "and eax, 0x200") }),
    register("VIF, VIP, RF, VM, IOPL", "POPF, IRET", "SDM 2, POPF: not at privilege level 3",
        Untold("ring 3 cannot write them")),
    register("CS, SS, DS, ES, FS, GS", "MOV, POP, LSS, LFS, LGS, far JMP and RET, IRET", "SDM 2, MOV", Fingerprint("selectors")),
    register("FS and GS base", "WRFSBASE, WRGSBASE, MOV to FS or GS", "SDM 2, WRFSBASE", Fingerprint("bases")),
    register("GS base of the kernel", "SWAPGS", "SDM 2, SWAPGS", Faults(run!("swapgs"))),
    register("x87 control, status and tags", "FLDCW, FLDENV, FRSTOR, FXRSTOR, FINIT, FCLEX", "SDM 2, FLDENV", Fingerprint("x87")),
    register("ST0 to ST7, MM0 to MM7", "FLD, MOVQ", "SDM 2, FLD", Fingerprint("x87")),
    register("x87 instruction and data pointers, opcode", "FLD, FLDENV", "SDM 2, FLDENV; APM 3, CPUID 8000_0008 XSaveErPtr", Fingerprint("pointers")),
    register("MXCSR", "LDMXCSR, VLDMXCSR", "SDM 2, LDMXCSR", Fingerprint("x87")),
    register("XMM, YMM, ZMM", "MOVUPS, VMOVUPS, VZEROALL", "SDM 2, MOVUPS", Fingerprint("vectors")),
    register("k0 to k7", "KMOVW", "SDM 2, KMOVW", Fingerprint("masks")),
    register("PKRU", "WRPKRU", "SDM 2, WRPKRU: with CR4.PKE", Directly {
        // Never the rights of key 0, under which this code is.
        write: write!("shl eax, 2", "xor ecx, ecx", "xor edx, edx", "wrpkru"),
        read: read!("xor ecx, ecx", "rdpkru"),
    }),
    register("BND0 to BND3, BNDSTATUS", "BNDMK, BNDMOV", "SDM 2, BNDMK: with XCR0 bits 3 and 4, else no effect", Directly {
        write: write!(".byte 0xf3, 0x0f, 0x1b, 0x00"),
        // bndmov %bnd0, (%rsp)
        read: read!("push 0", "push 0", ".byte 0x66, 0x0f, 0x1b, 0x04, 0x24", "pop rax", "pop rcx"),
    }),
    register("tiles and TILECFG", "LDTILECFG, TILELOADD", "SDM 2, LDTILECFG: with XCR0 bits 17 and 18", Directly {
        // A palette and a row of a tile, then zeros.
        write: write!("sub rsp, 64", "mov ecx, 8", "2: mov qword ptr [rsp + rcx * 8 - 8], 0", "loop 2b",
            "mov byte ptr [rsp], 1", "mov byte ptr [rsp + 16], 4", "mov byte ptr [rsp + 48], 1",
            ".byte 0xc4, 0xe2, 0x78, 0x49, 0x04, 0x24", "add rsp, 64"),
        read: read!("sub rsp, 64", ".byte 0xc4, 0xe2, 0x79, 0x49, 0x04, 0x24", "mov rax, [rsp]", "add rsp, 64"),
    }),
    register("shadow stack pointer", "INCSSP, RSTORSSP", "SDM 2, INCSSPD: with CR4.CET", Directly {
        write: write!("xor eax, eax", ".byte 0xf3, 0x48, 0x0f, 0xae, 0xe8"),
        // rdsspq %rax, which does nothing without
        read: read!(".byte 0xf3, 0x48, 0x0f, 0x1e, 0xc8"),
    }),
    register("UIF", "CLUI, STUI", "SDM 2, CLUI: with CR4.UINTR", Directly {
        write: write!(".byte 0xf3, 0x0f, 0x01, 0xee"),
        // testui
        read: read!(".byte 0xf3, 0x0f, 0x01, 0xed", "setc al"),
    }),
    register("R16 to R31", "REX2 prefix", "Intel APX specification, 3.1.2: with XCR0 bit 19", Directly {
        write: write!(".byte 0xd5, 0x18, 0x89, 0xc0"),
        read: read!(".byte 0xd5, 0x48, 0x89, 0xc0"),
    }),
    register("LWPCB and its counters", "LLWPCB", "APM 3, LLWPCB: with XCR0 bit 62", Directly {
        write: write!(".byte 0x8f, 0xe9, 0xf8, 0x12, 0xc0"),
        read: read!(".byte 0x8f, 0xe9, 0xf8, 0x12, 0xc8"),
    }),
    register("control registers", "MOV to CR0 to CR8, LMSW, CLTS", "SDM 2, MOV to control registers", Faults(run!("mov rax, cr0", "mov cr0, rax"))),
    register("TS", "CLTS", "SDM 2, CLTS", Faults(run!("clts"))),
    register("XCR0", "XSETBV", "SDM 2, XSETBV", Faults(run!("xor ecx, ecx", "xor edx, edx", "mov eax, 3", "xsetbv"))),
    register("debug registers", "MOV to DR0 to DR7", "SDM 2, MOV to debug registers", Faults(run!("xor eax, eax", "mov dr0, rax"))),
    register("GDTR, IDTR", "LGDT, LIDT", "SDM 2, LGDT", Faults(run!("lidt [rsp]"))),
    register("LDTR", "LLDT", "SDM 2, LLDT", Faults(run!("xor eax, eax", "lldt ax"))),
    register("TR", "LTR", "SDM 2, LTR", Faults(run!("mov eax, 0x40", "ltr ax"))),
    register("model-specific registers, TSC_AUX and the time-stamp counter among them", "WRMSR", "SDM 2, WRMSR",
        Faults(run!("mov ecx, 0xc0000103", "xor eax, eax", "xor edx, edx", "wrmsr"))),
    register("model-specific registers for ring 3", "UWRMSR", "SDM 2, UWRMSR: with IA32_USER_MSR_CTL",
        Faults(run!("xor eax, eax", ".byte 0xf3, 0x0f, 0x38, 0xf8, 0xc0"))),
    register("supervisor state components", "XRSTORS", "SDM 2, XRSTORS", Faults(run!("xor eax, eax", "xor edx, edx", ".byte 0x48, 0x0f, 0xc7, 0x1c, 0x24"))),
    register("performance counters", "RDPMC reads them", "SDM 2, RDPMC: with CR4.PCE", Faults(run!("xor ecx, ecx", "rdpmc"))),
    register("internal wrapping key", "LOADIWKEY", "SDM 2, LOADIWKEY", Faults(run!("xor eax, eax", ".byte 0xf3, 0x0f, 0x38, 0xdc, 0xc0"))),
    register("state of an enclave", "ENCLU", "SDM 2, ENCLU: none is ever made", Faults(run!("mov eax, -1", ".byte 0x0f, 0x01, 0xd7"))),
    register("state of a virtual machine", "VMRUN, VMPTRLD", "APM 3, VMRUN", Faults(run!("xor eax, eax", "vmrun rax"))),
    register("transaction", "XBEGIN", "SDM 2, XBEGIN", Untold("every way out of the guest aborts it")),
    register("monitored address", "MONITORX, UMONITOR", "APM 3, MONITORX; SDM 2, UMONITOR", Untold("no instruction reads it, and every way out of the guest clears it")),
    register("caches, predictors, counters of random numbers", "nearly all", "SDM 3, chapter 13", Untold("not architectural; SECURITY.md, side channels")),
];

/// A register as the tests see it.
#[derive(Serialize, JsonSchema)]
struct Told {
    name: &'static str,
    /// `fingerprint`, `directly`, `faults` or `untold`.
    asked: &'static str,
    /// The part of the fingerprint, or the reason.
    how: &'static str,
    written_by: &'static str,
    source: &'static str,
}

/// The list.
#[guest_function]
fn registers() -> Vec<Told> {
    let told = |register: &Register| {
        let (asked, how) = match register.asked {
            Fingerprint(part) => ("fingerprint", part),
            Directly { .. } => ("directly", ""),
            Faults(_) => ("faults", ""),
            Untold(why) => ("untold", why),
        };
        let &Register { name, written_by, source, .. } = register;
        Told { name, asked, how, written_by, source }
    };
    REGISTERS.iter().map(told).collect()
}

fn asked(name: &str) -> Result<Asked, Error> {
    let found = REGISTERS.iter().find(|register| register.name == name);
    found.map(|register| register.asked).ok_or_else(|| Error::new("Unknown", name))
}

/// Writes a register that is asked directly, or does what faults.
#[guest_function]
fn write_register(name: String, value: u64) -> Result<(), Error> {
    match asked(&name)? {
        // SAFETY: ends in a fault, or changes what no code here relies on.
        Directly { write, .. } => unsafe { write(value) },
        // SAFETY: ends in a fault.
        Faults(run) => unsafe { run() },
        Fingerprint(_) | Untold(_) => return Err(Error::new("Indirect", name)),
    }
    Ok(())
}

/// Reads a register that is asked directly.
#[guest_function]
fn read_register(name: String) -> Result<u64, Error> {
    match asked(&name)? {
        // SAFETY: ends in a fault, or reads a register.
        Directly { read, .. } => Ok(unsafe { read() }),
        _ => Err(Error::new("Indirect", name)),
    }
}
