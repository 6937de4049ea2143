use super::*;
use crate::error::AccessError;
use crate::outcome::FaultOutcome;
use crate::protection::Access;

const START: u64 = 0x40_0000;
const MIB: u64 = 1 << 20;

fn space() -> AddressSpace {
    AddressSpace::new(32 * MIB).unwrap()
}

#[test]
fn fresh_pages_read_as_zero_and_keep_what_is_written() {
    let mut space = space();
    space.map(START, 3 * PAGE_SIZE, Protection::READ_WRITE).unwrap();
    let mut out = [1; 16];
    space.read(START + PAGE_SIZE - 8, &mut out).unwrap();
    assert_eq!(out, [0; 16]);
    space.write(START + PAGE_SIZE - 8, b"across the pages").unwrap();
    space.read(START + PAGE_SIZE - 8, &mut out).unwrap();
    assert_eq!(&out, b"across the pages");
}

#[test]
fn rights_are_those_of_the_mapping() {
    let mut space = space();
    space.map(START, PAGE_SIZE, Protection::READ).unwrap();
    assert_eq!(
        space.write(START, &[1]),
        Err(AccessError { address: START, access: Access::Write })
    );
    assert!(space.read(START, &mut [0]).is_ok());
    assert!(space.translate(START, Access::Execute).is_none());
    space.protect(START, PAGE_SIZE, Protection::NONE).unwrap();
    assert!(space.read(START, &mut [0]).is_err());
    space.protect(START, PAGE_SIZE, Protection::READ_EXECUTE).unwrap();
    assert!(space.translate(START, Access::Execute).is_some());
    assert_eq!(
        space.map(START + MIB, PAGE_SIZE, Protection { read: true, write: true, execute: true }),
        Err(MapError::WritableAndExecutable)
    );
}

#[test]
fn an_unmapped_frame_is_zero_when_it_comes_back() {
    let mut space = space();
    space.map(START, MIB, Protection::READ_WRITE).unwrap();
    let before = space.committed_bytes();
    space.write(START, &[7; 4096]).unwrap();
    space.unmap(START, MIB).unwrap();
    assert!(space.read(START, &mut [0]).is_err());
    space.map(START, MIB, Protection::READ_WRITE).unwrap();
    let mut out = [1; 4096];
    space.read(START, &mut out).unwrap();
    assert_eq!(out, [0; 4096]);
    assert_eq!(space.committed_bytes(), before);
}

#[test]
fn a_sealed_image_is_shared_and_never_changed() {
    let mut original = space();
    original.map(START, 2 * PAGE_SIZE, Protection::READ_WRITE).unwrap();
    original.write(START, b"image").unwrap();
    let image = original.seal().unwrap();
    let mut one = image.instantiate().unwrap();
    let mut two = image.instantiate().unwrap();
    one.write(START, b"other").unwrap();
    let mut out = [0; 5];
    two.read(START, &mut out).unwrap();
    assert_eq!(&out, b"image");
    // A frame of the image that is freed and used again must not show the image's bytes.
    two.unmap(START, 2 * PAGE_SIZE).unwrap();
    two.map(START, 2 * PAGE_SIZE, Protection::READ_WRITE).unwrap();
    two.read(START, &mut out).unwrap();
    assert_eq!(out, [0; 5]);
}

#[test]
fn relocated_pages_keep_their_contents() {
    let mut space = space();
    space.map(START, 2 * PAGE_SIZE, Protection::READ_WRITE).unwrap();
    space.write(START + PAGE_SIZE, b"moved").unwrap();
    let target = START + 16 * MIB;
    space.relocate(START, 2 * PAGE_SIZE, target).unwrap();
    let mut out = [0; 5];
    space.read(target + PAGE_SIZE, &mut out).unwrap();
    assert_eq!(&out, b"moved");
    assert!(space.read(START, &mut out).is_err());
}

#[test]
fn pinned_pages_resist_the_guest_and_hide_from_ring_3() {
    let mut space = space();
    let physical =
        space.map_pinned(START, 2 * PAGE_SIZE, Protection::READ, Privilege::Supervisor).unwrap();
    assert!(physical.get() > 0);
    assert!(matches!(space.unmap(START, PAGE_SIZE), Err(MapError::Pinned { .. })));
    assert!(matches!(
        space.protect(START, PAGE_SIZE, Protection::READ_WRITE),
        Err(MapError::Pinned { .. })
    ));
    assert!(space.read(START, &mut [0]).is_err());
}

#[test]
fn attached_memory_is_read_through_the_tables() {
    let mut space = space();
    let channel = Arc::new(Mapping::anonymous(2 * PAGE_SIZE).unwrap());
    channel.write(PAGE_SIZE, b"hello").unwrap();
    let base = PhysicalAddress::new(0x40_0000_0000);
    space.attach(base, Arc::clone(&channel));
    space.map_attached(START, 2 * PAGE_SIZE, base, Protection::READ).unwrap();
    let mut out = [0; 5];
    space.read(START + PAGE_SIZE, &mut out).unwrap();
    assert_eq!(&out, b"hello");
}

#[test]
fn exhaustion_is_reported_and_leaves_the_space_usable() {
    let mut space = AddressSpace::new(MIB).unwrap();
    space.map(START, 64 * MIB, Protection::READ_WRITE).unwrap();
    let mut at = START;
    while space.handle_fault(at, Access::Write) == FaultOutcome::Repaired {
        at += PAGE_SIZE;
    }
    assert_eq!(space.handle_fault(at, Access::Write), FaultOutcome::OutOfMemory);
    assert_eq!(space.committed_bytes(), space.capacity_bytes());
    space.unmap(START, 64 * MIB).unwrap();
    space.map(START, PAGE_SIZE, Protection::READ_WRITE).unwrap();
    space.write(START, &[1]).unwrap();
}

#[test]
fn free_ranges_are_found_from_the_top() {
    let mut space = space();
    let top = START + 8 * MIB;
    space.map(top - MIB, MIB, Protection::READ).unwrap();
    let from = NULL_GUARD_END;
    let mut found = |length, below| space.search_free(length, from, below);
    let at = |address| Search::Found(VirtualAddress::clamped(address));
    assert_eq!(found(PAGE_SIZE, top), at(top - MIB - PAGE_SIZE));
    assert_eq!(found(PAGE_SIZE, top - MIB / 2), at(top - MIB - PAGE_SIZE));
    assert_eq!(found(PAGE_SIZE, top + MIB), at(top + MIB - PAGE_SIZE));
    assert_eq!(found(u64::MAX, top), Search::Nothing);
    assert_eq!(space.search_free(PAGE_SIZE, top - MIB, top), Search::Nothing);
}

#[test]
fn huge_sparse_ranges_cost_only_their_tables() {
    let mut space = space();
    let huge = 300 << 30;
    space.map(START, huge, Protection::READ_WRITE).unwrap();
    space.write(START + (200 << 30), &[1]).unwrap();
    space.relocate(START + (200 << 30), 100 << 30, START + huge).unwrap();
    let mut byte = [0];
    space.read(START + huge, &mut byte).unwrap();
    assert_eq!(byte, [1]);
    space.unmap(START, huge).unwrap();
    assert!(!space.is_mapped(START, PAGE_SIZE));
}
