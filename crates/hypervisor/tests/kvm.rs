//! The KVM back end, driven by hand-assembled ring-3 code.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test file: failing loudly is the point")]

use ampoule_abi::layout::{PAGE_SIZE, SYSTEM_BASE};
use ampoule_abi::port;
use ampoule_hypervisor::BACKENDS;
use ampoule_machine::{
    CpuState, Entry, Exception, Machine, Registers, SystemPages, Trap, Violation, time_stamp,
};
use ampoule_memory::{Access, AddressSpace, FaultOutcome, Protection};
use ampoule_testkit::kvm_is_available;

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x50_0000;
const STACK: u64 = 0x60_0000;

/// `out %al, $doorbell`
const RING: [u8; 2] = [0xe6, 0x51];
/// `jmp .`
const SPIN: [u8; 2] = [0xeb, 0xfe];
/// `movb $1, (%rax)`
const STORE: [u8; 3] = [0xc6, 0x00, 1];

struct Guest {
    machine: Box<dyn Machine>,
    space: AddressSpace,
    pages: SystemPages,
}

impl Guest {
    fn new(parts: &[&[u8]]) -> Self {
        let mut space = AddressSpace::new(256 << 20).unwrap();
        let pages = BACKENDS.select().install_pages(&mut space).unwrap();
        space.map(CODE, PAGE_SIZE, Protection::READ_EXECUTE).unwrap();
        space.load(CODE, &parts.concat()).unwrap();
        space.map(STACK, PAGE_SIZE, Protection::READ_WRITE).unwrap();
        // As sandboxes do: a copy-on-write instance of a sealed image, with room for large leaves.
        Self::over(space.seal().unwrap().instantiate().unwrap(), pages)
    }

    fn over(space: AddressSpace, pages: SystemPages) -> Self {
        let entry = Entry { instruction: CODE, stack: STACK + PAGE_SIZE };
        let machine = BACKENDS.select().machine(&space, &pages, entry).unwrap();
        Self { machine, space, pages }
    }

    fn map(&mut self, pages: u64) {
        self.space.map(DATA, pages * PAGE_SIZE, Protection::READ_WRITE).unwrap();
    }

    fn run(&mut self) -> Trap {
        self.machine.run(&mut self.space).unwrap()
    }

    fn exception(&mut self) -> Exception {
        match self.run() {
            Trap::Exception(exception) => exception,
            other => panic!("expected an exception, got {other:?}"),
        }
    }
}

/// `mov $address, %rax`
fn load_rax(address: u64) -> Vec<u8> {
    [&[0x48, 0xb8][..], &address.to_le_bytes()].concat()
}

#[test]
fn a_doorbell_is_one_run_each_and_resumes() {
    if !kvm_is_available() {
        return;
    }
    let mut guest = Guest::new(&[&RING, &RING, &[0xeb, 0xfa]]);
    for _ in 0..100 {
        assert_eq!(guest.run(), Trap::Doorbell);
    }
}

#[test]
fn a_full_batch_rings_by_a_port_of_its_own() {
    if !kvm_is_available() {
        return;
    }
    let mut guest = Guest::new(&[&[0xe6, port::TRACE], &RING, &SPIN]);
    assert_eq!(guest.run(), Trap::TraceFull);
    assert_eq!(guest.run(), Trap::Doorbell);
}

#[test]
fn the_guests_time_stamp_counter_is_the_hosts() {
    if !kvm_is_available() {
        return;
    }
    // rdtsc; shl $32, %rdx; or %rdx, %rax; mov $DATA, %rbx; mov %rax, (%rbx)
    let read = [0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0];
    let store = [&[0x48, 0xbb][..], &DATA.to_le_bytes(), &[0x48, 0x89, 0x03]].concat();
    let mut guest = Guest::new(&[&read, &store, &RING, &SPIN]);
    guest.map(1);
    let before = time_stamp();
    assert_eq!(guest.run(), Trap::Doorbell);
    let after = time_stamp();
    let mut counter = [0; 8];
    guest.space.read(DATA, &mut counter).unwrap();
    let counter = u64::from_le_bytes(counter);
    assert!((before..=after).contains(&counter), "{counter} in {before}..={after}");
}

#[test]
fn a_system_call_gets_its_arguments_and_returns_its_result() {
    if !kvm_is_available() {
        return;
    }
    // mov $39, %eax; mov $7, %edi; syscall
    let call = [0xb8, 39, 0, 0, 0, 0xbf, 7, 0, 0, 0, 0x0f, 0x05];
    // mov $DATA, %rbx; mov %rax, (%rbx)
    let store = [&[0x48, 0xbb][..], &DATA.to_le_bytes(), &[0x48, 0x89, 0x03]].concat();
    let mut guest = Guest::new(&[&call, &store, &RING, &SPIN]);
    guest.map(1);
    match guest.run() {
        Trap::SystemCall { number, arguments } => assert_eq!((number, arguments[0]), (39, 7)),
        other => panic!("expected a system call, got {other:?}"),
    }
    assert_eq!(guest.machine.position().0, CODE + 12);
    guest.machine.return_from_system_call(-38);
    assert_eq!(guest.run(), Trap::Doorbell);
    let mut result = [0; 8];
    guest.space.read(DATA, &mut result).unwrap();
    assert_eq!(i64::from_le_bytes(result), -38);
}

#[test]
fn a_page_fault_is_repaired_and_the_instruction_retried() {
    if !kvm_is_available() {
        return;
    }
    let mut guest = Guest::new(&[&load_rax(DATA), &STORE, &RING, &SPIN]);
    let fault = guest.exception();
    assert_eq!((fault.vector, fault.fault), (14, Some((DATA, Access::Write))));
    assert_eq!(fault.instruction, CODE + 10);
    assert_eq!(fault.stack, STACK + PAGE_SIZE);
    guest.map(1);
    assert_eq!(guest.space.handle_fault(DATA, Access::Write), FaultOutcome::Repaired);
    assert_eq!(guest.run(), Trap::Doorbell);
    let mut byte = [0];
    guest.space.read(DATA, &mut byte).unwrap();
    assert_eq!(byte, [1]);
}

#[test]
fn hostile_instructions_end_in_the_right_exception() {
    if !kvm_is_available() {
        return;
    }
    for (code, vector) in [
        (&[0x0f_u8, 0x0b][..], 6),      // ud2
        (&[0xf4], 13),                  // hlt
        (&[0x31, 0xc9, 0xf7, 0xf1], 0), // xor %ecx, %ecx; div %ecx
        (&[0x0f, 0x20, 0xc0], 13),      // mov %cr0, %rax
        (&[0x0f, 0x32], 13),            // rdmsr
        (&[0xcc], 3),                   // int3
    ] {
        let exception = Guest::new(&[code, &SPIN]).exception();
        assert_eq!(exception.vector, vector, "{code:x?}");
    }
}

#[test]
fn a_guest_cannot_ring_the_stubs_ports_by_itself() {
    if !kvm_is_available() {
        return;
    }
    for port in [0xee, 0x50, 0x80] {
        // A processor that goes by the I/O bitmap raises a protection fault, others an exit.
        match Guest::new(&[&[0xe6, port], &SPIN]).run() {
            Trap::Violation(Violation::Port { port: found }) => assert_eq!(found, port.into()),
            Trap::Exception(exception) => assert_eq!(exception.vector, 13),
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[test]
fn null_and_the_supervisors_pages_are_out_of_reach() {
    if !kvm_is_available() {
        return;
    }
    for address in [0, SYSTEM_BASE] {
        let mut guest = Guest::new(&[&load_rax(address), &STORE, &SPIN]);
        assert_eq!(guest.exception().fault, Some((address, Access::Write)));
        assert_eq!(guest.space.handle_fault(address, Access::Write), FaultOutcome::Denied);
    }
}

#[test]
fn a_running_guest_sees_withdrawn_and_narrowed_pages() {
    if !kvm_is_available() {
        return;
    }
    // The jump goes back to the first instruction.
    let mut guest = Guest::new(&[&load_rax(DATA), &STORE, &RING, &[0xeb, 0xef]]);
    guest.map(8);
    assert_eq!(guest.run(), Trap::Doorbell);
    guest.space.protect(DATA, PAGE_SIZE, Protection::READ).unwrap();
    assert_eq!(guest.exception().fault, Some((DATA, Access::Write)));
    guest.space.protect(DATA, PAGE_SIZE, Protection::READ_WRITE).unwrap();
    assert_eq!(guest.run(), Trap::Doorbell);
    guest.space.unmap(DATA, PAGE_SIZE).unwrap();
    assert_eq!(guest.exception().fault, Some((DATA, Access::Write)));
    // The page comes back on another frame; the guest must write there and nowhere else.
    guest.space.map(STACK + (1 << 20), PAGE_SIZE, Protection::READ_WRITE).unwrap();
    guest.map(1);
    assert_eq!(guest.run(), Trap::Doorbell);
    let mut bytes = [0; 2];
    guest.space.read(DATA, &mut bytes[..1]).unwrap();
    guest.space.read(STACK + (1 << 20), &mut bytes[1..]).unwrap();
    assert_eq!(bytes, [1, 0]);
    guest.space.relocate(DATA, PAGE_SIZE, DATA + (4 << 20)).unwrap();
    assert_eq!(guest.exception().fault, Some((DATA, Access::Write)));
}

#[test]
fn a_running_guest_sees_changes_to_a_part_of_a_large_leaf() {
    if !kvm_is_available() {
        return;
    }
    const BLOCK: u64 = 2 << 20;
    let area = 16 * BLOCK;
    let stored = area + BLOCK + 5 * PAGE_SIZE;
    // The jump goes back to the first instruction.
    let mut guest = Guest::new(&[&load_rax(stored), &STORE, &RING, &[0xeb, 0xef]]);
    // Small pages come first; a guest that used up a few of them gets large ones.
    guest.space.map(area + 8 * BLOCK, 2 * BLOCK, Protection::READ_WRITE).unwrap();
    for block in 8..10 {
        guest.space.write(area + block * BLOCK, &[1]).unwrap();
    }
    guest.space.map(area, 4 * BLOCK, Protection::READ_WRITE).unwrap();
    assert_eq!(guest.exception().fault, Some((stored, Access::Write)));
    let before = guest.space.committed_bytes();
    assert_eq!(guest.space.handle_fault(stored, Access::Write), FaultOutcome::Repaired);
    assert!(guest.space.committed_bytes() - before >= BLOCK);
    assert_eq!(guest.run(), Trap::Doorbell);
    guest.space.write(stored + PAGE_SIZE, b"neighbour").unwrap();
    guest.space.protect(stored, PAGE_SIZE, Protection::READ).unwrap();
    assert_eq!(guest.exception().fault, Some((stored, Access::Write)));
    guest.space.protect(stored, PAGE_SIZE, Protection::READ_WRITE).unwrap();
    assert_eq!(guest.run(), Trap::Doorbell);
    guest.space.unmap(stored, PAGE_SIZE).unwrap();
    assert_eq!(guest.exception().fault, Some((stored, Access::Write)));
    let mut bytes = [0; 9];
    guest.space.read(stored + PAGE_SIZE, &mut bytes).unwrap();
    assert_eq!(&bytes, b"neighbour");
    // The whole block goes and comes back as another large leaf, empty.
    guest.space.unmap(area, 4 * BLOCK).unwrap();
    guest.space.map(area, 4 * BLOCK, Protection::READ_WRITE).unwrap();
    assert_eq!(guest.exception().fault, Some((stored, Access::Write)));
    assert_eq!(guest.space.handle_fault(stored, Access::Write), FaultOutcome::Repaired);
    assert_eq!(guest.run(), Trap::Doorbell);
    guest.space.read(stored + PAGE_SIZE, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 9]);
    guest.space.read(stored, &mut bytes[..1]).unwrap();
    assert_eq!(bytes[0], 1);
}

#[test]
fn kicks_from_another_thread_are_never_lost() {
    if !kvm_is_available() {
        return;
    }
    let mut guest = Guest::new(&[&SPIN]);
    let kicker = guest.machine.kicker();
    // A kick that comes first ends the next run.
    kicker.kick();
    assert_eq!(guest.run(), Trap::Kicked);
    let (ask, asked) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        while asked.recv().is_ok() {
            kicker.kick();
        }
    });
    for _ in 0..1000 {
        ask.send(()).unwrap();
        assert_eq!(guest.run(), Trap::Kicked);
    }
    drop(ask);
    thread.join().unwrap();
}

#[test]
fn a_kicker_outlives_its_cpu() {
    if !kvm_is_available() {
        return;
    }
    let kicker = Guest::new(&[&SPIN]).machine.kicker();
    kicker.kick();
}

#[test]
fn a_cpu_goes_back_to_a_saved_state() {
    if !kvm_is_available() {
        return;
    }
    // mov $1, %ebx; ring; pcmpeqd %xmm7, %xmm7; mov $2, %ebx; ring; jmp .
    let first = [0xbb, 1, 0, 0, 0];
    let second = [0x66, 0x0f, 0x76, 0xff, 0xbb, 2, 0, 0, 0];
    let mut guest = Guest::new(&[&first, &RING, &second, &RING, &SPIN]);
    assert_eq!(guest.run(), Trap::Doorbell);
    let saved = guest.machine.save(&guest.space).unwrap();
    let image = guest.space.seal().unwrap();
    assert_eq!(saved.registers.rbx, 1);
    assert_eq!(saved.registers.rip, CODE + 7);
    let components = |state: &CpuState| state.extended[..2688].to_vec();
    for _ in 0..3 {
        // Goes on behind the first doorbell, as often as one likes.
        assert_eq!(guest.run(), Trap::Doorbell);
        let after = guest.machine.save(&guest.space).unwrap();
        assert_eq!(after.registers.rbx, 2);
        assert_ne!(components(&after), components(&saved));
        guest.space.restore(&image).unwrap();
        guest.machine.load(&saved, &guest.space).unwrap();
    }
    // Another CPU over the same memory can start there too.
    let mut other = Guest::over(image.instantiate().unwrap(), guest.pages);
    other.machine.load(&saved, &other.space).unwrap();
    assert_eq!(other.run(), Trap::Doorbell);
    assert_eq!(other.machine.save(&other.space).unwrap().registers.rbx, 2);
}

#[test]
fn going_back_resets_everything_that_ring_3_can_change_of_a_cpu() {
    if !kvm_is_available() {
        return;
    }
    // Every general register, the flags, x87, SSE and the segments get other values, then both ring.
    let change: &[u8] = &[
        0x48, 0xc7, 0xc0, 7, 0, 0, 0, // mov $7, %rax
        0x48, 0x89, 0xc3, 0x48, 0x89, 0xc1, 0x48, 0x89, 0xc2, // mov %rax, %rbx/%rcx/%rdx
        0x48, 0x89, 0xc6, 0x48, 0x89, 0xc7, 0x48, 0x89, 0xc5, // mov %rax, %rsi/%rdi/%rbp
        0x49, 0x89, 0xc0, 0x49, 0x89, 0xc1, 0x49, 0x89, 0xc2, 0x49, 0x89, 0xc3, // %r8 to %r11
        0x49, 0x89, 0xc4, 0x49, 0x89, 0xc5, 0x49, 0x89, 0xc6, 0x49, 0x89,
        0xc7, // %r12 to %r15
        0x66, 0x48, 0x0f, 0x6e, 0xc0, 0x66, 0x44, 0x0f, 0x76, 0xf8, // movq %rax, %xmm0; xmm15
        0xd9, 0xe8, // fld1
        0xba, 0x2b, 0, 0, 0, // mov $0x2b, %edx
        0x8e, 0xda, 0x8e, 0xc2, 0x8e, 0xe2, 0x8e, 0xea, // mov %edx, %ds/%es/%fs/%gs
        0xf9, // stc
    ];
    // wrfsbase %rax; wrgsbase %rax, where the processor has them.
    let has_bases = std::arch::x86_64::__cpuid_count(7, 0).ebx & 1 != 0;
    let bases: &[u8] = &[0xf3, 0x48, 0x0f, 0xae, 0xd0, 0xf3, 0x48, 0x0f, 0xae, 0xd8];
    let bases = if has_bases { bases } else { &[] };
    let mut guest = Guest::new(&[&RING, change, bases, &RING, &SPIN]);
    assert_eq!(guest.run(), Trap::Doorbell);
    let saved = guest.machine.save(&guest.space).unwrap();
    let image = guest.space.seal().unwrap();
    guest.space.restore(&image).unwrap();
    assert_eq!(guest.run(), Trap::Doorbell);
    let changed = guest.machine.save(&guest.space).unwrap();
    assert_ne!(changed.registers.r15, saved.registers.r15);
    assert_eq!((changed.fs_base, changed.gs_base), if has_bases { (7, 7) } else { (0, 0) });
    guest.space.restore(&image).unwrap();
    guest.machine.load(&saved, &guest.space).unwrap();
    // Behind the first doorbell stands another one now, which shows the state.
    guest.space.load(CODE + 2, &RING).unwrap();
    assert_eq!(guest.run(), Trap::Doorbell);
    let found = guest.machine.save(&guest.space).unwrap();
    let rip = saved.registers.rip + 2;
    assert_eq!(found.registers, Registers { rip, ..saved.registers });
    assert_eq!((found.fs_base, found.gs_base), (saved.fs_base, saved.gs_base));
    // The legacy region, with the words that tell where the last x87 instruction stood.
    assert_eq!(found.extended[..416], saved.extended[..416]);
}

/// Stores DS, ES, FS and GS, 4 bytes each, and the x87 environment, at `DATA`.
const TELL: &[u8] = &[
    0xbb, 0, 0, 0x50, 0, // mov $DATA, %ebx
    0x8c, 0xd8, 0x89, 0x03, // mov %ds, %eax; mov %eax, (%rbx)
    0x8c, 0xc0, 0x89, 0x43, 4, // mov %es, %eax; mov %eax, 4(%rbx)
    0x8c, 0xe0, 0x89, 0x43, 8, // mov %fs, %eax; mov %eax, 8(%rbx)
    0x8c, 0xe8, 0x89, 0x43, 12, // mov %gs, %eax; mov %eax, 12(%rbx)
    0xd9, 0x73, 32, // fnstenv 32(%rbx)
];

/// What [`TELL`] stored: the selectors, and whether the last x87 instruction was a guest's. A kernel that
/// hides that of another process puts an address of its own in its place (Linux: `X86_BUG_FXSAVE_LEAK`).
fn told(guest: &mut Guest) -> ([u32; 4], bool) {
    let mut bytes = [0; 60];
    guest.space.read(DATA, &mut bytes).unwrap();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    ([0, 4, 8, 12].map(word), u64::from(word(44)) & !(PAGE_SIZE - 1) == CODE)
}

#[test]
fn selectors_and_x87_pointers_reach_neither_another_guest_nor_the_next_run() {
    if !kvm_is_available() {
        return;
    }
    // mov $0x33, %ecx; mov %ecx, %ds/%es/%fs/%gs; fld1
    let change: &[u8] =
        &[0xb9, 0x33, 0, 0, 0, 0x8e, 0xd9, 0x8e, 0xc1, 0x8e, 0xe1, 0x8e, 0xe9, 0xd9, 0xe8];
    let ready = |parts: &[&[u8]]| {
        let mut guest = Guest::new(parts);
        guest.map(1);
        guest.space.write(DATA, &[0; 60]).unwrap();
        guest
    };
    let mut other = ready(&[TELL, &RING, TELL, &RING, &SPIN]);
    // jmp to the change
    let back = [0xeb, u8::try_from(256 - (change.len() + TELL.len() + RING.len() + 2)).unwrap()];
    let mut guest = ready(&[&RING, change, TELL, &RING, &back]);
    let image = guest.space.seal().unwrap();
    let clean = ([0; 4], false);
    assert_eq!(other.run(), Trap::Doorbell);
    assert_eq!(told(&mut other), clean);

    assert_eq!(guest.run(), Trap::Doorbell);
    let saved = guest.machine.save(&guest.space).unwrap();
    // A thread that the host's scheduler interrupts in between comes back with other selectors.
    let changed = (0..100).any(|_| {
        assert_eq!(guest.run(), Trap::Doorbell);
        told(&mut guest) == ([0x33; 4], true)
    });
    assert!(changed);

    // One that ran on this thread before, one that did not, and the guest itself.
    assert_eq!(other.run(), Trap::Doorbell);
    assert_eq!(told(&mut other), clean);
    let mut fresh = ready(&[TELL, &RING, &SPIN]);
    assert_eq!(fresh.run(), Trap::Doorbell);
    assert_eq!(told(&mut fresh), clean);
    guest.space.restore(&image).unwrap();
    guest.machine.load(&saved, &guest.space).unwrap();
    guest.space.load(CODE + 2, &[TELL, &RING].concat()).unwrap();
    assert_eq!(guest.run(), Trap::Doorbell);
    assert_eq!(told(&mut guest), clean);
}

#[test]
fn a_guest_sees_tables_that_a_restore_put_elsewhere() {
    if !kvm_is_available() {
        return;
    }
    // mov (DATA), %rax; mov (%rax), %bl; movb $1, (%rax); ring; again
    let target = [0x48, 0x8b, 0x04, 0x25, 0, 0, 0x50, 0];
    let mut guest = Guest::new(&[&target, &[0x8a, 0x18], &STORE, &RING, &[0xeb, 0xef]]);
    guest.map(1);
    let areas = [1 << 30, 2 << 30, 3 << 30].map(|start: u64| start + 7 * PAGE_SIZE);
    for area in areas {
        guest.space.map(area & !0xfff_ffff, 4 << 20, Protection::READ_WRITE).unwrap();
    }
    guest.space.write(DATA, &areas[0].to_le_bytes()).unwrap();
    let image = guest.space.seal().unwrap();
    let mut guest = Guest::over(image.instantiate().unwrap(), guest.pages);
    // Touches a page and says what was there.
    let touch = |guest: &mut Guest, address: u64| {
        guest.space.write(DATA, &address.to_le_bytes()).unwrap();
        loop {
            match guest.run() {
                Trap::Doorbell => break,
                Trap::Exception(Exception { fault: Some((address, access)), .. }) => {
                    assert_eq!(guest.space.handle_fault(address, access), FaultOutcome::Repaired);
                }
                other => panic!("{other:?}"),
            }
        }
        guest.machine.save(&guest.space).unwrap().registers.rbx & 0xff
    };
    // Tables get their frames in the order of the first touches, which is another one each time.
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0], [0, 2, 1]] {
        for index in order {
            assert_eq!(touch(&mut guest, areas[index]), 0, "{index} of {order:?}");
        }
        assert_eq!(touch(&mut guest, areas[order[0]]), 1);
        // Something of the image changes, so that everything goes back at once.
        guest.space.protect(STACK, PAGE_SIZE, Protection::READ).unwrap();
        assert!(guest.space.restore(&image).unwrap().wholesale);
    }
}
