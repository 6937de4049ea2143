//! What [`crate::view`] promises, asked of page tables: no area and no address space is in play.

use super::*;
use crate::address::{Block, VirtualAddress};
use crate::meter::PORTION;
use crate::protection::Access;
use crate::view::portion::Portion;
use ampoule_abi::layout::PAGE_SIZE;

const START: u64 = 0x40_0000;

const fn at(page: u64) -> VirtualAddress {
    VirtualAddress::clamped(START + page * PAGE_SIZE)
}

const fn pages(first: u64, end: u64) -> PageRange {
    PageRange::new(at(first), at(end))
}

fn view(limit: u64) -> PageTables {
    PageTables::new(PageCount::new(limit)).unwrap()
}

fn commit(view: &mut PageTables, range: PageRange, protection: Protection) -> Result<(), MapError> {
    // In a portion of its own: little is committed ahead when much was done.
    view.commit(range.start(), range, protection, &mut Meter::new())
}

/// Does all of a change, portion by portion, and tells how many there were.
fn in_portions(range: PageRange, mut some: impl FnMut(PageRange, &mut Meter) -> Portion) -> usize {
    let (mut rest, mut count) = (range, 0);
    while !rest.is_empty() {
        let reached = some(rest, &mut Meter::new()).finished().unwrap();
        assert!(reached > rest.start(), "a portion gets past a page");
        rest = rest.rest(reached);
        count += 1;
    }
    count
}

fn byte(view: &PageTables, page: u64) -> Option<u8> {
    byte_at(view, at(page))
}

fn byte_at(view: &PageTables, address: VirtualAddress) -> Option<u8> {
    let mut out = [0xee];
    (view.read(address, &mut out) == 1).then_some(out[0])
}

#[test]
fn committed_memory_reads_as_zeros_and_what_is_not_committed_is_not_there() {
    let mut view = view(64);
    commit(&mut view, pages(1, 3), Protection::READ_WRITE).unwrap();
    assert_eq!([0, 1, 2, 3].map(|page| byte(&view, page)), [None, Some(0), Some(0), None]);
    // A copy goes as far as there is something.
    assert_eq!(view.write(at(1), &[7; 3 * 4096]), 2 * 4096);
    assert_eq!(view.read(at(0), &mut [0; 9]), 0);
    assert_eq!(view.count(pages(0, 64), PageCount::new(64), &mut Meter::new()).1.get(), 2);
    // Committing again changes nothing that is there.
    commit(&mut view, pages(0, 4), Protection::READ_WRITE).unwrap();
    assert_eq!([0, 1, 2, 3].map(|page| byte(&view, page)), [Some(0), Some(7), Some(7), Some(0)]);
}

#[test]
fn withdrawn_memory_is_gone_and_comes_back_as_zeros() {
    let mut view = view(64);
    commit(&mut view, pages(0, 8), Protection::READ_WRITE).unwrap();
    let in_use = view.in_use();
    view.write(at(0), &[7; 8 * 4096]);
    view.withdraw(pages(2, 4), &mut Meter::new()).finished().unwrap();
    assert_eq!([1, 2, 3, 4].map(|page| byte(&view, page)), [Some(7), None, None, Some(7)]);
    assert_eq!(view.in_use() + PageCount::new(2), in_use);
    commit(&mut view, pages(2, 4), Protection::READ_WRITE).unwrap();
    assert_eq!([2, 3].map(|page| byte(&view, page)), [Some(0), Some(0)]);
    assert_eq!(view.in_use(), in_use);
}

#[test]
fn rights_change_and_contents_stay() {
    let mut view = view(64);
    commit(&mut view, pages(0, 2), Protection::READ_WRITE).unwrap();
    view.write(at(0), b"stays");
    let may = |view: &PageTables| {
        [Access::Read, Access::Write, Access::Execute].map(|access| view.allows(at(0), access))
    };
    for (protection, expected) in [
        (Protection::READ, [true, false, false]),
        (Protection::NONE, [false, false, false]),
        (Protection::READ_EXECUTE, [true, false, true]),
    ] {
        view.protect(pages(0, 1), protection, &mut Meter::new()).finished().unwrap();
        assert_eq!(may(&view), expected, "{protection:?}");
    }
    assert_eq!(byte(&view, 0), Some(b's'));
    // Nothing is committed by that, and what is inaccessible keeps its memory.
    view.protect(pages(2, 9), Protection::READ, &mut Meter::new()).finished().unwrap();
    assert_eq!(byte(&view, 2), None);
}

#[test]
fn what_was_prepared_for_moves_without_memory() {
    let mut view = view(32);
    commit(&mut view, pages(0, 4), Protection::READ_WRITE).unwrap();
    view.write(at(0), &[7; 4 * 4096]);
    let to = VirtualAddress::clamped(1 << 40);
    let reached = view.prepare(pages(0, 4), to, &mut Meter::new()).unwrap();
    assert_eq!(reached, at(4));
    while commit(&mut view, pages(100, 130), Protection::READ).is_ok() {
        if view.available() == PageCount::ZERO {
            break;
        }
    }
    assert_eq!(view.available(), PageCount::ZERO);
    view.relocate(pages(0, 4), to, &mut Meter::new()).finished().unwrap();
    assert_eq!(byte(&view, 0), None);
    let mut out = [0; 4 * 4096];
    assert_eq!(view.read(to, &mut out), out.len());
    assert_eq!(out, [7; 4 * 4096]);
    // So does giving back.
    assert_eq!(view.prepare(pages(100, 101), at(1 << 20), &mut Meter::new()).ok(), None);
    let moved = PageRange::new(to, to.plus(4 * PAGE_SIZE));
    view.withdraw(moved, &mut Meter::new()).finished().unwrap();
    assert_eq!(view.available().get(), 4);
}

#[test]
fn without_memory_only_that_is_said() {
    let mut view = view(6);
    let refused = MapError::OutOfMemory { capacity: 6 * PAGE_SIZE };
    // The root, three tables and two pages.
    commit(&mut view, pages(0, 2), Protection::READ).unwrap();
    assert_eq!(commit(&mut view, pages(2, 3), Protection::READ), Err(refused));
    // A neighbour that could not be had is no failure.
    commit(&mut view, pages(1, 5), Protection::READ).unwrap();
    let meter = &mut Meter::new();
    let pinned = view.show_pinned(pages(9, 11), Protection::READ, Privilege::User, meter);
    assert_eq!(pinned, Err(refused));
}

#[test]
fn changes_come_in_portions() {
    let mut view = view(16 << 10);
    let all = pages(0, 8 << 10);
    for block in all.blocks() {
        commit(&mut view, block.range(), Protection::READ_WRITE).unwrap();
    }
    let whole =
        |view: &PageTables, range| view.count(range, PageCount::new(u64::MAX), &mut Meter::new()).1;
    assert!(in_portions(all, |rest, meter| view.protect(rest, Protection::READ, meter)) > 1);
    let mut meter = Meter::new();
    meter.charge(PORTION);
    let portion = view.withdraw(all, &mut meter);
    assert_eq!(portion.reached, at(1), "one page, when the portion was over before");
    assert!(in_portions(all, |rest, meter| view.withdraw(rest, meter)) > 1);
    assert_eq!(whole(&view, all), PageCount::ZERO);
}

/// A view in which a block has a large leaf.
fn with_large_leaf() -> (PageTables, PageRange) {
    let mut original = view(64 << 10);
    commit(&mut original, pages(0, 1), Protection::READ_WRITE).unwrap();
    let (layout, extent) = original.seal(&mut Meter::new()).unwrap();
    let length = layout.boundary().address().get();
    let contents = Mapping::over(&[extent], length).unwrap();
    let mut view = PageTables::of_image(contents, &layout).unwrap();
    let mut blocks = pages(512, 64 << 10).blocks();
    loop {
        let range = blocks.next().unwrap().range();
        commit(&mut view, range, Protection::READ_WRITE).unwrap();
        if view.large_leaves() > 0 {
            return (view, range);
        }
    }
}

#[test]
fn a_large_leaf_behaves_like_its_pages() {
    let (mut view, block) = with_large_leaf();
    let generation = view.generation();
    let count =
        |view: &PageTables| view.count(block, PageCount::new(u64::MAX), &mut Meter::new()).1;
    assert_eq!(count(&view), Block::PAGES);
    assert_eq!(view.write(block.start(), &[7; 3 * 4096]), 3 * 4096);
    let second = PageRange::new(block.start().plus(PAGE_SIZE), block.start().plus(2 * PAGE_SIZE));
    view.withdraw(second, &mut Meter::new()).finished().unwrap();
    assert_eq!((view.large_leaves(), count(&view).get()), (0, 511));
    assert!(view.generation() > generation, "an entry that led to the leaf was replaced");
    assert_eq!(view.read(block.start(), &mut [0; 3 * 4096]), 4096);
    assert_eq!(byte_at(&view, second.end()), Some(7));
    // As a whole it goes without being split.
    let (mut view, block) = with_large_leaf();
    view.withdraw(block, &mut Meter::new()).finished().unwrap();
    assert_eq!((view.large_leaves(), byte_at(&view, block.start())), (0, None));
}

#[test]
fn what_was_written_is_undone_and_what_was_read_or_loaded_is_not() {
    let mut original = view(4 << 10);
    commit(&mut original, pages(0, 8), Protection::READ_WRITE).unwrap();
    original.write(at(0), &[1; 8 * 4096]);
    let (layout, extent) = original.seal(&mut Meter::new()).unwrap();
    let length = layout.boundary().address().get();
    let contents = || Mapping::over(std::slice::from_ref(&extent), length).unwrap();
    let (image, mut view) = (contents(), PageTables::of_image(contents(), &layout).unwrap());
    assert_eq!(byte(&view, 3), Some(1));
    view.write(at(2), &[2; 4096]);
    view.load(at(5), &[5]);
    let undone = view.undo(&layout, &image, &mut Meter::new()).unwrap();
    assert_eq!(undone, Some(1));
    assert_eq!([2, 3, 5].map(|page| byte(&view, page)), [Some(1), Some(1), Some(5)]);
    // Hot pages stay hot.
    assert_eq!(view.undo(&layout, &image, &mut Meter::new()).unwrap(), Some(1));
    assert!(view.was_used(pages(2, 3)) && !view.was_used(pages(3, 8)));
    view.drop_all().unwrap();
    view.adopt(&layout);
    assert_eq!(byte(&view, 5), Some(1));
}
