use super::*;
use crate::mapping::Mapping;
use crate::protection::{Privilege, Protection};
use crate::view::page_tables::scan::Used;
use ampoule_abi::layout::USER_END;
use std::sync::Arc;

/// Tables in memory of 64 pages, whose frames are handed out in order; the root is the first.
struct Small {
    memory: PhysicalMemory,
    tables: Tables,
    next: u64,
}

const fn at(address: u64) -> VirtualAddress {
    VirtualAddress::clamped(address)
}

fn leaf(frame: u64) -> Entry {
    Entry::leaf(Frame::new(frame).address(), Protection::READ_WRITE, Privilege::User)
}

impl Small {
    fn new() -> Self {
        let memory = Arc::new(Mapping::anonymous(64 * PAGE_SIZE).unwrap());
        let memory = PhysicalMemory::new(vec![(Frame::ZERO.address(), memory)]);
        Self { memory, tables: Tables::new(Frame::ZERO), next: 1 }
    }

    fn prepare(&mut self, address: u64) {
        let next = &mut self.next;
        let allocate = || {
            *next += 1;
            Some(Frame::new(*next - 1))
        };
        self.tables.prepare(&self.memory, at(address), allocate).unwrap();
    }

    /// Maps the page at `address` to a frame, making the tables for it.
    fn map(&mut self, address: u64, frame: u64) {
        self.prepare(address);
        assert!(self.tables.replace(&self.memory, at(address), leaf(frame)));
    }

    /// The pages that a walk shows, where it ended, and what it cost.
    fn walk(&self, start: u64, end: u64, found_costs: u64) -> (Vec<u64>, u64, u64) {
        let (mut pages, mut meter) = (Vec::new(), Meter::new());
        let range = PageRange::between(start, end).unwrap();
        let ended = self.tables.walk(&self.memory, range, &mut meter, |page, _, _| {
            pages.push(page.get());
            found_costs
        });
        (pages, ended.get(), meter.spent())
    }
}

#[test]
fn a_page_is_found_where_it_was_entered_and_nowhere_else() {
    let mut small = Small::new();
    small.map(0x40_3000, 40);
    assert_eq!(small.next, 4, "three tables below the root");
    assert_eq!(small.tables.leaf(&small.memory, at(0x40_3fff)), leaf(40));
    assert_eq!(small.tables.lookup(&small.memory, at(0x40_4000)), Some(Entry::EMPTY));
    assert_eq!(small.tables.lookup(&small.memory, at(0x60_0000)), None);
    assert!(!small.tables.replace(&small.memory, at(0x60_0000), leaf(41)));
    // A neighbour needs one more table, a page far away three.
    small.prepare(0x60_0000);
    assert_eq!(small.next, 5);
    small.prepare(1 << 40);
    assert_eq!(small.next, 8);
    assert_eq!(small.tables.frames(&small.memory), (0..8).map(Frame::new).collect());
    let refused = small.tables.prepare(&small.memory, at(1 << 41), || None);
    assert_eq!(refused, Err(NoFrame));
}

#[test]
fn a_walk_shows_what_is_committed_and_skips_what_has_no_table_at_once() {
    let mut small = Small::new();
    for (page, frame) in [(0x40_3000, 40), (0x40_4000, 41), (0x80_0000, 42)] {
        small.map(page, frame);
    }
    let all = small.walk(0, USER_END, 1);
    assert_eq!(all.0, [0x40_3000, 0x40_4000, 0x80_0000]);
    assert_eq!(all.1, USER_END);
    // 2 and 1 blocks without a table before and between, 507 behind; 511 GiB and 255 times 512 GiB; two
    // tables, three pages.
    assert_eq!(all.2, (3 + 507 + 511 + 255) * cost::STEP + 2 * price::TABLE + 3);
    // The walk ends behind the page with which the portion was over.
    assert_eq!(small.walk(0x40_0000, 0x60_0000, 1 << 20).0, [0x40_3000]);
    assert_eq!(small.walk(0x40_0000, 0x60_0000, 1 << 20).1, 0x40_4000);
}

#[test]
fn a_large_leaf_comes_and_goes_and_becomes_small_ones() {
    let mut small = Small::new();
    small.prepare(0x40_0000);
    let block = at(0x40_0000).block();
    let large = leaf(512);
    let table = small.tables.join(&small.memory, block, large).unwrap();
    assert_eq!(table, Frame::new(3).address());
    assert_eq!(small.tables.leaf(&small.memory, at(0x40_3000)), leaf(515));
    assert_eq!(small.tables.leaf_table(&small.memory, at(0x40_3000)), None);
    // As small ones, which tell that the table was used when the leaf was.
    small.tables.mark_dirty(&small.memory, at(0x40_3000)).unwrap();
    small.tables.split(&small.memory, block, table);
    assert_eq!(small.tables.leaf_table(&small.memory, at(0x40_3000)), Some(table));
    let split = small.tables.leaf(&small.memory, at(0x40_3000));
    assert_eq!(split, leaf(515).with(Entry::USED));
    let slot = small.tables.directory_slot(&small.memory, at(0x40_0000)).unwrap();
    assert_eq!(read(&small.memory, slot), Some(Entry::table(table).with(Entry::ACCESSED)));
    // Taken away, with an empty table in its place.
    small.prepare(0x60_0000);
    let block = at(0x60_0000).block();
    let table = small.tables.join(&small.memory, block, leaf(1024)).unwrap();
    let gone = small.tables.part(&small.memory, block, table).unwrap();
    assert_eq!(gone.frame(), Frame::new(1024));
    assert_eq!(small.tables.lookup(&small.memory, at(0x60_1000)), Some(Entry::EMPTY));
}

#[test]
fn dirty_pages_are_found_in_tables_that_were_used() {
    let mut small = Small::new();
    for (page, frame) in [(0x40_3000, 40), (0x40_4000, 41), (1 << 40, 42)] {
        small.map(page, frame);
    }
    let dirty = |small: &Small| {
        let mut found = Vec::new();
        for directory in small.tables.directories(&small.memory) {
            Tables::for_each_dirty(&small.memory, directory, |frame| found.push(frame.get()))
                .unwrap();
        }
        found
    };
    assert_eq!(small.tables.directories(&small.memory).len(), 2);
    assert!(dirty(&small).is_empty());
    small.tables.mark_dirty(&small.memory, at(0x40_4123)).unwrap();
    assert_eq!(dirty(&small), [41]);
    small.tables.mark_dirty(&small.memory, at(1 << 40)).unwrap();
    assert_eq!(dirty(&small), [41, 42]);
    let mut used = (0, Vec::new());
    small.tables.for_each_used(&small.memory, |entry| match entry {
        Used::Table { .. } => used.0 += 1,
        Used::Page { bits, frame, .. } => used.1.push((bits, frame.get())),
    });
    used.1.sort_unstable();
    assert_eq!(used, (6, vec![(Entry::USED, 41), (Entry::USED, 42)]));
}
