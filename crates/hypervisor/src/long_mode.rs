//! The processor state in which guests run, as far as every back end sets it alike.

use ampoule_machine::EXTENDED_STATE;

/// CR0: PE, MP, ET, NE, WP, AM, PG.
pub(crate) const CR0: u64 = 0x8005_0033;
/// EFER: SCE, LME, LMA, NXE.
pub(crate) const EFER: u64 = 0xd01;
/// STAR: kernel segments from 0x10, user segments from 0x23; see `ring3::system_pages`.
pub(crate) const STAR: u64 = 0x10 << 32 | 0x23 << 48;

const CR4_PAE: u64 = 1 << 5;
const CR4_OSFXSR: u64 = 1 << 9;
const CR4_OSXMMEXCPT: u64 = 1 << 10;
const CR4_UMIP: u64 = 1 << 11;
const CR4_FSGSBASE: u64 = 1 << 16;
const CR4_OSXSAVE: u64 = 1 << 18;

/// What of the processor's features a back end turns on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Features {
    pub(crate) fsgsbase: bool,
    pub(crate) umip: bool,
    /// XCR0, zero without `XSAVE`.
    pub(crate) xcr0: u64,
}

impl Features {
    /// Reads the CPUID leaves that guests get (Intel SDM vol. 2, CPUID): `leaf` returns EAX, EBX,
    /// ECX and EDX of a function's first subleaf, zeros for one that does not exist.
    pub(crate) fn of(leaf: impl Fn(u32) -> [u32; 4]) -> Self {
        let [_, _, basic, _] = leaf(1);
        let [_, structured_b, structured_c, _] = leaf(7);
        let [states_low, _, _, states_high] = leaf(0xd);
        let states = u64::from(states_high) << 32 | u64::from(states_low);
        Self {
            fsgsbase: structured_b & 1 != 0,
            umip: structured_c & 1 << 2 != 0,
            xcr0: if basic & 1 << 26 != 0 { states & EXTENDED_STATE } else { 0 },
        }
    }

    /// CR4 with everything turned on that there is.
    pub(crate) const fn cr4(self) -> u64 {
        let mut cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
        if self.umip {
            cr4 |= CR4_UMIP;
        }
        if self.fsgsbase {
            cr4 |= CR4_FSGSBASE;
        }
        if self.xcr0 != 0 {
            cr4 |= CR4_OSXSAVE;
        }
        cr4
    }

    /// The features by name, for people.
    pub(crate) fn named(self) -> Vec<(&'static str, bool)> {
        vec![
            ("avx", self.xcr0 & 1 << 2 != 0),
            ("avx512", self.xcr0 & 1 << 5 != 0),
            ("fsgsbase", self.fsgsbase),
            ("umip", self.umip),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::Features;

    #[test]
    fn reads_features_from_cpuid_and_leaves_amx_out() {
        let features = Features::of(|function| match function {
            1 => [0, 0, 1 << 26, 0],
            7 => [0, 1, 1 << 2, 0],
            0xd => [0x6_02e7, 0, 0, 0],
            _ => [0; 4],
        });
        assert_eq!(features, Features { fsgsbase: true, umip: true, xcr0: 0xe7 });
        assert_eq!(features.cr4(), 0x5_0e20);
    }

    #[test]
    fn turns_nothing_on_that_the_processor_lacks() {
        let features = Features::of(|function| if function == 0xd { [0xe7; 4] } else { [0; 4] });
        assert_eq!(features, Features::default());
        assert_eq!(features.cr4(), 0x620);
    }
}
