use super::*;
use crate::address::{Block, VirtualAddress};
use crate::protection::Protection;
use crate::view::page_tables::restore::HOT_PAGES_MAX;
use ampoule_abi::layout::PAGE_SIZE;

const START: u64 = 0x40_0000;

/// A space of 256 MiB with 64 pages, each filled with its number, and an image of it.
fn image() -> Arc<SealedSpace> {
    let mut space = AddressSpace::new(256 << 20).unwrap();
    space.map(START, 64 * PAGE_SIZE, Protection::READ_WRITE).unwrap();
    for page in 0..64 {
        space.write(START + page * PAGE_SIZE, &[u8::try_from(page).unwrap(); 4096]).unwrap();
    }
    space.seal().unwrap()
}

fn holds_the_image(space: &mut AddressSpace) {
    for page in 0..64_u8 {
        let mut out = [0; 4096];
        space.read(START + u64::from(page) * PAGE_SIZE, &mut out).unwrap();
        assert_eq!(out, [page; 4096], "page {page}");
    }
}

fn write_as_guest(space: &mut AddressSpace, address: u64, bytes: &[u8]) {
    // The host marks what it writes like the processor.
    space.write(address, bytes).unwrap();
}

#[test]
fn dirty_pages_are_copied_back_and_stay_hot() {
    let image = image();
    let mut space = image.instantiate().unwrap();
    for expected in [2, 2, 3] {
        write_as_guest(&mut space, START + 5 * PAGE_SIZE, b"five");
        write_as_guest(&mut space, START + 9 * PAGE_SIZE + 100, b"nine");
        if expected == 3 {
            write_as_guest(&mut space, START + 63 * PAGE_SIZE, b"last");
        }
        let restored = space.restore(&image).unwrap();
        assert_eq!(restored, Restored { pages: expected, wholesale: false });
        holds_the_image(&mut space);
    }
}

#[test]
fn changed_mappings_are_undone() {
    let image = image();
    let mut space = image.instantiate().unwrap();
    let committed = space.committed_bytes();
    space.unmap(START, 8 * PAGE_SIZE).unwrap();
    space.map(START, 4 * PAGE_SIZE, Protection::READ_WRITE).unwrap();
    space.write(START, b"another page").unwrap();
    space.protect(START + 20 * PAGE_SIZE, PAGE_SIZE, Protection::READ).unwrap();
    space.map(START + (64 << 20), 32 << 20, Protection::READ_WRITE).unwrap();
    space.write(START + (64 << 20), b"large").unwrap();
    let restored = space.restore(&image).unwrap();
    assert!(restored.wholesale);
    holds_the_image(&mut space);
    assert!(space.read(START + (64 << 20), &mut [0]).is_err());
    assert_eq!(space.committed_bytes(), committed);
    // What was fresh memory is fresh again.
    space.map(START + (64 << 20), 32 << 20, Protection::READ_WRITE).unwrap();
    let mut out = [1; 5];
    space.read(START + (64 << 20), &mut out).unwrap();
    assert_eq!(out, [0; 5]);
}

#[test]
fn too_many_hot_pages_are_dropped_wholesale() {
    let mut original = AddressSpace::new(256 << 20).unwrap();
    let pages = HOT_PAGES_MAX as u64 + 1;
    original.map(START, pages * PAGE_SIZE, Protection::READ_WRITE).unwrap();
    for page in 0..pages {
        original.write(START + page * PAGE_SIZE, b"image").unwrap();
    }
    let image = original.seal().unwrap();
    let mut space = image.instantiate().unwrap();
    for page in 0..pages {
        write_as_guest(&mut space, START + page * PAGE_SIZE, b"dirty");
    }
    assert!(space.restore(&image).unwrap().wholesale);
    let restored = space.restore(&image).unwrap();
    assert_eq!(restored, Restored { pages: 0, wholesale: false });
    let mut out = [0; 5];
    space.read(START + 1000 * PAGE_SIZE, &mut out).unwrap();
    assert_eq!(&out, b"image");
}

#[test]
fn another_image_takes_its_place() {
    let one = image();
    let mut space = one.instantiate().unwrap();
    space.write(START, b"second").unwrap();
    space.map(START + (64 << 20), 1 << 20, Protection::READ_WRITE).unwrap();
    space.write(START + (64 << 20), b"more").unwrap();
    let two = space.seal().unwrap();
    let mut other = one.instantiate().unwrap();
    other.restore(&two).unwrap();
    let mut out = [0; 6];
    other.read(START, &mut out).unwrap();
    assert_eq!(&out, b"second");
    other.restore(&one).unwrap();
    holds_the_image(&mut other);
    let small = AddressSpace::new(32 << 20).unwrap().seal().unwrap();
    assert!(matches!(other.restore(&small), Err(RestoreError::OtherShape)));
    holds_the_image(&mut other);
}

#[test]
fn what_was_mapped_beside_the_image_goes_and_the_rest_stays_hot() {
    let image = image();
    let mut space = image.instantiate().unwrap();
    let committed = space.committed_bytes();
    let end = START + 64 * PAGE_SIZE;
    for _ in 0..3 {
        write_as_guest(&mut space, START, b"hot");
        // One that grows the image's own area, one with a hole, and a large one.
        space.map(end, 8 * PAGE_SIZE, Protection::READ_WRITE).unwrap();
        space.write(end, b"grown").unwrap();
        space.map(START + (8 << 20), 4 * PAGE_SIZE, Protection::READ_WRITE).unwrap();
        space.unmap(START + (8 << 20) + PAGE_SIZE, PAGE_SIZE).unwrap();
        space.map(START + (64 << 20), 32 << 20, Protection::READ_WRITE).unwrap();
        space.write(START + (64 << 20), b"large").unwrap();
        let restored = space.restore(&image).unwrap();
        assert_eq!(restored, Restored { pages: 1, wholesale: false });
        holds_the_image(&mut space);
        for gone in [end, START + (8 << 20), START + (64 << 20)] {
            assert!(!space.is_mapped(gone, PAGE_SIZE));
            assert!(space.read(gone, &mut [0]).is_err());
        }
    }
    // Tables for what was mapped are all that stays.
    assert!(space.committed_bytes() <= committed + 3 * PAGE_SIZE);
}

#[test]
fn fresh_pages_of_the_image_s_areas_stay_as_zeros() {
    let mut original = AddressSpace::new(256 << 20).unwrap();
    original.map(START, 4 << 20, Protection::READ_WRITE).unwrap();
    original.write(START, b"image").unwrap();
    original.map(START + (8 << 20), 16 * PAGE_SIZE, Protection::READ_WRITE).unwrap();
    original.write(START + (8 << 20), &[7; 4096 * 16]).unwrap();
    // Their frames are free in the image and are handed out again below.
    original.unmap(START + (8 << 20), 16 * PAGE_SIZE).unwrap();
    let image = original.seal().unwrap();
    let mut space = image.instantiate().unwrap();
    for round in 0..3 {
        let before = space.committed_bytes();
        write_as_guest(&mut space, START + (3 << 20), b"fresh");
        assert_eq!(space.committed_bytes() > before, round == 0);
        assert!(!space.restore(&image).unwrap().wholesale);
        let mut out = [1; 5];
        space.read(START + (3 << 20), &mut out).unwrap();
        assert_eq!(out, [0; 5]);
        space.read(START, &mut out).unwrap();
        assert_eq!(&out, b"image");
    }
}

#[test]
fn more_fresh_pages_than_may_stay_are_given_back() {
    let mut original = AddressSpace::new(64 << 20).unwrap();
    original.map(START, 32 << 20, Protection::READ_WRITE).unwrap();
    let image = original.seal().unwrap();
    let mut space = image.instantiate().unwrap();
    let committed = space.committed_bytes();
    // Each touch commits a block of 2 MiB; an eighth of the memory may stay.
    for block in 0..5 {
        space.write(START + (block << 21), b"touched").unwrap();
    }
    assert!(space.restore(&image).unwrap().wholesale);
    assert_eq!(space.committed_bytes(), committed);
}

#[test]
fn what_the_host_wrote_for_the_guest_is_undone() {
    let image = image();
    let mut space = image.instantiate().unwrap();
    space.write(START + 12 * PAGE_SIZE, b"by a system call").unwrap();
    let restored = space.restore(&image).unwrap();
    assert_eq!(restored, Restored { pages: 1, wholesale: false });
    holds_the_image(&mut space);
}

#[test]
fn replaced_tables_are_told() {
    let image = image();
    let mut space = image.instantiate().unwrap();
    let first = space.generation();
    space.write(START, b"hot").unwrap();
    space.restore(&image).unwrap();
    assert_eq!(space.generation(), first, "page by page no table changes");
    space.unmap(START, PAGE_SIZE).unwrap();
    space.restore(&image).unwrap();
    assert_ne!(space.generation(), first);
}

#[test]
fn a_cleared_space_holds_nothing_and_takes_another_image() {
    let image = image();
    let mut space = image.instantiate().unwrap();
    space.write(START, b"secret").unwrap();
    space.map(START + (64 << 20), 32 << 20, Protection::READ_WRITE).unwrap();
    space.write(START + (64 << 20), b"large").unwrap();
    let before = space.generation();
    space.clear().unwrap();
    assert_ne!(space.generation(), before);
    let mut page = [0; 4096];
    for (base, mapping) in space.memory().parts() {
        for offset in (0..mapping.length().min(80 << 20)).step_by(4096) {
            space.memory().read(base.plus(offset), &mut page).unwrap();
            assert_eq!(page, [0; 4096]);
        }
    }
    assert_eq!(Arc::strong_count(&image), 1);
    assert!(space.restore(&image).unwrap().wholesale);
    holds_the_image(&mut space);
    assert!(space.read(START + (64 << 20), &mut [0]).is_err());
}

#[test]
fn restores_without_end_do_not_use_memory_up() {
    let image = image();
    let mut space = image.instantiate().unwrap();
    let mut wholesale = 0;
    for round in 0..2_000_u64 {
        // Sizes that fit into no hole left before.
        let pages = 1 + round * 7 % 97;
        space.map(START + (64 << 20), pages * PAGE_SIZE, Protection::READ_WRITE).unwrap();
        space.map(START + (96 << 20), 2 * pages * PAGE_SIZE, Protection::READ_WRITE).unwrap();
        write_as_guest(&mut space, START + (64 << 20), b"a");
        wholesale += u64::from(space.restore(&image).unwrap().wholesale);
        // Pages are still committed many at a time.
        let before = space.committed_bytes();
        space.map(START + (64 << 20), 8 << 20, Protection::READ_WRITE).unwrap();
        space.write(START + (66 << 20), b"b").unwrap();
        assert!(space.committed_bytes() - before >= 2 << 20, "round {round}");
        wholesale += u64::from(space.restore(&image).unwrap().wholesale);
    }
    assert!(wholesale < 100, "{wholesale}");
}

#[test]
fn a_large_leaf_that_was_only_taken_apart_is_undone() {
    let mut original = AddressSpace::new(256 << 20).unwrap();
    original.map(START, 64 << 20, Protection::READ_WRITE).unwrap();
    let image = original.seal().unwrap();
    let mut space = image.instantiate().unwrap();
    let mut page = START;
    while space.view.large_leaves() == 0 {
        write_as_guest(&mut space, page, b"secret");
        page += Block::BYTES;
    }
    let last = page - Block::BYTES;
    // As for a move that then fails.
    space.begin_portion();
    let block = space.check_change(last, Block::BYTES).unwrap();
    space.prepare_some(block, VirtualAddress::clamped(START + (64 << 20))).unwrap();
    assert_eq!(space.view.large_leaves(), 0);
    assert!(!space.restore(&image).unwrap().wholesale);
    let mut out = [1; 6];
    space.read(last, &mut out).unwrap();
    assert_eq!(out, [0; 6]);
}
