//! The entry stub: how a CPU goes back to a saved state without an `ioctl`. It sets what the host does
//! not set by itself of everything that ring 3 can change. That is the extended state, from its page by
//! `xrstor`; the segment selectors, and then the bases, which loading a selector changes; the registers that
//! it needed for that; and it jumps to where the guest was. It runs in ring 3 and can do nothing that the
//! guest could not.

use super::map::{
    ENTRY_FS_BASE, ENTRY_GS_BASE, ENTRY_RAX, ENTRY_RCX, ENTRY_RDX, ENTRY_RIP, ENTRY_STATE,
    ENTRY_STUB,
};

/// One instruction of the entry stub: its bytes, and what it refers to relative to RIP.
type Step = (&'static [u8], Option<u64>);

/// The entry stub. None of its instructions changes a flag.
const STEPS: [Step; 19] = [
    // fninit: `xrstor` leaves the x87 pointers of whoever ran before on AMD processors without
    // `XSaveErPtr`, unless an exception is pending (AMD64 APM vol. 3, CPUID 8000_0008 EBX bit 2)
    (&[0xdb, 0xe3], None),
    // xrstor64
    (&[0x48, 0x0f, 0xae, 0x2d], Some(ENTRY_STATE)),
    // mov $0, %eax; and then for each of DS, ES, FS and GS: mov to %ecx; jrcxz behind the next; mov from %eax.
    // Null selectors are what programs have natively, and to load one takes a hundred times a look at it.
    (&[0xb8, 0, 0, 0, 0], None),
    (&[0x8c, 0xd9, 0xe3, 2], None),
    (&[0x8e, 0xd8], None),
    (&[0x8c, 0xc1, 0xe3, 2], None),
    (&[0x8e, 0xc0], None),
    (&[0x8c, 0xe1, 0xe3, 2], None),
    (&[0x8e, 0xe0], None),
    (&[0x8c, 0xe9, 0xe3, 2], None),
    (&[0x8e, 0xe8], None),
    // wrfsbase %rax; wrgsbase %rax
    (&[0x48, 0x8b, 0x05], Some(ENTRY_STATE + ENTRY_FS_BASE)),
    (&[0xf3, 0x48, 0x0f, 0xae, 0xd0], None),
    (&[0x48, 0x8b, 0x05], Some(ENTRY_STATE + ENTRY_GS_BASE)),
    (&[0xf3, 0x48, 0x0f, 0xae, 0xd8], None),
    // mov to %rcx, %rax and %rdx; jmp
    (&[0x48, 0x8b, 0x0d], Some(ENTRY_STATE + ENTRY_RCX)),
    (&[0x48, 0x8b, 0x05], Some(ENTRY_STATE + ENTRY_RAX)),
    (&[0x48, 0x8b, 0x15], Some(ENTRY_STATE + ENTRY_RDX)),
    (&[0xff, 0x25], Some(ENTRY_STATE + ENTRY_RIP)),
];
/// Bytes of the stub.
pub(super) const LENGTH: u64 = {
    let (mut length, mut index) = (0, 0);
    while index < STEPS.len() {
        let (instruction, target) = STEPS[index];
        length += instruction.len() + if target.is_some() { 4 } else { 0 };
        index += 1;
    }
    length as u64
};

/// The stub.
pub(super) fn code() -> Vec<u8> {
    let mut code = Vec::new();
    for (instruction, target) in STEPS {
        code.extend_from_slice(instruction);
        if let Some(target) = target {
            let end = ENTRY_STUB + code.len() as u64 + 4;
            // Both lie in the system pages, so the difference always fits.
            code.extend_from_slice(&(target - end).to_le_bytes()[..4]);
        }
    }
    code
}
