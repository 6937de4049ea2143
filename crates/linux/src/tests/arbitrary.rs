//! Whatever a guest asks for: no panic, no touch of what is the host's, no unbounded host memory.

use super::{Guest, SCRATCH, SCRATCH_BYTES};
use crate::calls::table::entries::ENTRIES;
use crate::{Answer, OUTPUT_HIGH_WATER, OutputStream, SystemCall, WaitFor};
use ampoule_abi::layout::{
    CHANNEL_BASE, HOST_END, MMAP_TOP, NULL_GUARD_END, PAGE_SIZE, PIE_BASE, STACK_TOP, SYSTEM_BASE,
    USER_END,
};
use ampoule_memory::Protection;
use proptest::prelude::*;

/// Numbers that sit on some edge.
pub(super) fn argument() -> impl Strategy<Value = u64> {
    let pages = (0_u64..64).prop_map(|pages| pages * PAGE_SIZE);
    let edges = prop::sample::select(vec![
        0,
        NULL_GUARD_END,
        PIE_BASE,
        SCRATCH,
        SCRATCH + SCRATCH_BYTES,
        MMAP_TOP,
        CHANNEL_BASE,
        STACK_TOP,
        STACK_TOP - (8 << 20),
        SYSTEM_BASE,
        HOST_END,
        USER_END,
        1 << 47,
        u64::MAX,
        u64::MAX << 12,
    ]);
    let near = (edges.clone(), -9_i64..9).prop_map(|(edge, by)| edge.wrapping_add_signed(by));
    let near_pages =
        (edges, pages.clone(), any::<bool>()).prop_map(|(edge, pages, below)| match below {
            true => edge.wrapping_sub(pages),
            false => edge.wrapping_add(pages),
        });
    prop_oneof![
        4 => 0_u64..16,
        2 => (0_u32..64).prop_map(|bit| 1 << bit),
        2 => 0_u64..5000,
        3 => (0..SCRATCH_BYTES).prop_map(|offset| SCRATCH + offset),
        2 => near,
        3 => near_pages,
        2 => pages,
        1 => any::<u64>(),
        1 => any::<u32>().prop_map(u64::from),
        1 => any::<i32>().prop_map(|value| i64::from(value).cast_unsigned()),
    ]
}

pub(super) fn system_call() -> impl Strategy<Value = SystemCall> {
    let number = prop_oneof![
        8 => (0..ENTRIES.len()).prop_map(|at| u64::from(ENTRIES[at].number)),
        // Memory calls and their like, more often.
        4 => prop::sample::select(vec![9_u64, 10, 11, 12, 25, 28, 0, 1, 19, 20, 257, 32, 33, 293]),
        1 => any::<u64>(),
    ];
    (number, prop::array::uniform6(argument()))
        .prop_map(|(number, arguments)| SystemCall { number, arguments })
}

/// Memory that a guest has no say over: pages as the sandbox would place them.
const KEPT: [(u64, u64); 3] =
    [(CHANNEL_BASE, 4 * PAGE_SIZE), (SYSTEM_BASE, 2 * PAGE_SIZE), (MMAP_TOP, PAGE_SIZE)];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn arbitrary_calls_stay_inside(
        calls in prop::collection::vec(system_call(), 1..60),
        contents in prop::collection::vec(any::<u8>(), 256),
        small in prop::collection::vec(prop::array::uniform2(argument()), 16),
    ) {
        let mut guest = Guest::with_files(&[("/etc/file", "contents"), ("/f", "")]);
        for (start, length) in KEPT {
            guest.space.map(start, length, Protection::READ).unwrap();
            guest.space.load(start, &[0x5a; 64]).unwrap();
        }
        // Something to point at: noise, vectors, and paths at every offset.
        for at in (0..SCRATCH_BYTES).step_by(8192) {
            guest.space.write(SCRATCH + at, &contents).unwrap();
            let words: Vec<u8> = small.iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
            guest.space.write(SCRATCH + at + 1024, &words).unwrap();
            guest.space.write(SCRATCH + at + 4096, b"/proc/self/fd/0/../../../etc/file\0").unwrap();
        }
        for call in &calls {
            let answer = guest.make(call);
            prop_assert!(guest.personality.pending_output() <= OUTPUT_HIGH_WATER);
            match answer {
                Answer::Wait(WaitFor::Input { wanted }) => {
                    prop_assert!(wanted > 0);
                    guest.personality.provide_input(b"input".to_vec());
                }
                Answer::Wait(WaitFor::OutputRoom) => {
                    guest.personality.take_output(OutputStream::Stdout);
                    guest.personality.take_output(OutputStream::Stderr);
                }
                Answer::Wait(WaitFor::Time { nanoseconds }) => guest.advance(nanoseconds.min(1 << 60)),
                Answer::Return(value) => prop_assert!(value >= -133, "{value} is no errno"),
                _ => {}
            }
            for (start, length) in KEPT {
                prop_assert!(guest.space.is_mapped(start, length));
                prop_assert_eq!(guest.space.protection_at(start), Some(Protection::READ));
                let mut bytes = [0; 64];
                guest.space.read(start, &mut bytes).unwrap();
                prop_assert_eq!(bytes, [0x5a; 64]);
            }
            // The null guard, and the holes around what is kept, stay holes.
            prop_assert!(guest.space.protection_at(0).is_none());
            prop_assert!(guest.space.protection_at(NULL_GUARD_END - 1).is_none());
            prop_assert!(guest.space.protection_at(CHANNEL_BASE - 1).is_none());
            prop_assert!(guest.space.protection_at(SYSTEM_BASE - 1).is_none());
            prop_assert!(guest.space.protection_at(STACK_TOP).is_none());
            prop_assert!(guest.space.protection_at(HOST_END - 1).is_none());
        }
    }
}
