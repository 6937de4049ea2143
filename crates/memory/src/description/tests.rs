use super::*;
use crate::address::to_usize;
use crate::mapping::Mapping;
use crate::protection::Access;
use crate::space::AddressSpace;
use ampoule_abi::layout::USER_END;
use rustix::fs::MemfdFlags;
use std::os::fd::OwnedFd;
use std::sync::Arc;

const START: u64 = 0x40_0000;
const SYSTEM: u64 = 0x7f_8000_0000;
const CHANNEL: u64 = 0x7e_8000_0000;
const ATTACHED: PhysicalAddress = PhysicalAddress::new(0x40_0000_0000);

/// A page of ring 0's and two attached pages, as the tests' spaces have them.
fn pinned() -> [PinnedRange; 2] {
    let attached = PinnedRange {
        start: CHANNEL,
        end: CHANNEL + 2 * PAGE_SIZE,
        protection: Protection::READ_WRITE,
        privilege: Privilege::User,
        attached: Some(ATTACHED),
    };
    let system = PinnedRange {
        start: SYSTEM,
        end: SYSTEM + PAGE_SIZE,
        protection: Protection::READ_EXECUTE,
        privilege: Privilege::Supervisor,
        attached: None,
    };
    [attached, system]
}

/// A space of 64 MiB with some of everything.
fn space() -> AddressSpace {
    let mut space = AddressSpace::new(64 << 20).unwrap();
    let [channel, system] = pinned();
    space.map_pinned(SYSTEM, PAGE_SIZE, system.protection, system.privilege).unwrap();
    let mapping = Arc::new(Mapping::anonymous(2 * PAGE_SIZE).unwrap());
    space.attach(ATTACHED, mapping);
    space.map_attached(CHANNEL, 2 * PAGE_SIZE, ATTACHED, channel.protection).unwrap();
    space.map(START, 40 * PAGE_SIZE, Protection::READ_WRITE).unwrap();
    for page in 0..40 {
        space.write(START + page * PAGE_SIZE, &[u8::try_from(page).unwrap(); 4096]).unwrap();
    }
    space.protect(START, PAGE_SIZE, Protection::READ_EXECUTE).unwrap();
    space.protect(START + PAGE_SIZE, PAGE_SIZE, Protection::NONE).unwrap();
    space.unmap(START + 30 * PAGE_SIZE, 5 * PAGE_SIZE).unwrap();
    space
}

/// A file with the used bytes of `image`.
fn file_of(image: &SealedSpace) -> OwnedFd {
    let mut bytes = vec![0; to_usize(image.image_bytes())];
    image.read(0, &mut bytes).unwrap();
    let file = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
    rustix::io::pwrite(&file, &bytes, 0).unwrap();
    file
}

/// One extent for each run of `pages` pages.
fn extents(file: OwnedFd, length: u64, pages: u64) -> Vec<Extent> {
    let file = Arc::new(file);
    let step = pages * PAGE_SIZE;
    (0..length.div_ceil(step))
        .map(|run| Extent {
            file: Arc::clone(&file),
            file_offset: run * step,
            start: PhysicalAddress::new(run * step),
            length: step.min(length - run * step),
        })
        .collect()
}

fn reload(
    description: &SpaceDescription,
    file: OwnedFd,
    pages: u64,
) -> Result<SealedSpace, DescriptionError> {
    let extents = extents(file, description.used * PAGE_SIZE, pages);
    SealedSpace::from_extents(description, extents, &pinned())
}

#[test]
fn a_space_comes_back_from_its_description_and_files() {
    let image = space().seal().unwrap();
    let description = image.describe();
    for pages in [1, 3, 1000] {
        let again = Arc::new(reload(&description, file_of(&image), pages).unwrap());
        assert_eq!(again.describe(), description);
        let mut space = again.instantiate().unwrap();
        let mut out = [0; 4096];
        for page in (2..30).chain(35..40_u8) {
            let address = START + u64::from(page) * PAGE_SIZE;
            space.read(address, &mut out).unwrap();
            assert_eq!(out, [page; 4096]);
            space.write(address, b"changed").unwrap();
        }
        assert!(space.read(START + PAGE_SIZE, &mut out).is_err());
        assert!(space.read(START + 30 * PAGE_SIZE, &mut out).is_err());
        assert!(space.translate(SYSTEM, Access::Execute).is_none());
        // What is free is handed out as zeros, whatever the image holds there.
        space.map(START + (8 << 20), 64 * PAGE_SIZE, Protection::READ_WRITE).unwrap();
        for page in 0..64 {
            space.read(START + (8 << 20) + page * PAGE_SIZE, &mut out).unwrap();
            assert_eq!(out, [0; 4096]);
        }
        // It can be gone back to, and take the place of another of its shape.
        space.restore(&again).unwrap();
        let mut other = image.instantiate().unwrap();
        other.write(START + 2 * PAGE_SIZE, b"changed").unwrap();
        for space in [&mut space, &mut other] {
            space.restore(&again).unwrap();
            space.read(START + 2 * PAGE_SIZE, &mut out).unwrap();
            assert_eq!(out, [2; 4096]);
        }
        // A snapshot of it is one of the same kind.
        assert!(space.seal().unwrap().describe().used >= description.used);
    }
}

#[test]
fn far_addresses_come_back_too() {
    let mut space = space();
    let far = [0x1234_5678_9000, USER_END - PAGE_SIZE];
    for at in far {
        space.map(at, PAGE_SIZE, Protection::READ_WRITE).unwrap();
        space.write(at, b"far away").unwrap();
    }
    space.map(USER_END - (1 << 40), 1 << 39, Protection::NONE).unwrap();
    let image = space.seal().unwrap();
    let mut description = image.describe();
    let again = Arc::new(reload(&description, file_of(&image), 8).unwrap());
    assert_eq!(again.describe(), description);
    let mut space = again.instantiate().unwrap();
    for at in far {
        let mut out = [0; 8];
        space.read(at, &mut out).unwrap();
        assert_eq!(&out, b"far away");
        space.write(at, b"changed!").unwrap();
    }
    assert!(!space.restore(&again).unwrap().wholesale);
    let mut out = [0; 8];
    space.read(far[1], &mut out).unwrap();
    assert_eq!(&out, b"far away");
    description.areas.last_mut().unwrap().end += PAGE_SIZE;
    let refused = reload(&description, file_of(&image), 8);
    assert!(matches!(refused, Err(DescriptionError::Area { .. })), "{refused:?}");
}

#[test]
fn descriptions_that_no_space_has_are_refused() {
    type Change = fn(&mut SpaceDescription);
    let image = space().seal().unwrap();
    let changes: [(&str, Change); 18] = [
        ("more pages than there may be", |d| d.used = d.limit + 1),
        ("more memory than there may be", |d| d.limit = u64::MAX),
        ("root out of range", |d| d.root = d.used),
        ("root elsewhere", |d| d.root += 1),
        ("no pages", |d| d.used = 0),
        ("tables beyond the end", |d| d.used = 2),
        ("free run out of range", |d| d.free.push((d.used, 1))),
        ("free run that overflows", |d| d.free.push((u64::MAX, 2))),
        ("empty free run", |d| d.free.push((0, 0))),
        ("free run twice", |d| d.free.extend_from_within(..1)),
        ("free page in use", |d| d.free.push((0, 1))),
        ("area lost", |d| d.areas.retain(|area| area.start != START)),
        ("area lost that is pinned", |d| d.areas.truncate(d.areas.len() - 1)),
        ("areas swapped", |d| d.areas.swap(0, 1)),
        ("area at zero", |d| d.areas[0].start = 0),
        ("area with other rights", |d| d.areas[2].write = false),
        ("area writable and executable", |d| d.areas[0].write = true),
        ("pinned area of the guest's", |d| d.areas[2].pinned = true),
    ];
    for (what, change) in changes {
        let mut description = image.describe();
        change(&mut description);
        let length = image.image_bytes();
        let extents = extents(file_of(&image), length, 1000);
        let refused = SealedSpace::from_extents(&description, extents, &pinned());
        assert!(refused.is_err(), "{what}: {refused:?}");
    }
    // What the host maps must be what it expects.
    for pinned in [&pinned()[..1], &[pinned()[0]; 3][..], &[]] {
        let extents = extents(file_of(&image), image.image_bytes(), 1000);
        let refused = SealedSpace::from_extents(&image.describe(), extents, pinned);
        assert!(matches!(refused, Err(DescriptionError::Pinned { .. })), "{refused:?}");
    }
}

#[test]
fn extents_that_files_do_not_have_are_refused() {
    let image = space().seal().unwrap();
    let description = image.describe();
    let good = || extents(file_of(&image), image.image_bytes(), 8);
    let changes: [fn(&mut Vec<Extent>); 6] = [
        |extents| extents[0].length = 0,
        |extents| extents[1].start = PhysicalAddress::new(extents[1].start.get() - PAGE_SIZE),
        |extents| extents.swap(0, 1),
        |extents| extents[0].file_offset = 12,
        |extents| extents.last_mut().unwrap().file_offset += 1 << 40,
        |extents| extents.last_mut().unwrap().start = PhysicalAddress::new(u64::MAX - 4095),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut extents = good();
        change(&mut extents);
        let refused = SealedSpace::from_extents(&description, extents, &pinned());
        assert!(matches!(refused, Err(DescriptionError::Host { .. })), "{index}: {refused:?}");
    }
    assert!(SealedSpace::from_extents(&description, good(), &pinned()).is_ok());
}

/// Bits of entries changed one at a time. Not where an entry leads: that may give another valid space.
#[test]
fn a_changed_page_table_is_refused() {
    let image = space().seal().unwrap();
    let description = image.describe();
    let tables = image.layout.table_frames(&image.memory());
    let file = file_of(&image);
    let mut tried = 0;
    for table in tables {
        for index in (0..512).filter(|index| index % 61 == 0 || *index < 41) {
            let at = table.address().get() + index * 8;
            let mut word = [0; 8];
            image.read(at, &mut word).unwrap();
            let word = u64::from_le_bytes(word);
            for bit in (0..64).filter(|bit| word == 0 || !(12..52).contains(bit)) {
                rustix::io::pwrite(&file, &(word ^ 1 << bit).to_le_bytes(), at).unwrap();
                tried += 1;
                let result = reload(&description, file.try_clone().unwrap(), 1000);
                assert!(result.is_err(), "bit {bit} of {word:#x} at {at:#x}");
            }
            rustix::io::pwrite(&file, &word.to_le_bytes(), at).unwrap();
        }
    }
    assert!(tried > 3_000, "{tried}");
}

#[test]
fn two_entries_do_not_lead_to_one_page() {
    let image = space().seal().unwrap();
    let description = image.describe();
    let slot = |page: u64| {
        let address = VirtualAddress::clamped(START + page * PAGE_SIZE);
        image.layout.leaf_slot(&image.memory(), address).unwrap()
    };
    let entry = |page| image.memory().read_u64(slot(page)).unwrap();
    let flags = 0xfff0_0000_0000_0fff;
    let (system, _) = image.page(SYSTEM).unwrap();
    let table = slot(0).frame().address();
    for (what, target) in [
        ("another page", entry(3) & !flags),
        ("ring 0's page", system.get()),
        ("a page of tables", table.get()),
        ("the root", description.root * PAGE_SIZE),
        ("a free page", description.free[0].0 * PAGE_SIZE),
        ("attached memory", ATTACHED.get()),
        ("beyond the image", image.image_bytes()),
    ] {
        let file = file_of(&image);
        let word = entry(2) & flags | target;
        rustix::io::pwrite(&file, &word.to_le_bytes(), slot(2).get()).unwrap();
        let refused = reload(&description, file, 1000);
        assert!(matches!(refused, Err(DescriptionError::Shared { .. })), "{what}: {refused:?}");
    }
}
