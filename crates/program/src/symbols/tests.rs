//! Tables as a linker writes them, and as somebody who wants to keep the host busy would.

use super::demangle::PIECES_MAX;
use super::*;
use ampoule_testkit::executables::{ElfFile, Table, chains, doubling, long_ways};

fn read(table: &Table) -> Symbols {
    Symbols::new(table.append_to(ElfFile::default().bytes()).into(), 0)
}

#[test]
fn an_address_is_named_after_the_function_that_holds_it() {
    let symbols =
        read(&Table::of(&["main", "_ZN4core3fmt5write17h0123456789abcdefE", "_RNvC1a1b"]));
    let mut report = symbols.report();
    for (address, name, offset) in [
        (0xfff, None, 0),
        (0x1000, Some("main"), 0),
        (0x100f, Some("main"), 15),
        (0x1010, Some("core::fmt::write"), 0),
        (0x102f, Some("a::b"), 15),
        (0x1030, None, 0),
        (u64::MAX, None, 0),
    ] {
        let location = report.locate(address);
        assert_eq!((location.symbol.as_deref(), location.offset), (name, offset), "{address:#x}");
    }
}

#[test]
fn an_executable_without_symbols_names_nothing() {
    let plain = ElfFile::default().bytes();
    for file in [plain.clone(), plain[..20].to_vec(), Vec::new()] {
        let symbols = Symbols::new(file.into(), 0);
        assert_eq!(symbols.report().locate(0x1000).symbol, None);
    }
}

#[test]
fn tables_that_lie_name_nothing_or_a_part() {
    let changes: [fn(&mut Table); 4] = [
        |table| table.symbols[0].3 = u32::MAX,
        |table| table.strings.clear(),
        |table| table.symbols[0].2 = elf::STT_OBJECT,
        |table| table.symbols.clear(),
    ];
    for change in changes {
        let mut table = Table::of(&["main"]);
        change(&mut table);
        assert_eq!(read(&table).report().locate(0x1000).symbol, None);
    }
    let mut table = Table::of(&["no end"]);
    table.strings.pop();
    assert_eq!(read(&table).report().locate(0x1000).symbol.as_deref(), Some("no end"));
    let file = Table::of(&["main"]).append_to(ElfFile::default().bytes());
    for length in 0..file.len() {
        let symbols = Symbols::new(file[..length].into(), 0);
        assert_eq!(symbols.report().locate(0x1000).symbol, None, "{length}");
    }
}

#[test]
fn names_are_short_text_without_control_characters() {
    let long = "x".repeat(10_000);
    let symbols = read(&Table::of(&[&long, "a\x1b[2Jb", "ü"]));
    let mut report = symbols.report();
    assert_eq!(report.locate(0x1000).symbol.unwrap().len(), NAME_MAX);
    assert_eq!(report.locate(0x1010).symbol.as_deref(), Some("a\u{fffd}[2Jb"));
    assert_eq!(report.locate(0x1020).symbol.as_deref(), Some("ü"));
    let mut table = Table::of(&["x"]);
    // Every byte an error, and three bytes each when it is shown.
    table.strings = [&[0][..], &[0xff; 600]].concat();
    let name = read(&table).report().locate(0x1000).symbol.unwrap();
    assert!(name.len() <= NAME_MAX && name.chars().all(|c| c == '\u{fffd}'), "{name}");
}

#[test]
fn a_table_is_read_once_whatever_is_in_it() {
    let names = vec!["a"; 100];
    let mut table = Table::of(&names);
    table.sections_before = 40;
    let symbols = read(&table);
    let mut first = symbols.report();
    first.locate(0x1000);
    assert!(first.steps() >= 140, "{}", first.steps());
    let mut second = symbols.report();
    second.locate(0x1010);
    second.locate(0x1010);
    assert!(second.steps() < 10, "{}", second.steps());
}

#[test]
fn many_symbols_over_one_long_string_cost_a_look_each() {
    let mut table = Table::of(&[]);
    table.strings = vec![b'a'; 2_000_000];
    table.symbols = (0..100_000).map(|index| (index % 4096, 4096, elf::STT_FUNC, 1)).collect();
    let symbols = read(&table);
    let mut report = symbols.report();
    assert_eq!(report.locate(4096).symbol.unwrap().len(), NAME_MAX);
    assert!(report.steps() < 110_000, "{}", report.steps());
}

#[test]
fn symbols_and_sections_beyond_the_bounds_are_not_looked_at() {
    let mut table = Table::of(&["early"]);
    table.symbols.resize(SYMBOLS_MAX, (0, 0, elf::STT_OBJECT, 0));
    table.symbols.push((0x2000, 16, elf::STT_FUNC, 1));
    let symbols = read(&table);
    let mut report = symbols.report();
    assert_eq!(report.locate(0x2000).symbol, None);
    assert_eq!(report.locate(0x1000).symbol.as_deref(), Some("early"));
    assert!(report.steps() <= SYMBOLS_MAX + SECTIONS_MAX + 2 * NAME_MAX, "{}", report.steps());
    let mut table = Table::of(&["late"]);
    table.sections_before = 60_000;
    let symbols = read(&table);
    let mut report = symbols.report();
    assert_eq!(report.locate(0x1000).symbol, None);
    assert_eq!(report.steps(), SECTIONS_MAX);
}

#[test]
fn names_that_double_are_cut_where_no_more_is_shown() {
    for name in [doubling(), long_ways(), chains()] {
        assert!(name.len() <= NAME_MAX, "{}", name.len());
        let symbols = read(&Table::of(&[&name]));
        let mut report = symbols.report();
        let shown = report.locate(0x1000).symbol.unwrap();
        assert!(shown.starts_with("a::b::<") && shown.len() <= NAME_MAX, "{shown}");
        assert!(report.steps() <= NAME_MAX * (PIECES_MAX + 3), "{}", report.steps());
    }
}

#[test]
fn a_report_has_a_budget_however_many_names_double() {
    let names: Vec<_> = (0..256).map(|index| format!("{}.{index}", long_ways())).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let symbols = read(&Table::of(&names));
    let shown = |symbols: &Symbols| {
        let mut report = symbols.report();
        let named = (0..256).map(|index| report.locate(0x1000 + 16 * index).symbol.unwrap());
        let readable = named.filter(|name| name.starts_with("a::b")).count();
        (readable, report.steps())
    };
    let (readable, steps) = shown(&symbols);
    assert!((1..256).contains(&readable), "{readable}");
    let bound = STEPS_MAX + NAME_MAX * PIECES_MAX + 256 * 2 * NAME_MAX + 1000;
    assert!(steps <= bound, "{steps}");
    // What was made readable is not made so again, and the next report gets further.
    let (more, _) = shown(&symbols);
    assert!(more > readable, "{more} after {readable}");
}

#[test]
fn kept_names_are_bounded_in_number() {
    let names: Vec<_> = (0..2 * NAMES_KEPT).map(|index| format!("f{index}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let symbols = read(&Table::of(&names));
    for (address, expected) in (0x1000..).step_by(16).zip(names) {
        let name = symbols.report().locate(address).symbol;
        assert_eq!(name.as_deref(), Some(expected));
    }
    assert_eq!(symbols.names.lock().len(), NAMES_KEPT);
}
