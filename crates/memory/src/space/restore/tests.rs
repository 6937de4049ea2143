use super::*;
use crate::protection::Protection;

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

/// Sets the dirty bit, as a processor does when ring 3 writes.
fn write_as_guest(space: &mut AddressSpace, address: u64, bytes: &[u8]) {
    space.write(address, bytes).unwrap();
    let table = space.shape.tables.leaf_table(&space.memory, address).unwrap();
    let slot = table.get() + (address >> 12 & 511) * 8;
    let entry = space.memory.read_u64(slot).unwrap();
    space.memory.write_u64(slot, entry | 1 << 6).unwrap();
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
