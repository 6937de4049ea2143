//! The registers as a function finds them, and leaving a mark in all of them.

use crate::residue::hash_of;
use std::arch::asm;
use std::ffi::{c_long, c_ulong};

const SYS_ARCH_PRCTL: c_long = 158;
const ARCH_SET_FS: c_long = 0x1002;
/// `AT_HWCAP2`, and its bit for `rdfsbase` and the like in ring 3.
const AT_HWCAP2: c_ulong = 26;
const HWCAP2_FSGSBASE: c_ulong = 2;
/// TF, DF, NT, AC and ID; the others are different at every instruction.
const FLAGS: u64 = 0x24_4500;
const TRAP: u64 = 0x100;
/// Segments of ring 3 in every descriptor table: data, and code.
const DATA: u64 = 0x2b;
const CODE: u64 = 0x33;

unsafe extern "C" {
    static __executable_start: u8;
    static etext: u8;
    safe fn getauxval(kind: c_ulong) -> c_ulong;
}

/// An instruction for each of the first 8, 16 or 32 registers of a kind; its number stands between the three
/// parts.
macro_rules! each {
    (8: $($rest:tt)*) => { each!([0 1 2 3 4 5 6 7] $($rest)*) };
    (16: $($rest:tt)*) => { each!([0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] $($rest)*) };
    (32: $($rest:tt)*) => {
        each!([0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31] $($rest)*)
    };
    ([$($number:literal)*] $before:literal, $between:literal, $behind:literal, $memory:expr) => {
        asm!($(concat!($before, $number, $between, $number, $behind)),*, memory = in(reg) $memory)
    };
}

/// Registers of the x87 unit as `fnsave` writes them: control, status and tag words, where the last
/// instruction stood and what it was, where its operand stood, then the stack.
const X87_BYTES: usize = 108;

#[repr(C, align(64))]
pub(crate) struct Found {
    vectors: [[u64; 8]; 32],
    masks: [u64; 8],
    /// Six that a function keeps for its caller, and the flags.
    general: [u64; 7],
    mxcsr: u32,
    x87: [u8; X87_BYTES],
    selectors: [u16; 6],
    /// Of FS and GS, where ring 3 can tell.
    bases: Option<[u64; 2]>,
}

impl Found {
    #[inline(never)]
    pub(crate) fn now() -> Self {
        let mut found = Self {
            vectors: [[0; 8]; 32],
            masks: [0; 8],
            general: [0; 7],
            mxcsr: 0,
            x87: [0; X87_BYTES],
            selectors: [0; 6],
            bases: None,
        };
        // SAFETY: stores into fields that are large enough. `fnsave` starts the unit anew, hence `frstor`.
        unsafe {
            asm!(
                "mov [{general}], rbx",
                "mov [{general} + 8], rbp",
                "mov [{general} + 16], r12",
                "mov [{general} + 24], r13",
                "mov [{general} + 32], r14",
                "mov [{general} + 40], r15",
                "pushfq",
                "pop qword ptr [{general} + 48]",
                "stmxcsr [{mxcsr}]",
                "fnsave [{x87}]",
                "frstor [{x87}]",
                general = in(reg) &raw mut found.general,
                mxcsr = in(reg) &raw mut found.mxcsr,
                x87 = in(reg) &raw mut found.x87,
            );
            asm!(
                "mov [{to}], cs",
                "mov [{to} + 2], ss",
                "mov [{to} + 4], ds",
                "mov [{to} + 6], es",
                "mov [{to} + 8], fs",
                "mov [{to} + 10], gs",
                to = in(reg) &raw mut found.selectors,
            );
        }
        found.bases = has_bases().then(bases);
        // SAFETY: as the processor has it, into rows of 64 bytes and words of 8.
        unsafe { found.store_vectors() };
        found
    }

    /// A hash for each part.
    pub(crate) fn parts(&self) -> Vec<(&'static str, u64)> {
        let bytes = |bytes: &[u8]| hash_of(&bytes.iter().map(|&b| b.into()).collect::<Vec<u64>>());
        let flags = self.general[6] & FLAGS;
        // Control, status and tag words, four words of pointers, and the stack.
        let x87 = [&self.x87[..12], &self.x87[28..], &self.mxcsr.to_le_bytes()].concat();
        let mut parts = vec![
            ("general", hash_of(&self.general[..6])),
            ("flags", hash_of(&[flags])),
            ("selectors", hash_of(&self.selectors.map(u64::from))),
            ("x87", bytes(&x87)),
            ("pointers", self.pointers()),
            ("vectors", hash_of(self.vectors.as_flattened())),
        ];
        parts.extend(self.bases.map(|bases| ("bases", hash_of(&bases))));
        if is_wide() {
            parts.push(("masks", hash_of(&self.masks)));
        }
        parts
    }

    /// Where the last x87 instruction was and what it had to do with, if it was one of this program's. A
    /// kernel that hides that of another process puts an address of its own in its place, which is another
    /// one each time (Linux: `X86_BUG_FXSAVE_LEAK`).
    fn pointers(&self) -> u64 {
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| self.x87[at + byte]));
        let code = (&raw const __executable_start).addr() as u32..(&raw const etext).addr() as u32;
        let at = word(12);
        if code.contains(&at) { hash_of(&[at.into(), word(16).into(), word(20).into()]) } else { 0 }
    }

    unsafe fn store_vectors(&mut self) {
        let (rows, masks) = (self.vectors.as_mut_ptr(), self.masks.as_mut_ptr());
        // SAFETY: what the caller promises.
        unsafe {
            if is_wide() {
                each!(32: "vmovups [{memory} + 64 * ", "], zmm", "", rows);
                each!(8: "kmovw [{memory} + 8 * ", "], k", "", masks);
            } else if has_avx() {
                each!(16: "vmovups [{memory} + 64 * ", "], ymm", "", rows);
            } else {
                each!(16: "movups [{memory} + 64 * ", "], xmm", "", rows);
            }
        }
    }
}

fn has_avx() -> bool {
    std::arch::is_x86_feature_detected!("avx")
}

fn is_wide() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
}

fn has_bases() -> bool {
    getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE != 0
        || std::arch::x86_64::__cpuid_count(7, 0).ebx & 1 != 0
}

fn bases() -> [u64; 2] {
    let (fs, gs): (u64, u64);
    // SAFETY: reads registers; the caller knows that it can.
    unsafe { asm!("rdfsbase {}", "rdgsbase {}", out(reg) fs, out(reg) gs) };
    [fs, gs]
}

/// Fills what a function need not keep, and what it should: rounding, masks, the x87 stack, segments.
pub(crate) fn leave_in_vectors(mark: u64) {
    let (rows, masks) = ([[mark; 8]; 32], [mark; 8]);
    // Rounding up, flushing and no exceptions; x87 with single precision.
    let (control, narrow) = (0xdfc0_u32, 0x0a7f_u16);
    let operand = 1.5_f64;
    let (rows, masks) = (rows.as_ptr(), masks.as_ptr());
    // SAFETY: loads registers. The compiler was not told, on purpose: nothing here computes with
    // floats, and the caller only returns or calls the host. AC would make that fault, and TF trap.
    unsafe {
        if is_wide() {
            each!(32: "vmovups zmm", ", [{memory} + 64 * ", "]", rows);
            each!(8: "kmovw k", ", [{memory} + 8 * ", "]", masks);
        } else if has_avx() {
            each!(16: "vmovups ymm", ", [{memory} + 64 * ", "]", rows);
        } else {
            each!(16: "movups xmm", ", [{memory} + 64 * ", "]", rows);
        }
        asm!(
            "ldmxcsr [{control}]",
            "fldcw [{narrow}]",
            "fld1",
            "fldpi",
            "fld qword ptr [{operand}]",
            "pushfq",
            "or dword ptr [rsp], 0x200000",
            "popfq",
            "mov ds, {data:e}",
            "mov es, {data:e}",
            control = in(reg) &raw const control,
            narrow = in(reg) &raw const narrow,
            operand = in(reg) &raw const operand,
            data = in(reg) if mark & 1 == 0 { DATA } else { CODE },
        );
        if has_bases() {
            // The selectors first, which change the bases. A thread needs its own of FS.
            let [fs, _] = bases();
            asm!(
                "mov fs, {data:e}",
                "mov gs, {data:e}",
                "wrfsbase {fs}",
                "wrgsbase {gs}",
                data = in(reg) DATA,
                fs = in(reg) fs,
                gs = in(reg) mark >> 17,
            );
        }
    }
}

/// Fills all registers, spoils thread-local storage and never comes back.
pub(crate) fn leave_in_registers(mark: u64, end: &str) -> ! {
    leave_in_vectors(mark);
    let trap = if end == "trap" { TRAP } else { 0 };
    let end = match end {
        "fault" | "trap" => 0_u64,
        "null" => 1,
        _ => 2,
    };
    // SAFETY: ends in a fault or a loop; nothing runs that would miss a register.
    unsafe {
        asm!(
            "push r10",
            "mov eax, {arch_prctl}",
            "mov edi, {set_fs}",
            "mov rsi, r8",
            "syscall",
            "mov eax, {data}",
            "mov ds, eax",
            "mov es, eax",
            "mov rax, r8",
            "mov rbx, r8",
            "mov rdx, r8",
            "mov rsi, r8",
            "mov rdi, r8",
            "mov rbp, r8",
            "mov r10, r8",
            "mov r11, r8",
            "mov r12, r8",
            "mov r13, r8",
            "mov r14, r8",
            "mov r15, r8",
            "popfq",
            "mov rsp, r8",
            "cmp r9, 1",
            "mov r9, r8",
            "je 3f",
            "ja 4f",
            "ud2",
            "3:",
            "mov [0], rax",
            "4:",
            "jmp 4b",
            arch_prctl = const SYS_ARCH_PRCTL,
            set_fs = const ARCH_SET_FS,
            data = const DATA,
            in("r8") mark,
            in("r9") end,
            in("r10") FLAGS & !TRAP | trap | 0x202,
            options(noreturn),
        );
    }
}
