//! The interpreter at the seam: every trap, and everything that a machine can be asked.

use super::Register::{Rax, Rbx, Rcx, Rdx};
use super::{ABSENT, Assembler, INTERPRETER};
use ampoule_abi::layout::PAGE_SIZE;
use ampoule_abi::port;
use ampoule_machine::{Entry, Exception, Machine, MachineError, Trap, Violation};
use ampoule_memory::{Access, AddressSpace, FaultOutcome, Protection};

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x50_0000;
const STACK: u64 = 0x60_0000;

struct Guest {
    machine: Box<dyn Machine>,
    space: AddressSpace,
}

impl Guest {
    fn new(write: impl FnOnce(&mut Assembler)) -> Self {
        let backend = INTERPRETER.select();
        assert_eq!(backend.name(), "interpreter");
        let mut code = Assembler::default();
        write(&mut code);
        let mut space = AddressSpace::new(1 << 20).unwrap();
        backend.install_pages(&mut space).unwrap();
        space.map(CODE, PAGE_SIZE, Protection::READ_EXECUTE).unwrap();
        space.load(CODE, &code.finish()).unwrap();
        let image = space.seal().unwrap();
        let pages = backend.find_pages(&image).unwrap();
        let space = image.instantiate().unwrap();
        let entry = Entry { instruction: CODE, stack: STACK };
        let machine = backend.machine(&space, &pages, entry).unwrap();
        assert!(machine.is_sound() && machine.has_affinity_here() && machine.stands_on(&pages));
        Self { machine, space }
    }

    fn run(&mut self) -> Trap {
        self.machine.run(&mut self.space).unwrap()
    }
}

#[test]
fn a_doorbell_and_a_full_batch_resume_behind_the_out() {
    let mut guest = Guest::new(|code| {
        code.label("again").out(port::DOORBELL).out(port::TRACE).jump("again");
    });
    for _ in 0..3 {
        assert_eq!(guest.run(), Trap::Doorbell);
        assert_eq!(guest.machine.position(), (CODE + 2, STACK));
        assert_eq!(guest.run(), Trap::TraceFull);
    }
}

#[test]
fn a_system_call_gets_its_arguments_and_returns_its_result() {
    let mut guest = Guest::new(|code| {
        code.set(Rax, 39).set(Rdx, 3).system_call().copy(Rbx, Rax).system_call();
    });
    assert_eq!(guest.run(), Trap::SystemCall { number: 39, arguments: [0, 0, 3, 0, 0, 0] });
    assert_eq!(guest.machine.position().0, CODE + 22);
    guest.machine.return_from_system_call(-38);
    let Trap::SystemCall { number, .. } = guest.run() else { panic!("no system call") };
    assert_eq!(number.cast_signed(), -38);
    let state = guest.machine.save(&guest.space).unwrap();
    assert_eq!(state.registers.rbx.cast_signed(), -38);
}

#[test]
fn faults_are_told_with_their_access_and_repaired_where_there_is_memory() {
    let mut guest = Guest::new(|code| {
        code.set(Rbx, DATA).store(Rbx, 0, Rbx).load(Rax, Rbx, 0).out(port::DOORBELL);
        code.set(Rbx, 0).load_8(Rax, Rbx, 0);
    });
    let Trap::Exception(exception) = guest.run() else { panic!("no exception") };
    assert_eq!(exception.fault, Some((DATA, Access::Write)));
    assert_eq!((exception.vector, exception.instruction), (14, CODE + 10));
    guest.space.map(DATA, PAGE_SIZE, Protection::READ_WRITE).unwrap();
    assert_eq!(guest.space.handle_fault(DATA, Access::Write), FaultOutcome::Repaired);
    assert_eq!(guest.run(), Trap::Doorbell);
    assert_eq!(guest.machine.save(&guest.space).unwrap().registers.rax, DATA);
    // What it wrote is known to be dirty.
    assert!(guest.space.was_used(DATA, DATA + PAGE_SIZE));
    let Trap::Exception(exception) = guest.run() else { panic!("no exception") };
    assert_eq!(exception.fault, Some((0, Access::Read)));

    let mut guest = Guest::new(|code| {
        code.place("nowhere", 0x1000).jump("nowhere");
    });
    let Trap::Exception(exception) = guest.run() else { panic!("no exception") };
    assert_eq!(exception.fault, Some((CODE + 0x1000, Access::Execute)));
}

#[test]
fn an_instruction_that_is_none_is_an_exception_at_its_place() {
    let mut guest = Guest::new(|code| {
        code.undefined();
    });
    for _ in 0..2 {
        let trap = guest.run();
        let Trap::Exception(Exception { vector, instruction, fault: None, .. }) = trap else {
            panic!("{trap:?}")
        };
        assert_eq!((vector, instruction), (6, CODE));
    }
}

#[test]
fn violations_and_errors_leave_no_sound_machine() {
    let cases = [
        (0xfff0, Some(Violation::Halt)),
        (0xfff1, Some(Violation::Shutdown)),
        (0xfff2, Some(Violation::Unbacked)),
        (0xfff3, Some(Violation::Unrunnable { code: 1 })),
        (0xfff4, None),
        (0x3f8, Some(Violation::Port { port: 0x3f8 })),
    ];
    for (port, violation) in cases {
        let mut guest = Guest::new(|code| {
            code.set(Rdx, port).out_dx();
        });
        match (guest.machine.run(&mut guest.space), violation) {
            (Ok(Trap::Violation(found)), Some(violation)) => assert_eq!(found, violation),
            (Err(MachineError::Refused { by, operation, .. }), None) => {
                assert_eq!((by, operation), ("the interpreter", "go on"));
            }
            (other, _) => panic!("{port:#x}: {other:?}"),
        }
        assert!(!guest.machine.is_sound());
    }
}

#[test]
fn a_kick_ends_the_run_or_else_the_next_one_unless_it_is_forgotten() {
    let mut guest = Guest::new(|code| {
        code.set(Rcx, 3).label("count").add(Rcx, -1).jump_if_not("count").out(port::DOORBELL);
        code.label("spin").jump("spin");
    });
    let kicker = guest.machine.kicker();
    kicker.kick();
    assert_eq!(guest.run(), Trap::Kicked);
    kicker.kick();
    guest.machine.forget_kicks();
    assert_eq!(guest.run(), Trap::Doorbell);
    let thread = std::thread::spawn(move || kicker.kick());
    assert_eq!(guest.run(), Trap::Kicked);
    thread.join().unwrap();
}

#[test]
fn a_machine_goes_back_to_a_saved_state() {
    let mut guest = Guest::new(|code| {
        code.out(port::DOORBELL).fs_base(Rbx).out(port::DOORBELL).compare(Rbx, 5);
        code.jump_if_equal("five").undefined().label("five").out(port::TRACE);
    });
    assert_eq!(guest.run(), Trap::Doorbell);
    let saved = guest.machine.save(&guest.space).unwrap();
    guest.machine.set_fs_base(5);
    assert_eq!(guest.run(), Trap::Doorbell);
    assert_eq!(guest.run(), Trap::TraceFull);
    guest.machine.load(&saved, &guest.space).unwrap();
    assert_eq!(guest.machine.save(&guest.space).unwrap(), saved);
    assert_eq!(guest.run(), Trap::Doorbell);
    assert!(matches!(guest.run(), Trap::Exception(Exception { vector: 6, .. })));
}

#[test]
fn where_there_is_nothing_to_use_whatever_is_asked_says_so() {
    let backend = ABSENT.select();
    let mut space = AddressSpace::new(1 << 20).unwrap();
    let pages = backend.install_pages(&mut space).unwrap();
    let entry = Entry { instruction: CODE, stack: STACK };
    let errors = [
        backend.open().map_err(|error| error.to_string()),
        backend.features().map(|_| ()).map_err(|error| error.to_string()),
        backend.machine(&space, &pages, entry).map(|_| ()).map_err(|error| error.to_string()),
    ];
    for error in errors {
        assert_eq!(error, Err("no usable interpreter: there is none".to_owned()));
    }
    assert_eq!(backend.probe().availability.remedy(), "write one");
    assert_ne!(ABSENT, INTERPRETER);
    assert_eq!(INTERPRETER.feature_sources().collect::<Vec<_>>(), ["interpreter"]);
    assert!(INTERPRETER.thread_change_cost().is_zero());
}
