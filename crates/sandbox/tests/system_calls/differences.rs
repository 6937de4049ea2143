//! Where the personality answers otherwise than Linux, on purpose.

/// One line that differs.
pub(crate) struct Difference {
    /// Family and line, up to ` = `.
    pub(crate) check: (&'static str, &'static str),
    /// What the line says inside.
    pub(crate) inside: &'static str,
    /// Why.
    pub(crate) reason: &'static str,
}

/// Every difference that is by design. One that is not there any more fails the test, too.
pub(crate) const DIFFERENCES: &[Difference] = &[
    differs("paths", "getcwd: after a link", "/proc/self/fd", PROC),
    differs("memory", "madvise: MADV_FREE of a file", "0", COPIES),
    differs("memory", "madvise: what a file shows then", "", COPIES),
    differs("memory", "mprotect: a file that is read, to write together", "0", COPIES),
    differs(
        "pipes",
        "pipe: a hundred",
        "64",
        "a guest has 64 pipes at most: they take host memory",
    ),
    differs("identity", "arch_prctl: ARCH_GET_GS", "EINVAL", GS),
    differs("identity", "arch_prctl: ARCH_SET_GS to 0", "EINVAL", GS),
];

const PROC: &str = "`/proc/self/fd` is a part of the read-only tree, under that name only";
const GS: &str = "no libc uses the GS base, and a guest that sets it is told that it is not kept";

const COPIES: &str = "a mapped file is copied into the guest's own memory";

const fn differs(
    family: &'static str,
    check: &'static str,
    inside: &'static str,
    reason: &'static str,
) -> Difference {
    Difference { check: (family, check), inside, reason }
}
