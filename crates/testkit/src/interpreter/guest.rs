//! A guest for the interpreter: a function for each way in which a program can be left.
//!
//! It is an ordinary executable that speaks the ABI, and runs under any back end.

use super::assembler::Assembler;
use super::assembler::Register::{Rax, Rbx, Rcx, Rdi, Rdx, Rsi};
use crate::executables::{BASE, ElfFile};
use ampoule_abi::channel::{GuestMessage, HEADER_SIZE};
use ampoule_abi::layout::{CHANNEL_BASE, PAGE_SIZE};
use ampoule_abi::port;
use object::elf;

/// What it exports, in this order. Arguments are an array with a number below 24 in it, or an empty one; a result
/// is a number below 24 or null.
///
/// - `count`: how often it was called.
/// - `ask`: what the import says.
/// - `write`: writes `hello` to standard output.
/// - `touch`: writes to a page that nobody has used.
/// - `base`: that of FS, and sets it to 7.
/// - `port`: an `out` to port `0xfff0` plus the argument.
/// - `wild`: writes to a page that is not there.
/// - `illegal`: an instruction that is none.
/// - `jump`: to a page that is not there.
/// - `exit`: ends the program.
/// - `spin`: for ever.
/// - `full`: says that the batch of trace events is full.
pub const EXPORTS: [&str; 12] = [
    "count", "ask", "write", "touch", "base", "port", "wild", "illegal", "jump", "exit", "spin",
    "full",
];

/// Argument of `port` for a processor that is halted.
pub const HALT: u8 = 0;
/// Argument of `port` for one that is shut down.
pub const SHUTDOWN: u8 = 1;
/// Argument of `port` for an access to memory that does not exist.
pub const UNBACKED: u8 = 2;
/// Argument of `port` for an instruction that the back end cannot run.
pub const UNRUNNABLE: u8 = 3;
/// Argument of `port` for an error of the back end.
pub const DEFECT: u8 = 4;
/// Argument of `port` for one that nobody answers.
pub const NO_PORT: u8 = 5;

/// Bytes of its largest message.
pub const MESSAGE_BYTES: u64 = 8128;

const AREA: u64 = (MESSAGE_BYTES + HEADER_SIZE).next_multiple_of(PAGE_SIZE);
const TO_GUEST: u64 = CHANNEL_BASE + PAGE_SIZE;
const TO_HOST: u64 = TO_GUEST + AREA;

const TEXT: u64 = BASE + 0x1000;
const DATA: u64 = BASE + 0x2000;
/// How often `count` was called.
const COUNTER: u64 = DATA;
const HELLO: u64 = DATA + 8;
const INTERFACE: u64 = DATA + 16;
/// Far behind everything that the file fills, so that no page near it is made present with it.
const FRESH: u64 = BASE + 0x80_0000;

/// Where a payload stands, as an offset.
const PAYLOAD: u8 = 64;
const _: () = assert!(PAYLOAD as u64 == HEADER_SIZE);

/// CBOR: null.
const NULL: u64 = 0xf6;
/// CBOR: an array of nothing.
const NOTHING: u64 = 0x80;

const READ: u64 = 0;
const WRITE: u64 = 1;
const ARCH_PRCTL: u64 = 158;
const ARCH_SET_FS: u64 = 0x1002;
const EXIT_GROUP: u64 = 231;

/// The executable of the guest that describes itself by `interface`, an encoded one that exports [`EXPORTS`] and
/// imports one function.
#[must_use]
pub fn functions(interface: &[u8]) -> Vec<u8> {
    let mut a = Assembler::default();
    // The interface as the payload of the first message.
    a.set(Rsi, INTERFACE).set(Rdi, TO_HOST + HEADER_SIZE);
    a.set(Rcx, interface.len().div_ceil(8) as u64);
    a.label("copy").load(Rax, Rsi, 0).store(Rdi, 0, Rax);
    a.add(Rsi, 8).add(Rdi, 8).add(Rcx, -1).jump_if_not("copy");
    a.set(Rdx, 1).set(Rcx, GuestMessage::Ready as u64).set(Rax, interface.len() as u64);
    send(&mut a);
    // What the host says then is a call: its number, and which function.
    a.label("serve").set(Rbx, TO_GUEST).load_32(Rax, Rbx, 8);
    for (number, name) in (0..).zip(EXPORTS) {
        a.compare(Rax, number).jump_if_equal(name);
    }
    a.undefined();

    a.label("count").set(Rbx, COUNTER).load(Rax, Rbx, 0).add(Rax, 1).store(Rbx, 0, Rax);
    a.jump("return");

    a.label("ask").set(Rax, NOTHING);
    payload(&mut a);
    a.load_32(Rdx, Rbx, 0).add(Rdx, 1);
    a.set(Rcx, GuestMessage::HostCall as u64).set(Rax, 1);
    send(&mut a);
    a.set(Rbx, TO_GUEST).load_8(Rax, Rbx, PAYLOAD).jump("return");

    a.label("write").set(Rax, WRITE).set(Rdi, 1).set(Rsi, HELLO).set(Rdx, 5).system_call();
    a.jump("null");

    a.label("touch").set(Rbx, FRESH).store(Rbx, 0, Rbx).jump("null");

    a.label("base").fs_base(Rbx).set(Rax, ARCH_PRCTL).set(Rdi, ARCH_SET_FS).set(Rsi, 7);
    a.system_call().copy(Rax, Rbx).jump("return");

    // The number stands behind the head of the array.
    a.label("port").load_8(Rdx, Rbx, PAYLOAD + 1);
    a.add(Rdx, -0x10).out_dx().jump("null");

    a.label("wild").set(Rbx, 0x10).store(Rbx, 0, Rax).jump("null");
    a.label("illegal").undefined();
    a.label("jump").jump("nowhere");
    a.label("exit").set(Rax, EXIT_GROUP).set(Rdi, 3).system_call();
    a.label("spin").jump("spin");
    a.label("full").out(port::TRACE);

    a.label("null").set(Rax, NULL);
    a.label("return");
    payload(&mut a);
    a.set(Rbx, TO_GUEST).load_32(Rdx, Rbx, 0).add(Rdx, 1);
    a.set(Rcx, GuestMessage::Return as u64).set(Rax, 1);
    send(&mut a);
    a.jump("serve");
    a.place("nowhere", 0x4000_0000);
    executable(&a.finish(), interface)
}

/// The executable of a program that says hello, and then ends with the byte that it reads, or with 1.
#[must_use]
pub fn program() -> Vec<u8> {
    let mut a = Assembler::default();
    a.set(Rax, WRITE).set(Rdi, 1).set(Rsi, HELLO).set(Rdx, 5).system_call();
    a.set(Rax, READ).set(Rdi, 0).set(Rsi, COUNTER).set(Rdx, 1).system_call();
    a.set(Rdi, 1).compare(Rax, 1).jump_if_not("end").set(Rsi, COUNTER).load_8(Rdi, Rsi, 0);
    a.label("end").set(Rax, EXIT_GROUP).system_call();
    executable(&a.finish(), &[])
}

/// The byte in RAX as the payload of the next message.
fn payload(a: &mut Assembler) {
    a.set(Rdi, TO_HOST).store(Rdi, PAYLOAD, Rax);
}

/// Sends message number RDX of kind RCX with RAX bytes of payload, and waits for the host.
fn send(a: &mut Assembler) {
    a.set(Rdi, TO_HOST).store(Rdi, 16, Rax).store_32(Rdi, 4, Rcx);
    a.set(Rsi, 0).store_32(Rdi, 8, Rsi).store_32(Rdi, 12, Rsi);
    a.store_32(Rdi, 0, Rdx).out(port::DOORBELL);
}

fn executable(code: &[u8], interface: &[u8]) -> Vec<u8> {
    let data = [&[0; 8][..], b"hello\0\0\0", interface].concat();
    let text = elf::PF_R | elf::PF_X;
    let writable = elf::PF_R | elf::PF_W;
    let (length, fresh) = (data.len() as u64, FRESH + PAGE_SIZE - DATA);
    let file = ElfFile {
        entry: TEXT,
        headers: vec![
            (elf::PT_LOAD, elf::PF_R, 0, BASE, 0x1000, 0x1000),
            (elf::PT_LOAD, text, 0x1000, TEXT, 0x1000, 0x1000),
            (elf::PT_LOAD, writable, 0x2000, DATA, length, fresh),
        ],
        length: 0x2000 + data.len(),
        ..ElfFile::default()
    };
    let mut bytes = file.bytes();
    bytes[0x1000..0x1000 + code.len()].copy_from_slice(code);
    bytes[0x2000..].copy_from_slice(&data);
    bytes
}
