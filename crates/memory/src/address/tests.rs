use super::*;

#[test]
fn an_allegation_becomes_an_address_only_where_a_guest_can_have_memory() {
    for said in [0, 1, 0x40_0000, USER_END - 1, USER_END] {
        assert_eq!(VirtualAddress::checked(said).map(VirtualAddress::get), Some(said));
    }
    for said in [USER_END + 1, 1 << 47, 0xffff_8000_0000_0000, u64::MAX] {
        assert_eq!(VirtualAddress::checked(said), None);
        assert_eq!(VirtualAddress::clamped(said), VirtualAddress::END);
    }
    assert_eq!(VirtualAddress::END.plus(u64::MAX), VirtualAddress::END);
}

#[test]
fn a_range_is_made_of_whole_pages_in_order() {
    let range = PageRange::between(0x1000, 0x3000).unwrap();
    assert_eq!((range.pages().get(), range.bytes(), range.is_empty()), (2, 0x2000, false));
    assert!(PageRange::between(0x1000, 0x1000).unwrap().is_empty());
    for (start, end) in
        [(0x1001, 0x3000), (0x1000, 0x3001), (0x3000, 0x1000), (0, USER_END + PAGE_SIZE)]
    {
        assert_eq!(PageRange::between(start, end), None, "{start:#x}..{end:#x}");
    }
}

#[test]
fn parts_of_a_range_stay_inside_of_it() {
    let at = VirtualAddress::clamped;
    let range = PageRange::between(0x1000, 0x5000).unwrap();
    assert_eq!(range.rest(at(0x3000)), PageRange::between(0x3000, 0x5000).unwrap());
    assert!(range.rest(range.end()).is_empty());
    assert_eq!(range.clip(at(0), at(0x2000)), PageRange::between(0x1000, 0x2000).unwrap());
    assert!(range.clip(at(0x6000), at(0x7000)).is_empty());
    let address = at(0x1fff);
    assert_eq!((address.page(), address.in_page(), address.left_in_page()), (at(0x1000), 0xfff, 1));
}

#[test]
fn blocks_cover_a_range_and_the_last_one_is_a_page_short() {
    let blocks = |start, end| -> Vec<_> {
        PageRange::between(start, end).unwrap().blocks().map(|block| block.start().0).collect()
    };
    assert_eq!(blocks(0x1f_f000, 0x40_1000), [0, 0x20_0000, 0x40_0000]);
    assert_eq!(blocks(0x20_0000, 0x40_0000), [0x20_0000]);
    assert!(blocks(0x20_1000, 0x20_1000).is_empty());
    let last = VirtualAddress::clamped(USER_END - 1).block();
    assert_eq!(last.end(), VirtualAddress::END);
    assert_eq!(last.range().pages() + PageCount::ONE, Block::PAGES);
    assert_eq!(last.range().as_block(), None);
    let block = PageRange::between(0x20_0000, 0x40_0000).unwrap().as_block();
    assert_eq!(block.map(Block::range), PageRange::between(0x20_0000, 0x40_0000));
    assert_eq!(PageRange::between(0x20_1000, 0x40_1000).unwrap().as_block(), None);
}
