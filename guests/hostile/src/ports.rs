//! I/O ports other than the doorbell, and the doorbell in other ways.

use crate::raw::{Message, survived};
use ampoule_guest::guest_function;
use std::arch::asm;

macro_rules! ports {
    ($($(#[$meta:meta])* $name:ident: $($line:literal),+;)*) => {
        $(
            $(#[$meta])*
            #[guest_function]
            fn $name() -> String {
                unsafe { asm!($($line),+, clobber_abi("C")) };
                survived()
            }
        )*
    };
}

ports! {
    /// GUEST_FAULT, or survives as the system call that RAX says (getpid): rings the system-call port.
    out_system_call_port: "mov eax, 39", "lea rcx, [rip + 2f]", "out 0x50, al", "2:";
    /// GUEST_FAULT: pretends to be the stub of vector 0.
    out_exception_port_0: "out 0xe0, al";
    /// GUEST_FAULT: pretends to be the stub of vector 13.
    out_exception_port_13: "out 0xed, al";
    /// GUEST_FAULT: pretends to be the stub of vector 14, with a bad stack.
    out_exception_port_14: "mov rsp, 0x10", "out 0xee, al";
    /// GUEST_FAULT: pretends to be the stub of vector 31.
    out_exception_port_31: "out 0xff, al";
    /// GUEST_FAULT: the serial port.
    out_serial: "mov edx, 0x3f8", "out dx, al";
    /// GUEST_FAULT: the keyboard controller, which could reset a machine.
    out_reset: "mov al, 0xfe", "out 0x64, al";
    /// GUEST_FAULT: the PCI configuration port.
    out_pci: "mov edx, 0xcf8", "out dx, eax";
    /// GUEST_FAULT: the interrupt controller, which a hypervisor may emulate.
    out_interrupt_controller: "out 0x20, al";
    /// GUEST_FAULT: the timer, which a hypervisor may emulate.
    out_timer: "out 0x43, al";
    /// GUEST_FAULT: the last port.
    out_last_port: "mov edx, 0xffff", "out dx, al";
    /// PROTOCOL, or GUEST_FAULT: the doorbell with four bytes.
    out_doorbell_wide: "out 0x51, eax";
    /// PROTOCOL, or GUEST_FAULT: the doorbell by a string instruction, a thousand times.
    out_doorbell_string: "mov rsi, rsp", "mov ecx, 1000", "mov edx, 0x51", "rep outsb";
    /// GUEST_FAULT: reads from the doorbell.
    in_doorbell: "in al, 0x51";
    /// GUEST_FAULT: reads from the system-call port.
    in_system_call_port: "in al, 0x50";
    /// GUEST_FAULT: reads from the keyboard.
    in_keyboard: "in al, 0x60";
    /// GUEST_FAULT: reads from a port into its own code, by a string instruction.
    in_string: "lea rdi, [rip]", "mov ecx, 16", "mov edx, 0x51", "rep insb";
}

/// survives: rings the doorbell through DX, which is the same doorbell. Returns "through dx" by
/// itself; the "survived" behind it answers the next call.
#[guest_function]
fn out_doorbell_by_register() -> String {
    Message { payload: b"\x6athrough dx", ..Message::default() }.post();
    unsafe { asm!("out dx, al", in("dx") 0x51_u16, in("al") 0_u8) };
    survived()
}
