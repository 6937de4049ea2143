//! Acts of the processor that Rust has no words for.

use ampoule_abi::channel::{AT_AMPOULE, ControlPage, HEADER_SIZE};
use std::arch::asm;

/// What a function answers after an act that had no effect.
pub(crate) fn survived() -> String {
    "survived".to_owned()
}

/// Reads a byte, wherever.
pub(crate) fn load(address: u64) -> u8 {
    let byte: u8;
    unsafe {
        asm!("mov {byte}, [{address}]", byte = out(reg_byte) byte, address = in(reg) address)
    };
    byte
}

/// Writes a byte, wherever.
pub(crate) fn store(address: u64, byte: u8) {
    unsafe { asm!("mov [{address}], {byte}", byte = in(reg_byte) byte, address = in(reg) address) };
}

/// Calls whatever stands at the address.
pub(crate) fn call(address: u64) {
    unsafe { asm!("call {address}", address = in(reg) address, clobber_abi("C")) };
}

/// Makes a system call with six arguments; gives the value or minus the error number.
pub(crate) fn system_call(number: u64, arguments: [u64; 6]) -> i64 {
    let result: i64;
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// The address of the control page; 0 on plain Linux.
pub(crate) fn control_page() -> u64 {
    unsafe extern "C" {
        safe fn getauxval(kind: u64) -> u64;
    }
    getauxval(AT_AMPOULE)
}

/// Addresses and sizes of the areas, header included: to the guest, to the host, trace.
pub(crate) fn areas() -> [(u64, u64); 3] {
    let control = control_page();
    assert_ne!(control, 0, "this needs a sandbox");
    let page = unsafe { (control as *const ControlPage).read_volatile() };
    [page.to_guest, page.to_host, page.trace].map(|area| (control + area.offset, area.size))
}

/// A message, with the freedom to lie.
pub(crate) struct Message<'a> {
    pub(crate) kind: u32,
    pub(crate) function: u32,
    pub(crate) flags: u32,
    /// `None`: that of the payload.
    pub(crate) length: Option<u64>,
    /// `None`: the right one.
    pub(crate) sequence: Option<u32>,
    pub(crate) payload: &'a [u8],
}

impl Default for Message<'_> {
    fn default() -> Self {
        Self { kind: 2, function: 0, flags: 0, length: None, sequence: None, payload: b"\xf6" }
    }
}

impl Message<'_> {
    /// Writes it into the area to the host; the payload as far as it fits.
    pub(crate) fn post(&self) {
        let [(to_guest, _), (to_host, size), _] = areas();
        let fits = self.payload.len().min((size - HEADER_SIZE) as usize);
        let right = unsafe { (to_guest as *const u32).read_volatile() }.wrapping_add(1);
        let length = self.length.unwrap_or(self.payload.len() as u64);
        unsafe {
            let payload = (to_host + HEADER_SIZE) as *mut u8;
            payload.copy_from_nonoverlapping(self.payload.as_ptr(), fits);
            let words = to_host as *mut u32;
            words.add(1).write_volatile(self.kind);
            words.add(2).write_volatile(self.function);
            words.add(3).write_volatile(self.flags);
            words.add(4).cast::<u64>().write_volatile(length);
            words.write_volatile(self.sequence.unwrap_or(right));
        }
    }

    /// Posts it and rings.
    pub(crate) fn send(&self) {
        self.post();
        ring();
    }
}

/// Rings the doorbell, whatever stands in the area.
pub(crate) fn ring() {
    unsafe { asm!("out 0x51, al", in("al") 0_u8) };
}

/// Says that the trace batch is full, whether it is or not.
pub(crate) fn ring_trace() {
    unsafe { asm!("out 0x52, al", in("al") 0_u8) };
}
