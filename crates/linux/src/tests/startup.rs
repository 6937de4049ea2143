//! The stack that a program starts with.

use crate::{ARGUMENT_MAX, Personality, STACK_MAX, STACK_MIN, Start, StartError, StringList};
use ampoule_abi::channel::AT_AMPOULE;
use ampoule_abi::layout::{CHANNEL_BASE, STACK_TOP};
use ampoule_memory::AddressSpace;

fn word(space: &mut AddressSpace, at: u64) -> u64 {
    let mut bytes = [0; 8];
    space.read(at, &mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

fn text(space: &mut AddressSpace, at: u64) -> Vec<u8> {
    space.read_until_nul(at, 4096).unwrap().unwrap()
}

fn start(start: Start) -> Result<(AddressSpace, u64), StartError> {
    let mut space = AddressSpace::new(32 << 20).unwrap();
    let (_, stack) = Personality::start(&mut space, start)?;
    Ok((space, stack.stack_pointer))
}

#[test]
fn the_stack_is_as_linux_makes_it() {
    // Every parity of the number of words must leave the pointer aligned.
    for arguments in 0..4_usize {
        for environment in 0..3_usize {
            let (mut space, pointer) = start(Start {
                executable: b"/bin/tool".to_vec(),
                arguments: (0..arguments).map(|at| format!("argument {at}").into()).collect(),
                environment: (0..environment).map(|at| format!("NAME{at}=v").into()).collect(),
                program_headers: 0x40_0040,
                program_header_count: 9,
                entry: 0x40_1000,
                channel: Some(CHANNEL_BASE),
                hwcap: 0x1f8b_fbff,
                ..Start::default()
            })
            .unwrap();
            assert_eq!(pointer % 16, 0);
            assert!(pointer < STACK_TOP);
            let mut at = pointer;
            let mut next = || {
                at += 8;
                word(&mut space, at - 8)
            };
            assert_eq!(next(), arguments as u64);
            let given: Vec<_> = (0..arguments).map(|_| next()).collect();
            assert_eq!(next(), 0);
            let variables: Vec<_> = (0..environment).map(|_| next()).collect();
            assert_eq!(next(), 0);
            let mut auxiliary = Vec::new();
            loop {
                let (kind, value) = (next(), next());
                auxiliary.push((kind, value));
                if kind == 0 {
                    break;
                }
            }
            for (index, address) in given.into_iter().enumerate() {
                assert_eq!(text(&mut space, address), format!("argument {index}").as_bytes());
            }
            for (index, address) in variables.into_iter().enumerate() {
                assert_eq!(text(&mut space, address), format!("NAME{index}=v").as_bytes());
            }
            let kinds: Vec<_> = auxiliary.iter().map(|entry| entry.0).collect();
            let ours = AT_AMPOULE;
            assert_eq!(
                kinds,
                [16, 6, 17, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 23, 25, 26, 31, 15, ours, 0]
            );
            let value = |kind| auxiliary.iter().find(|entry| entry.0 == kind).unwrap().1;
            assert_eq!((value(3), value(4), value(5)), (0x40_0040, 56, 9));
            assert_eq!((value(9), value(6), value(17)), (0x40_1000, 4096, 100));
            assert_eq!((value(AT_AMPOULE), value(16)), (CHANNEL_BASE, 0x1f8b_fbff));
            assert_eq!(text(&mut space, value(31)), b"/bin/tool");
            assert_eq!(text(&mut space, value(15)), b"x86_64");
            assert_ne!(word(&mut space, value(25)), 0, "AT_RANDOM");
        }
    }
}

#[test]
fn the_stack_ends_in_a_guard() {
    let (mut space, _) = start(Start { stack_bytes: 100_000, ..Start::default() }).unwrap();
    let lowest = STACK_TOP - 102_400;
    space.write(lowest, b"x").unwrap();
    assert!(space.write(lowest - 1, b"x").is_err());
    assert!(space.write(STACK_TOP, b"x").is_err());
}

#[test]
fn without_a_channel_there_is_no_entry_for_it() {
    let (mut space, pointer) = start(Start::default()).unwrap();
    let words: Vec<_> = (pointer..STACK_TOP).step_by(8).map(|at| word(&mut space, at)).collect();
    assert!(!words.contains(&AT_AMPOULE));
}

#[test]
fn what_does_not_fit_is_refused() {
    let long = vec![b'a'; ARGUMENT_MAX];
    let error = |with: Start| start(with).map(|_| ()).unwrap_err();
    assert_eq!(
        error(Start { arguments: vec![b"a".to_vec(), long.clone()], ..Start::default() }),
        StartError::StringTooLong {
            list: StringList::Arguments,
            index: 1,
            bytes: ARGUMENT_MAX,
            limit: ARGUMENT_MAX - 1
        }
    );
    assert_eq!(
        error(Start { environment: vec![b"A=\0".to_vec()], ..Start::default() }),
        StartError::NulByte { list: StringList::Environment, index: 0 }
    );
    let many = vec![long[1..].to_vec(); 20];
    assert!(matches!(
        error(Start { environment: many, ..Start::default() }),
        StartError::ArgumentsTooLarge { .. }
    ));
    let many_short = vec![Vec::new(); 3000];
    assert!(matches!(
        error(Start { arguments: many_short, stack_bytes: STACK_MIN, ..Start::default() }),
        StartError::ArgumentsTooLarge { .. }
    ));
    for bytes in [0, STACK_MIN - 4096, STACK_MAX + 1, u64::MAX] {
        let error = error(Start { stack_bytes: bytes, ..Start::default() });
        assert!(matches!(error, StartError::StackSize { .. }), "{error}");
    }
    for break_start in [u64::MAX, STACK_TOP] {
        let error = error(Start { break_start, ..Start::default() });
        assert_eq!(error, StartError::BreakOutOfRange { break_start });
    }
}

#[test]
fn a_full_quarter_of_arguments_fits() {
    let arguments = vec![vec![b'a'; 1000]; 15];
    start(Start { arguments, stack_bytes: STACK_MIN, ..Start::default() }).unwrap();
}
