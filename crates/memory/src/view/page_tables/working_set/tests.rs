use crate::protection::Protection;
use crate::space::AddressSpace;
use ampoule_abi::layout::PAGE_SIZE;

const START: u64 = 0x40_0000;

fn byte_at(space: &mut AddressSpace, page: u64) -> u8 {
    let mut out = [0];
    space.read(START + page * PAGE_SIZE, &mut out).unwrap();
    out[0]
}

#[test]
fn what_one_space_wrote_is_ready_and_hot_in_the_next() {
    let mut original = AddressSpace::new(256 << 20).unwrap();
    original.map(START, 600 * PAGE_SIZE, Protection::READ_WRITE).unwrap();
    for page in 0..600 {
        original.write(START + page * PAGE_SIZE, &[u8::try_from(page % 251).unwrap()]).unwrap();
    }
    let image = original.seal().unwrap();
    let mut first = image.instantiate().unwrap();
    for page in [3, 4, 590] {
        first.write(START + page * PAGE_SIZE, b"used").unwrap();
    }
    first.learn_working_set();
    // Only the first one teaches.
    first.write(START + 100 * PAGE_SIZE, b"late").unwrap();
    first.learn_working_set();
    let mut second = image.instantiate().unwrap();
    for page in 0..600 {
        assert_eq!(u64::from(byte_at(&mut second, page)), page % 251);
    }
    let restored = second.restore(&image).unwrap();
    assert_eq!((restored.pages, restored.wholesale), (3, false));
    // It is ready again after everything went back at once.
    second.protect(START, PAGE_SIZE, Protection::READ).unwrap();
    assert!(second.restore(&image).unwrap().wholesale);
    assert_eq!(second.restore(&image).unwrap().pages, 3);
    assert_eq!(byte_at(&mut second, 590), 88);
}

#[test]
fn a_set_that_is_too_large_is_none() {
    let mut original = AddressSpace::new(64 << 20).unwrap();
    original.map(START, 300 * PAGE_SIZE, Protection::READ_WRITE).unwrap();
    original.write(START, &vec![1; 300 << 12]).unwrap();
    let image = original.seal().unwrap();
    let mut first = image.instantiate().unwrap();
    first.write(START, &vec![2; 300 << 12]).unwrap();
    first.learn_working_set();
    let mut second = image.instantiate().unwrap();
    assert_eq!(second.restore(&image).unwrap().pages, 0);
    assert_eq!(byte_at(&mut second, 299), 1);
}

#[test]
fn a_page_that_the_image_has_not_is_given_to_every_space_that_touches_it() {
    let mut original = AddressSpace::new(256 << 20).unwrap();
    let pages = 16;
    original.map(START, pages * PAGE_SIZE, Protection::READ_WRITE).unwrap();
    original.write(START, b"in the image").unwrap();
    // The table for it is in the image, and empty there.
    let later = START + pages * PAGE_SIZE;
    let image = original.seal().unwrap();
    let grow = |space: &mut AddressSpace| {
        space.map(later, pages * PAGE_SIZE, Protection::READ_WRITE).unwrap();
        for page in 0..pages {
            space.write(later + page * PAGE_SIZE, b"new").unwrap();
        }
    };
    let mut first = image.instantiate().unwrap();
    grow(&mut first);
    first.learn_working_set();
    for _ in 0..2 {
        let mut next = image.instantiate().unwrap();
        grow(&mut next);
        assert_eq!(byte_at(&mut next, pages), b'n');
        next.restore(&image).unwrap();
        grow(&mut next);
    }
}
