use super::*;
use ampoule_machine::SystemPages;
use ampoule_memory::{AddressSpace, Extent, PhysicalAddress, SealedSpace};
use std::os::fd::OwnedFd;
use std::sync::Arc;

fn image(change: impl FnOnce(&mut AddressSpace, PhysicalAddress)) -> Option<SystemPages> {
    let mut space = AddressSpace::new(1 << 20).unwrap();
    let pages = SystemPages::install("fake", &system_pages(), &mut space).unwrap();
    let stack = pages.places()[3];
    change(&mut space, stack);
    SystemPages::find("fake", &system_pages(), &space.seal().unwrap())
}

#[test]
fn what_was_installed_is_found() {
    assert!(image(|_, _| {}).is_some());
    // What an exception left on the stack is nobody's business.
    let on_stack = |space: &mut AddressSpace, stack: PhysicalAddress| {
        space.memory().write(stack.plus(4000), b"frame").unwrap();
    };
    assert!(image(on_stack).is_some());
}

#[test]
fn other_bytes_at_ring_0_are_refused() {
    for start in [TABLES, EXCEPTION_STUBS, SYSTEM_CALL_STUB] {
        for offset in [0, 1, 0x102, 0x3ff, 0x400, 0x7ff, 0xfff] {
            let changed = |space: &mut AddressSpace, _| {
                let at = space.seal().unwrap().page(start).unwrap().0.plus(offset);
                let mut byte = [0];
                space.memory().read(at, &mut byte).unwrap();
                space.memory().write(at, &[byte[0] ^ 0x10]).unwrap();
            };
            assert!(image(changed).is_none(), "{start:#x} {offset:#x}");
        }
    }
}

#[test]
fn the_ranges_are_what_a_description_must_have() {
    let mut space = AddressSpace::new(1 << 20).unwrap();
    SystemPages::install("fake", &system_pages(), &mut space).unwrap();
    let sealed = space.seal().unwrap();
    let mut bytes = vec![0; usize::try_from(sealed.image_bytes()).unwrap()];
    sealed.read(0, &mut bytes).unwrap();
    let mut file = tempfile();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
    let extent = Extent {
        file: Arc::new(OwnedFd::from(file)),
        file_offset: 0,
        start: PhysicalAddress::new(0),
        length: sealed.image_bytes(),
    };
    let description = sealed.describe();
    let ranges = RANGES;
    assert!(SealedSpace::from_extents(&description, vec![extent.clone()], &ranges).is_ok());
    assert!(SealedSpace::from_extents(&description, vec![extent], &ranges[1..]).is_err());
}

fn tempfile() -> std::fs::File {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    rustix::fs::memfd_create("test", flags).unwrap().into()
}
