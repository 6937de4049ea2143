//! Instructions that are not for programs, and exceptions by all means.

use crate::raw::survived;
use ampoule_guest::guest_function;
use std::arch::asm;

/// Functions that execute some instructions, which may change the registers that calls may change.
macro_rules! instructions {
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

instructions! {
    /// GUEST_FAULT: undefined opcode.
    undefined_instruction: "ud2";
    /// GUEST_FAULT: general protection.
    halt: "hlt";
    /// GUEST_FAULT, or survives where IOPL 3 allows it: clears the interrupt flag.
    disable_interrupts: "cli";
    /// TIMEOUT, or GUEST_FAULT: clears the interrupt flag and loops.
    disable_interrupts_and_loop: "cli", "2:", "jmp 2b";
    /// GUEST_FAULT, or survives where IOPL 3 allows it: sets the interrupt flag.
    enable_interrupts: "sti";
    /// GUEST_FAULT: breakpoint.
    breakpoint: "int3";
    /// GUEST_FAULT: the other breakpoint, `icebp`.
    ice_breakpoint: ".byte 0xf1";
    /// GUEST_FAULT: `int 0x80`, Linux's former system call.
    interrupt_80: "int 0x80";
    /// GUEST_FAULT: `int 3` in its long form.
    interrupt_3: "int 3";
    /// GUEST_FAULT: `int 13`, as if there were a general-protection fault.
    interrupt_13: "int 13";
    /// GUEST_FAULT: `int 14`, as if there were a page fault.
    interrupt_14: "int 14";
    /// GUEST_FAULT: `int 8`, as if there were a double fault.
    interrupt_8: "int 8";
    /// GUEST_FAULT: `int 2`, as if there were a non-maskable interrupt.
    interrupt_2: "int 2";
    /// GUEST_FAULT: `int 32`, the first vector of the machine's own.
    interrupt_32: "int 32";
    /// GUEST_FAULT: `int 255`.
    interrupt_255: "int 0xff";

    /// GUEST_FAULT: reads a model-specific register.
    read_msr: "mov ecx, 0xc0000080", "rdmsr";
    /// GUEST_FAULT: writes LSTAR, where system calls go.
    write_msr: "mov ecx, 0xc0000082", "xor eax, eax", "xor edx, edx", "wrmsr";
    /// GUEST_FAULT: reads CR0.
    read_cr0: "mov rax, cr0";
    /// GUEST_FAULT: writes CR0.
    write_cr0: "xor eax, eax", "mov cr0, rax";
    /// GUEST_FAULT: reads CR3, where the page tables are.
    read_cr3: "mov rax, cr3";
    /// GUEST_FAULT: writes CR3.
    write_cr3: "xor eax, eax", "mov cr3, rax";
    /// GUEST_FAULT: writes CR4.
    write_cr4: "xor eax, eax", "mov cr4, rax";
    /// GUEST_FAULT: writes CR8, the task priority.
    write_cr8: "xor eax, eax", "mov cr8, rax";
    /// GUEST_FAULT: writes a debug register.
    write_dr7: "xor eax, eax", "mov dr7, rax";
    /// GUEST_FAULT: loads a global descriptor table.
    load_gdt: "lgdt [rsp]";
    /// GUEST_FAULT: loads an interrupt descriptor table.
    load_idt: "lidt [rsp]";
    /// GUEST_FAULT: loads a local descriptor table.
    load_ldt: "xor eax, eax", "lldt ax";
    /// GUEST_FAULT: loads the task register.
    load_task_register: "mov eax, 0x40", "ltr ax";
    /// GUEST_FAULT with UMIP, else survives: reads where the interrupt descriptor table is.
    store_idt: "sub rsp, 16", "sidt [rsp]", "add rsp, 16";
    /// GUEST_FAULT: clears the task-switched flag.
    clear_task_switched: "clts";
    /// GUEST_FAULT: invalidates a translation.
    invalidate_page: "invlpg [rsp]";
    /// GUEST_FAULT: writes back and invalidates all caches.
    invalidate_caches: "wbinvd";
    /// GUEST_FAULT: writes XCR0, the enabled state components.
    write_xcr0: "xor ecx, ecx", "mov eax, 7", "xor edx, edx", "xsetbv";
    /// GUEST_FAULT: swaps the GS base with the kernel's.
    swap_gs: "swapgs";
    /// GUEST_FAULT: returns from a system call that there was none of.
    sysret: "lea rcx, [rip + 2f]", "mov r11, 0x202", "sysretq", "2:";
    /// GUEST_FAULT: enters a kernel by the other way.
    sysenter: "sysenter";
    /// GUEST_FAULT, or survives: Intel's hypercall.
    vmcall: "xor eax, eax", "vmcall";
    /// GUEST_FAULT, or survives: AMD's hypercall.
    vmmcall: "xor eax, eax", "vmmcall";
    /// GUEST_FAULT: AMD's instruction that runs a virtual machine.
    vmrun: "xor eax, eax", "vmrun";
    /// GUEST_FAULT: Intel's instruction that turns virtualisation on.
    vmxon: "vmxon [rsp]";
    /// GUEST_FAULT: reads a performance counter.
    read_performance_counter: "xor ecx, ecx", "rdpmc";
    /// GUEST_FAULT: waits for a write to memory.
    monitor: "mov rax, rsp", "xor ecx, ecx", "xor edx, edx", "monitor", "mwait";

    /// GUEST_FAULT: divides by zero.
    divide_by_zero: "xor edx, edx", "mov eax, 1", "xor ecx, ecx", "div ecx";
    /// GUEST_FAULT: divides so that the quotient does not fit.
    divide_overflow: "mov rax, 0x8000000000000000", "cqo", "mov rcx, -1", "idiv rcx";
    /// GUEST_FAULT: an aligned access that is not.
    unaligned_sse: "movaps xmm0, [rsp + 1]", "movaps xmm0, [rsp + 2]";
    /// GUEST_FAULT, or survives where CR0.AM is clear: an unaligned access with alignment checks on.
    alignment_check: "pushfq", "or qword ptr [rsp], 0x40000", "popfq", "mov rax, [rsp - 15]",
        "pushfq", "and qword ptr [rsp], 0xfffffffffffbffff", "popfq";
    /// GUEST_FAULT: a single-step trap.
    single_step: "pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop", "nop";
    /// GUEST_FAULT, or survives: a system call (getpid) while single-stepping.
    single_step_system_call: "pushfq", "or qword ptr [rsp], 0x100", "mov eax, 39", "popfq",
        "syscall", "nop";
    /// GUEST_FAULT: a breakpoint while single-stepping.
    single_step_breakpoint: "pushfq", "or qword ptr [rsp], 0x100", "popfq", "int3";
    /// survives: asks for another IOPL, which programs cannot have, and rings nothing.
    change_io_privilege: "pushfq", "and qword ptr [rsp], 0xffffffffffffcfff", "popfq", "pushfq",
        "or qword ptr [rsp], 0x3000", "popfq";
    /// GUEST_FAULT: returns from a nested task that there is none of.
    nested_task: "pushfq", "or qword ptr [rsp], 0x4000", "popfq", "iretq";
    /// survives, or GUEST_FAULT: `iretq` to itself, which programs may.
    interrupt_return: "mov rax, rsp", "push 0x2b", "push rax", "pushfq", "push 0x33",
        "lea rax, [rip + 2f]", "push rax", "iretq", "2:";
    /// GUEST_FAULT: `iretq` into ring 0.
    interrupt_return_to_kernel: "mov rax, rsp", "push 0x18", "push rax", "pushfq", "push 0x10",
        "lea rax, [rip + 2f]", "push rax", "iretq", "2:";
    /// GUEST_FAULT: a far return into ring 0.
    far_return_to_kernel: "push 0x10", "lea rax, [rip + 2f]", "push rax", "retfq", "2:";
    /// GUEST_FAULT: a far return into 32-bit mode and a privileged instruction there.
    far_return_to_32_bit: "push 0x23", "lea rax, [rip + 2f]", "push rax", "retfq", "2:", "hlt";
    /// GUEST_FAULT: the kernel's data segment.
    load_kernel_segment: "mov eax, 0x18", "mov ds, ax";
    /// GUEST_FAULT: a stack segment of another ring.
    load_kernel_stack_segment: "mov eax, 0x18", "mov ss, ax";
    /// GUEST_FAULT, or survives on a processor that QEMU emulates: an unmasked floating-point exception of SSE.
    sse_exception: "sub rsp, 16", "mov dword ptr [rsp], 0x1d80", "ldmxcsr [rsp]", "xorps xmm0, xmm0",
        "pcmpeqd xmm1, xmm1", "pslld xmm1, 25", "psrld xmm1, 2", "divps xmm1, xmm0", "add rsp, 16";
    /// GUEST_FAULT, or survives on a processor that QEMU emulates: a reserved bit of the SSE control register.
    sse_control: "sub rsp, 16", "mov dword ptr [rsp], 0xffffffff", "ldmxcsr [rsp]", "add rsp, 16";
    /// GUEST_FAULT: an unmasked floating-point exception of x87.
    x87_exception: "sub rsp, 16", "mov word ptr [rsp], 0x360", "fldcw [rsp]", "fld1", "fldz",
        "fdivp", "fwait", "add rsp, 16";

    /// GUEST_FAULT: a push without a stack.
    stack_pointer_null: "xor esp, esp", "push rax";
    /// GUEST_FAULT: a push to a non-canonical stack.
    stack_pointer_non_canonical: "mov rsp, 0x8000000000000000", "push rax";
    /// GUEST_FAULT: an undefined opcode while the stack pointer points into the system pages.
    fault_on_system_stack: "mov rsp, 0x7f80001000", "ud2";
    /// GUEST_FAULT: a page fault while the stack pointer is bad, then another.
    nested_fault: "mov rsp, 0x10", "mov rax, [rsp]", "push rax", "ud2";
    /// GUEST_FAULT: a system call (getpid) without a stack, which works, then a push.
    system_call_without_stack: "xor esp, esp", "mov eax, 39", "syscall", "push rax";
    /// TIMEOUT: a jump to itself.
    infinite_loop: "2:", "jmp 2b";
    /// TIMEOUT: waits politely for what never comes.
    infinite_pause: "2:", "pause", "jmp 2b";
    /// TIMEOUT: reads the clock for ever.
    infinite_clock: "2:", "rdtsc", "jmp 2b";
    /// TIMEOUT: asks what processor this is for ever.
    infinite_cpuid: "2:", "xor eax, eax", "push rbx", "cpuid", "pop rbx", "jmp 2b";
    /// TIMEOUT: flushes a cache line for ever.
    infinite_flush: "2:", "clflush [rsp]", "jmp 2b";
}

/// GUEST_FAULT, or survives where the instruction exists: sets FS to a bad base and uses it.
#[guest_function]
fn bad_thread_pointer() -> String {
    unsafe { asm!("mov rax, 0x1000", "wrfsbase rax", "mov rax, fs:[0]", clobber_abi("C")) };
    survived()
}
