//! Random sequences of operations against a model that keeps a byte and rights for every unit: a page,
//! or so many that large leaves come and go.

use ampoule_abi::layout::PAGE_SIZE;
use ampoule_memory::{AddressSpace, MapError, Protection};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

const START: u64 = 0x40_0000;
/// Units that the operations choose from; as pages they cross the boundary between two page tables.
const PAGES: u64 = 600;

/// How many bytes the model's unit has, and how much memory there is.
#[derive(Debug, Clone, Copy)]
struct Scale {
    unit: u64,
    capacity: u64,
}

const PAGEWISE: Scale = Scale { unit: PAGE_SIZE, capacity: 16 << 20 };
const BLOCKWISE: Scale = Scale { unit: 128 * PAGE_SIZE, capacity: 1 << 30 };

#[derive(Debug, Clone)]
enum Operation {
    Map {
        page: u64,
        count: u64,
        protection: Protection,
    },
    Unmap {
        page: u64,
        count: u64,
    },
    Protect {
        page: u64,
        count: u64,
        protection: Protection,
    },
    Relocate {
        page: u64,
        count: u64,
        to: u64,
    },
    Discard {
        page: u64,
        count: u64,
    },
    Write {
        page: u64,
        value: u8,
    },
    /// Go on in a copy-on-write instance of a sealed copy.
    Reseal,
}

fn operation() -> impl Strategy<Value = Operation> {
    let page = 0..PAGES;
    let count = 1..40_u64;
    let protection = prop_oneof![
        Just(Protection::NONE),
        Just(Protection::READ),
        Just(Protection::READ_WRITE),
        Just(Protection::READ_EXECUTE),
    ];
    prop_oneof![
        4 => (page.clone(), count.clone(), protection.clone())
            .prop_map(|(page, count, protection)| Operation::Map { page, count, protection }),
        2 => (page.clone(), count.clone()).prop_map(|(page, count)| Operation::Unmap { page, count }),
        2 => (page.clone(), count.clone(), protection)
            .prop_map(|(page, count, protection)| Operation::Protect { page, count, protection }),
        1 => (page.clone(), count.clone(), page.clone())
            .prop_map(|(page, count, to)| Operation::Relocate { page, count, to }),
        1 => (page.clone(), count).prop_map(|(page, count)| Operation::Discard { page, count }),
        8 => (page, any::<u8>()).prop_map(|(page, value)| Operation::Write { page, value }),
        1 => Just(Operation::Reseal),
    ]
}

/// Rights and the first byte of every mapped page.
type Model = BTreeMap<u64, (Protection, u8)>;

impl Scale {
    const fn address(self, unit: u64) -> u64 {
        START + unit * self.unit
    }
}

fn covered(model: &Model, page: u64, count: u64) -> bool {
    (page..page + count).all(|page| model.contains_key(&page))
}

/// Does the operation on both sides; they must agree on whether it is possible.
fn apply(space: &mut AddressSpace, model: &mut Model, scale: Scale, operation: &Operation) {
    match *operation {
        Operation::Map { page, count, protection } => {
            let free = (page..page + count).all(|page| !model.contains_key(&page));
            let mapped = space.map(scale.address(page), count * scale.unit, protection);
            assert_eq!(mapped.is_ok(), free, "{mapped:?}");
            if free {
                model.extend((page..page + count).map(|page| (page, (protection, 0))));
            }
        }
        Operation::Unmap { page, count } => {
            assert_eq!(space.unmap(scale.address(page), count * scale.unit), Ok(()));
            model.retain(|at, _| !(page..page + count).contains(at));
        }
        Operation::Protect { page, count, protection } => {
            let possible = covered(model, page, count);
            let changed = space.protect(scale.address(page), count * scale.unit, protection);
            assert_eq!(changed.is_ok(), possible, "{changed:?}");
            if possible {
                for (_, (rights, _)) in model.range_mut(page..page + count) {
                    *rights = protection;
                }
            }
        }
        Operation::Relocate { page, count, to } => {
            let free = (to..to + count).all(|page| !model.contains_key(&page));
            let possible = free && covered(model, page, count);
            let moved = space.relocate(scale.address(page), count * scale.unit, scale.address(to));
            assert_eq!(moved.is_ok(), possible, "{moved:?}");
            if possible {
                for offset in 0..count {
                    if let Some(entry) = model.remove(&(page + offset)) {
                        model.insert(to + offset, entry);
                    }
                }
            }
        }
        Operation::Discard { page, count } => {
            let possible = covered(model, page, count);
            let discarded = space.discard(scale.address(page), count * scale.unit);
            assert_eq!(discarded.is_ok(), possible, "{discarded:?}");
            if possible {
                for (_, (_, value)) in model.range_mut(page..page + count) {
                    *value = 0;
                }
            }
        }
        Operation::Write { page, value } => {
            let written = space.write(scale.address(page), &[value]).is_ok();
            match model.get_mut(&page) {
                Some((rights, byte)) if rights.write => {
                    assert!(written);
                    *byte = value;
                }
                _ => assert!(!written),
            }
        }
        Operation::Reseal => {
            let image = space.seal();
            if let Ok(instance) = image.and_then(|image| image.instantiate()) {
                *space = instance;
            }
        }
    }
}

fn agree(space: &mut AddressSpace, model: &Model, scale: Scale) {
    for page in 0..PAGES + 40 {
        let mut byte = [0xee];
        let read = space.read(scale.address(page), &mut byte).is_ok();
        match model.get(&page) {
            Some((rights, value)) if !rights.is_none() => {
                assert!(read, "page {page}");
                assert_eq!(byte[0], *value, "page {page}");
                assert_eq!(space.protection_at(scale.address(page)), Some(*rights));
            }
            _ => assert!(!read, "page {page}"),
        }
    }
}

#[expect(clippy::unwrap_used, reason = "test support: failing loudly is the point")]
/// Plays the operations and compares; then everything is given back and used again.
fn play(scale: Scale, operations: &[Operation]) {
    let mut space = AddressSpace::new(scale.capacity).unwrap();
    space = space.seal().unwrap().instantiate().unwrap();
    let mut model = Model::new();
    for operation in operations {
        apply(&mut space, &mut model, scale, operation);
    }
    agree(&mut space, &model, scale);
    let all = (PAGES + 40) * scale.unit;
    space.unmap(START, all).unwrap();
    space.map(START, all, Protection::READ_WRITE).unwrap();
    for page in 0..PAGES + 40 {
        let mut byte = [1];
        space.read(scale.address(page), &mut byte).unwrap();
        assert_eq!(byte, [0], "page {page}");
    }
}

#[expect(clippy::unwrap_used, reason = "test support: failing loudly is the point")]
/// Plays some operations, seals what they lead to, and goes back to it after each of the others.
fn play_and_restore(scale: Scale, before: &[Operation], after: &[Vec<Operation>]) {
    let mut space =
        AddressSpace::new(scale.capacity).unwrap().seal().unwrap().instantiate().unwrap();
    let mut model = Model::new();
    for operation in before {
        apply(&mut space, &mut model, scale, operation);
    }
    let image = space.seal().unwrap();
    let mut space = image.instantiate().unwrap();
    for operations in after {
        let mut changed = model.clone();
        // After another seal it would be another image's space.
        for operation in
            operations.iter().filter(|operation| !matches!(operation, Operation::Reseal))
        {
            apply(&mut space, &mut changed, scale, operation);
        }
        agree(&mut space, &changed, scale);
        space.restore(&image).unwrap();
        agree(&mut space, &model, scale);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn operations_on_pages_equal_the_model(operations in vec(operation(), 1..60)) {
        play(PAGEWISE, &operations);
    }

    #[test]
    fn a_restore_undoes_operations_on_pages(
        before in vec(operation(), 1..40), after in vec(vec(operation(), 1..20), 1..5),
    ) {
        play_and_restore(PAGEWISE, &before, &after);
    }

    #[test]
    fn a_restore_undoes_operations_on_blocks(
        before in vec(operation(), 1..40), after in vec(vec(operation(), 1..20), 1..5),
    ) {
        play_and_restore(BLOCKWISE, &before, &after);
    }

    #[test]
    fn operations_on_blocks_equal_the_model(operations in vec(operation(), 1..60)) {
        play(BLOCKWISE, &operations);
    }
}

#[test]
fn host_pages_cannot_be_moved_or_discarded() {
    let mut space = AddressSpace::new(PAGEWISE.capacity).unwrap();
    let pinned = ampoule_memory::Privilege::User;
    space.map_pinned(START, PAGE_SIZE, Protection::READ, pinned).unwrap();
    let refused = MapError::Pinned { start: START, length: PAGE_SIZE };
    assert_eq!(space.relocate(START, PAGE_SIZE, START + (1 << 20)), Err(refused));
    assert_eq!(space.discard(START, PAGE_SIZE), Err(refused));
}
