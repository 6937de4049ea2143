//! What of the processor a guest can see, and whether another processor has it too.

use crate::cpu::CpuState;
use std::arch::x86_64::__cpuid_count;

/// What a program in ring 3 can find out and come to rely on. A libc picks its string functions by
/// these at start-up and keeps the choice in memory, so that a snapshot runs only where all of them are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFeatures {
    /// The back end, and where its guests' CPUID comes from: the form of a [`CpuState`] is its own.
    pub backend: &'static str,
    /// CPUID words in the order of [`FEATURE_WORDS`], with the bits that matter to ring 3.
    pub words: [u32; FEATURE_WORDS.len()],
    /// XCR0: the components of extended state that guests may use.
    pub xcr0: u64,
    /// Number, size and offset of each component of extended state behind SSE.
    pub components: Vec<(u32, u32, u32)>,
}

/// Extended state that guests may use: x87, SSE, AVX and AVX-512. Left out on purpose: AMX, whose
/// use needs a permission of the host process, and protection keys, which guests could not use.
pub const EXTENDED_STATE: u64 = 0b1110_0111;

/// A word of CPUID and those of its bits that matter to ring 3.
#[derive(Debug, Clone, Copy)]
pub struct FeatureWord {
    /// Leaf, subleaf and register, for example `7.0.ebx`.
    pub name: &'static str,
    function: u32,
    subleaf: u32,
    /// EAX, EBX, ECX or EDX.
    register: usize,
    mask: u32,
}

const fn word(
    name: &'static str,
    function: u32,
    subleaf: u32,
    register: usize,
    mask: u32,
) -> FeatureWord {
    FeatureWord { name, function, subleaf, register, mask }
}

const EAX: usize = 0;
const EBX: usize = 1;
const ECX: usize = 2;
const EDX: usize = 3;

/// The words, with masks that leave out what only a kernel can use and what mirrors a control register
/// (Intel SDM vol. 2, CPUID; AMD64 APM vol. 3, appendix E).
pub const FEATURE_WORDS: [FeatureWord; 10] = [
    // SSE3, PCLMUL, SSSE3, FMA, CX16, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, XSAVE, AVX, F16C, RDRAND
    word("1.0.ecx", 1, 0, ECX, 0x76d8_3203),
    // FPU, TSC, CX8, CMOV, CLFSH, MMX, FXSR, SSE, SSE2
    word("1.0.edx", 1, 0, EDX, 0x0788_8111),
    // all but TSC_ADJUST, SGX, SMEP, INVPCID, RDT-M, RDT-A, SMAP, PT
    word("7.0.ebx", 7, 0, EBX, !0x0210_9486),
    // PREFETCHWT1, VBMI, WAITPKG, VBMI2, GFNI, VAES, VPCLMUL, VNNI, BITALG, VPOPCNT, RDPID, CLDEMOTE,
    // MOVDIRI, MOVDIR64B
    word("7.0.ecx", 7, 0, ECX, 0x1a40_5f63),
    // 4VNNIW, 4FMAPS, FSRM, VP2INTERSECT, SERIALIZE, TSXLDTRK, FP16
    word("7.0.edx", 7, 0, EDX, 0x0081_411c),
    // SHA512, SM3, SM4, AVX-VNNI, BF16, AVX-IFMA
    word("7.1.eax", 7, 1, EAX, 0x0080_0037),
    // XSAVEOPT, XSAVEC, XGETBV
    word("d.1.eax", 0xd, 1, EAX, 0x7),
    // LAHF, ABM, SSE4A, MISALIGNSSE, PREFETCHW, XOP, FMA4, TBM
    word("80000001.0.ecx", 0x8000_0001, 0, ECX, 0x0021_09e1),
    // SYSCALL, NX, MMXEXT, RDTSCP, LM, 3DNOWEXT, 3DNOW
    word("80000001.0.edx", 0x8000_0001, 0, EDX, 0xe850_0800),
    // CLZERO
    word("80000008.0.ebx", 0x8000_0008, 0, EBX, 0x1),
];

/// Arithmetic flags, TF, IF, DF, NT, RF, AC and ID: what ring 3 can change of RFLAGS; and the level of
/// I/O privilege, which some hypervisors show as 3, as it was set, and some as 0.
const FLAGS_FREE: u64 = 0x25_7fd5;
/// The bit that is always set.
const FLAGS_FIXED: u64 = 0x2;
/// Bytes of extended state in the standard format.
const EXTENDED_BYTES: usize = 4096;
/// Where the header starts, and its bytes (Intel SDM vol. 1, section 13.4.2).
const HEADER: usize = 512;
const HEADER_BYTES: usize = 64;
const MXCSR: usize = 24;

impl GuestFeatures {
    /// Reads them from the CPUID table of guests: `leaf` returns EAX, EBX, ECX and EDX of a function
    /// and subleaf, zeros for one that does not exist.
    #[must_use]
    pub fn of(backend: &'static str, xcr0: u64, leaf: impl Fn(u32, u32) -> [u32; 4]) -> Self {
        let words =
            FEATURE_WORDS.map(|word| leaf(word.function, word.subleaf)[word.register] & word.mask);
        let components = (2..63).filter(|component| xcr0 & 1 << component != 0).map(|component| {
            let [size, offset, ..] = leaf(0xd, component);
            (component, size, offset)
        });
        Self { backend, words, xcr0, components: components.collect() }
    }

    /// What of these `host` does not have, in words; `None` when a guest that saw these can run there.
    #[must_use]
    pub fn missing_on(&self, host: &Self) -> Option<String> {
        if self.backend != host.backend {
            return Some(format!(
                "the hypervisor {}, this machine has {}",
                self.backend, host.backend
            ));
        }
        for (word, (needed, had)) in FEATURE_WORDS.iter().zip(self.words.iter().zip(&host.words)) {
            let missing = needed & !had;
            if missing != 0 {
                return Some(format!("the bits {missing:#x} of CPUID {}", word.name));
            }
        }
        let missing = self.xcr0 & !host.xcr0;
        if missing != 0 {
            return Some(format!("the extended state {missing:#x}"));
        }
        let other = self.components.iter().find(|component| !host.components.contains(component));
        other.map(|(number, size, offset)| {
            format!("component {number} of extended state of {size} bytes at {offset}")
        })
    }
}

impl CpuState {
    /// The state without components of extended state that guests with `features` cannot use. KVM shows
    /// some (protection keys among them) whatever XCR0 is.
    #[must_use]
    pub fn narrowed(&self, features: &GuestFeatures) -> Self {
        let mut narrowed = self.clone();
        let present = narrowed.extended.iter_mut().skip(HEADER);
        for (byte, allowed) in present.zip((features.xcr0 | 3).to_le_bytes()) {
            *byte &= allowed;
        }
        narrowed
    }

    /// Whether ring 3 can have come into this state on a processor with `features`. A hypervisor that
    /// is given another one may refuse it, or the guest would have rights that it must not have.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self, features: &GuestFeatures) -> Result<(), &'static str> {
        let is_canonical =
            |address: u64| (address << 16).cast_signed() >> 16 == address.cast_signed();
        let flags = self.registers.rflags;
        if flags & !FLAGS_FREE != FLAGS_FIXED {
            return Err("flags that ring 3 cannot set");
        }
        if ![self.registers.rip, self.fs_base, self.gs_base].into_iter().all(is_canonical) {
            return Err("an address that is not canonical");
        }
        let extended = &self.extended;
        if extended.len() != EXTENDED_BYTES {
            return Err("extended state of another size");
        }
        let mxcsr = &extended[MXCSR..MXCSR + 4];
        if mxcsr[2..] != [0, 0] {
            return Err("reserved bits of MXCSR");
        }
        let header = &extended[HEADER..HEADER + HEADER_BYTES];
        let (present, reserved) = header.split_at(8);
        let present = present.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        // Without XSAVE there are x87 and SSE.
        if present & !(features.xcr0 | 3) != 0 || reserved.iter().any(|&byte| byte != 0) {
            return Err("components of extended state that are not enabled");
        }
        Ok(())
    }
}

/// What `cpuid` says to this process: EAX, EBX, ECX and EDX, zeros for a leaf that does not exist.
#[must_use]
pub fn native_leaf(function: u32, subleaf: u32) -> [u32; 4] {
    let highest = __cpuid_count(function & 0x8000_0000, 0).eax;
    if function > highest {
        return [0; 4];
    }
    let leaf = __cpuid_count(function, subleaf);
    [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]
}

/// The components of extended state that this process may use, of those that guests may; zero without
/// `XSAVE`.
#[must_use]
pub fn native_xcr0() -> u64 {
    const AVX: u64 = 0b111;
    match (is_x86_feature_detected!("avx512f"), is_x86_feature_detected!("avx")) {
        (true, _) => EXTENDED_STATE,
        (_, true) => AVX,
        _ if is_x86_feature_detected!("xsave") => 0b11,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Registers;

    fn features() -> GuestFeatures {
        GuestFeatures::of("kvm", 0b111, |function, subleaf| match (function, subleaf) {
            (0xd, 2) => [256, 576, 0, 0],
            _ => [u32::MAX; 4],
        })
    }

    #[test]
    fn a_processor_with_more_will_do_and_one_with_less_will_not() {
        let host = features();
        let mut guest = host.clone();
        guest.words[2] = 1;
        assert_eq!(guest.missing_on(&host), None);
        assert_eq!(host.missing_on(&guest).unwrap(), "the bits 0xfdef6b78 of CPUID 7.0.ebx");
        guest = GuestFeatures { xcr0: 0xe7, ..host.clone() };
        assert_eq!(guest.missing_on(&host).unwrap(), "the extended state 0xe0");
        guest = GuestFeatures { components: vec![(2, 256, 832)], ..host.clone() };
        let missing = guest.missing_on(&host).unwrap();
        assert_eq!(missing, "component 2 of extended state of 256 bytes at 832");
        guest = GuestFeatures { backend: "mshv", ..host.clone() };
        assert!(guest.missing_on(&host).unwrap().contains("hypervisor"));
    }

    #[test]
    fn states_that_ring_3_cannot_have_are_refused() {
        let registers = Registers { rflags: 0x3246, ..Registers::default() };
        let good = CpuState { registers, extended: vec![0; 4096], ..CpuState::default() };
        assert_eq!(good.check(&features()), Ok(()));
        let changes: [fn(&mut CpuState); 9] = [
            |state| state.registers.rflags = 0x3244,
            |state| state.registers.rflags |= 1 << 17,
            |state| state.registers.rflags |= 1 << 19,
            |state| state.registers.rip = 1 << 63,
            |state| state.fs_base = 1 << 47,
            |state| state.extended.truncate(4095),
            |state| state.extended[26] = 1,
            |state| state.extended[512] = 0xe0,
            |state| state.extended[520] = 1,
        ];
        let mut wide = good.clone();
        wide.extended[512..514].copy_from_slice(&[3, 2]);
        assert!(wide.check(&features()).is_err());
        assert_eq!(wide.narrowed(&features()).check(&features()), Ok(()));
        for (index, change) in changes.into_iter().enumerate() {
            let mut state = good.clone();
            change(&mut state);
            assert!(state.check(&features()).is_err(), "{index}");
        }
    }
}
