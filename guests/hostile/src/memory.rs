//! Memory that is not the guest's, or not for that.

use crate::raw::{areas, call, control_page, load, store, survived};
use ampoule_abi::layout::{CHANNEL_BASE, PAGE_SIZE, STACK_TOP, SYSTEM_BASE, USER_END};
use ampoule_guest::guest_function;
use std::hint::black_box;

/// Reads an address and says what it was.
fn read(address: u64) -> String {
    format!("read {}", load(address))
}

fn write(address: u64) -> String {
    store(address, 0xcc);
    survived()
}

fn jump(address: u64) -> String {
    call(address);
    survived()
}

/// GUEST_FAULT: page fault, read at 0.
#[guest_function]
fn read_null() -> String {
    read(0)
}

/// GUEST_FAULT: page fault, write at 0.
#[guest_function]
fn write_null() -> String {
    write(0)
}

/// GUEST_FAULT: page fault, execute at 0.
#[guest_function]
fn jump_to_null() -> String {
    jump(0)
}

/// GUEST_FAULT or `read ..`: reads at an address of the caller's choice.
#[guest_function]
fn read_at(address: u64) -> String {
    read(address)
}

/// GUEST_FAULT or survives: writes at an address of the caller's choice.
#[guest_function]
fn write_at(address: u64) -> String {
    write(address)
}

/// GUEST_FAULT mostly: calls an address of the caller's choice.
#[guest_function]
fn jump_to(address: u64) -> String {
    jump(address)
}

/// GUEST_FAULT: reads memory that nothing is mapped to, between heap and stack.
#[guest_function]
fn read_unmapped() -> String {
    read(0x40_0000_0000)
}

/// GUEST_FAULT: reads above the guest's address space, still canonical.
#[guest_function]
fn read_above_user_space() -> String {
    read(USER_END)
}

/// GUEST_FAULT: reads the upper half, where a kernel would be.
#[guest_function]
fn read_upper_half() -> String {
    read(0xffff_8000_0000_0000)
}

/// GUEST_FAULT: general protection, a read at a non-canonical address.
#[guest_function]
fn read_non_canonical() -> String {
    read(0x8000_0000_0000_0000)
}

/// GUEST_FAULT: general protection, a write at a non-canonical address.
#[guest_function]
fn write_non_canonical() -> String {
    write(0x0000_8000_0000_0000)
}

/// GUEST_FAULT: general protection, a jump to a non-canonical address.
#[guest_function]
fn jump_non_canonical() -> String {
    jump(0x1234_5678_9abc_def0)
}

/// GUEST_FAULT: reads the descriptor tables.
#[guest_function]
fn read_system_pages() -> String {
    read(SYSTEM_BASE)
}

/// GUEST_FAULT: writes into each of the first 16 system pages; the first must fault.
#[guest_function]
fn write_system_pages() -> String {
    (0..16).for_each(|page| store(SYSTEM_BASE + page * PAGE_SIZE, 0xcc));
    survived()
}

/// GUEST_FAULT mostly: jumps into the system pages at an offset. At the system-call stub this is a
/// system call by other means.
#[guest_function]
fn jump_into_system_pages(offset: u64) -> String {
    jump(SYSTEM_BASE.wrapping_add(offset))
}

/// GUEST_FAULT: writes over its own code.
#[guest_function]
fn write_code() -> String {
    write(write_code as *const () as u64)
}

/// GUEST_FAULT: writes into constants.
#[guest_function]
fn write_constant() -> String {
    static CONSTANT: [u8; 16] = *b"a constant array";
    write(black_box(&CONSTANT).as_ptr() as u64)
}

/// GUEST_FAULT: executes the heap.
#[guest_function]
fn execute_heap() -> String {
    let code = black_box(vec![0xc3_u8; 64]);
    jump(code.as_ptr() as u64)
}

/// GUEST_FAULT: executes the stack.
#[guest_function]
fn execute_stack() -> String {
    let code = black_box([0xc3_u8; 64]);
    jump(code.as_ptr() as u64)
}

/// GUEST_FAULT: executes a static variable.
#[guest_function]
fn execute_data() -> String {
    static mut CODE: [u8; 64] = [0xc3; 64];
    jump((&raw const CODE) as u64)
}

/// GUEST_FAULT: executes the channel.
#[guest_function]
fn execute_channel() -> String {
    let [_, (to_host, _), _] = areas();
    store(to_host + 2048, 0xc3);
    jump(to_host + 2048)
}

/// GUEST_FAULT: writes into the control page.
#[guest_function]
fn write_control_page() -> String {
    write(control_page())
}

/// GUEST_FAULT: writes into the host's half of the channel.
#[guest_function]
fn write_to_guest_area() -> String {
    let [(to_guest, _), ..] = areas();
    write(to_guest)
}

/// GUEST_FAULT: reads before the channel.
#[guest_function]
fn read_before_channel() -> String {
    read(CHANNEL_BASE - 1)
}

/// GUEST_FAULT: writes behind the last area of the channel.
#[guest_function]
fn write_behind_channel() -> String {
    write(areas().map(|(address, size)| address + size).into_iter().fold(0, u64::max))
}

/// GUEST_FAULT: writes above the stack's top.
#[guest_function]
fn write_above_stack() -> String {
    write(STACK_TOP)
}

/// GUEST_FAULT: page fault below the stack, by recursion without end.
#[guest_function]
fn stack_overflow() -> u64 {
    fn recurse(depth: u64) -> u64 {
        let frame = black_box([depth; 128]);
        if depth == u64::MAX { 0 } else { recurse(depth + 1) + frame[0] }
    }
    recurse(0)
}

/// MEMORY_LIMIT: takes and fills memory without end. (GUEST_EXITED where the C library gives up
/// first, because it is told that there is no more.)
#[guest_function]
fn heap_exhaustion() -> u64 {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    loop {
        blocks.push(vec![1; 1 << 20]);
        black_box(&blocks);
    }
}

/// survives, or MEMORY_LIMIT: takes memory until there is no more and gives the number of MiB.
#[guest_function]
fn heap_exhaustion_handled() -> usize {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut block = Vec::new();
        if block.try_reserve_exact(1 << 20).is_err() {
            return blocks.len();
        }
        block.resize(1 << 20, 1);
        blocks.push(black_box(block));
    }
}

/// GUEST_FAULT: copies by one instruction from good memory into the distance.
#[guest_function]
fn copy_without_end() -> String {
    let block = black_box(vec![1_u8; 4096]);
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") u64::MAX => _,
            inout("rsi") block.as_ptr() => _,
            inout("rdi") block.as_ptr() => _,
        );
    }
    survived()
}
