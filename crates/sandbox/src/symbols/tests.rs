//! Tables as a linker writes them, and as somebody who wants to keep the host busy would.

use super::demangle::PIECES_MAX;
use super::*;

/// An executable that is nothing but a symbol table.
pub(crate) struct Table {
    /// Start, size, kind, and where the name stands among the strings.
    pub(crate) symbols: Vec<(u64, u64, u8, u32)>,
    pub(crate) strings: Vec<u8>,
    /// Sections before that of the symbols.
    pub(crate) sections_before: usize,
}

impl Table {
    /// Functions with these names, one behind the other from `0x1000`, 16 bytes each.
    pub(crate) fn of(names: &[&str]) -> Self {
        let mut table = Self { symbols: Vec::new(), strings: vec![0], sections_before: 1 };
        for (start, name) in (0x1000..).step_by(16).zip(names) {
            let at = u32::try_from(table.strings.len()).unwrap();
            table.symbols.push((start, 16, elf::STT_FUNC, at));
            table.strings.extend_from_slice(name.as_bytes());
            table.strings.push(0);
        }
        table
    }

    /// Puts the table behind `file`, whose header then leads to it.
    pub(crate) fn append_to(&self, mut file: Vec<u8>) -> Vec<u8> {
        file.resize(file.len().next_multiple_of(8), 0);
        let symbols_at = file.len();
        for &(start, size, kind, name) in &self.symbols {
            file.extend_from_slice(&name.to_le_bytes());
            file.extend_from_slice(&[kind, 0, 1, 0]);
            file.extend_from_slice(&start.to_le_bytes());
            file.extend_from_slice(&size.to_le_bytes());
        }
        let strings_at = file.len();
        file.extend_from_slice(&self.strings);
        file.resize(file.len().next_multiple_of(8), 0);
        let sections_at = file.len();
        file.resize(sections_at + 64 * self.sections_before, 0);
        let link = u32::try_from(self.sections_before + 1).unwrap();
        let sections = [
            (elf::SHT_SYMTAB, symbols_at, strings_at - symbols_at, link, 24),
            (elf::SHT_STRTAB, strings_at, self.strings.len(), 0, 0),
        ];
        for (kind, at, length, link, entry) in sections {
            let words: [u64; 8] =
                [u64::from(kind) << 32, 0, 0, at as u64, length as u64, u64::from(link), 1, entry];
            file.extend(words.into_iter().flat_map(u64::to_le_bytes));
        }
        file[40..48].copy_from_slice(&(sections_at as u64).to_le_bytes());
        file[58..60].copy_from_slice(&64_u16.to_le_bytes());
        let count = u16::try_from(self.sections_before + 2).unwrap();
        file[60..62].copy_from_slice(&count.to_le_bytes());
        file
    }

    fn read(&self) -> Symbols {
        Symbols::new(self.append_to(crate::elf::tests::ElfFile::default().bytes()).into(), 0)
    }
}

/// A number in the form of back references: base 62 and one less, from `_` for 0 (RFC 2603).
fn base_62(number: usize) -> String {
    let digits = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut text = String::from("_");
    let mut rest = number;
    while rest > 0 {
        text.insert(0, char::from(digits[(rest - 1) % 62]));
        rest = (rest - 1) / 62;
    }
    text
}

/// A generic function with one argument for each of `arguments`, which are written with the place where
/// the one before stands.
fn generic(arguments: usize, mut argument: impl FnMut(usize, usize) -> String) -> String {
    let mut name = String::from("_RINvC1a1b");
    let mut before = 0;
    for index in 0..arguments {
        let at = name.len() - 2;
        name += &argument(index, before);
        before = at;
    }
    name + "E"
}

/// Each argument is a pair of the one before.
pub(crate) fn doubling() -> String {
    generic(40, |index, before| match index {
        0 => "TyyE".into(),
        _ => format!("TB{0}B{0}E", base_62(before)),
    })
}

/// A long way without a piece of output, gone again and again.
pub(crate) fn long_ways() -> String {
    let deep = format!("{}C1x{}", "Nt".repeat(95), "0".repeat(95));
    generic(16, |index, before| match index {
        0 => deep.clone(),
        _ => format!("TB{0}B{0}E", base_62(before)),
    })
}

/// References to references.
fn chains() -> String {
    generic(84, |index, before| match index {
        0 => "y".into(),
        1..64 => format!("B{}", base_62(before)),
        _ => format!("TB{0}B{0}E", base_62(before)),
    })
}

#[test]
fn an_address_is_named_after_the_function_that_holds_it() {
    let symbols =
        Table::of(&["main", "_ZN4core3fmt5write17h0123456789abcdefE", "_RNvC1a1b"]).read();
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
    let plain = crate::elf::tests::ElfFile::default().bytes();
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
        assert_eq!(table.read().report().locate(0x1000).symbol, None);
    }
    let mut table = Table::of(&["no end"]);
    table.strings.pop();
    assert_eq!(table.read().report().locate(0x1000).symbol.as_deref(), Some("no end"));
    let file = Table::of(&["main"]).append_to(crate::elf::tests::ElfFile::default().bytes());
    for length in 0..file.len() {
        let symbols = Symbols::new(file[..length].into(), 0);
        assert_eq!(symbols.report().locate(0x1000).symbol, None, "{length}");
    }
}

#[test]
fn names_are_short_text_without_control_characters() {
    let long = "x".repeat(10_000);
    let symbols = Table::of(&[&long, "a\x1b[2Jb", "ü"]).read();
    let mut report = symbols.report();
    assert_eq!(report.locate(0x1000).symbol.unwrap().len(), NAME_MAX);
    assert_eq!(report.locate(0x1010).symbol.as_deref(), Some("a\u{fffd}[2Jb"));
    assert_eq!(report.locate(0x1020).symbol.as_deref(), Some("ü"));
    let mut table = Table::of(&["x"]);
    // Every byte an error, and three bytes each when it is shown.
    table.strings = [&[0][..], &[0xff; 600]].concat();
    let name = table.read().report().locate(0x1000).symbol.unwrap();
    assert!(name.len() <= NAME_MAX && name.chars().all(|c| c == '\u{fffd}'), "{name}");
}

#[test]
fn a_table_is_read_once_whatever_is_in_it() {
    let names = vec!["a"; 100];
    let mut table = Table::of(&names);
    table.sections_before = 40;
    let symbols = table.read();
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
    let symbols = table.read();
    let mut report = symbols.report();
    assert_eq!(report.locate(4096).symbol.unwrap().len(), NAME_MAX);
    assert!(report.steps() < 110_000, "{}", report.steps());
}

#[test]
fn symbols_and_sections_beyond_the_bounds_are_not_looked_at() {
    let mut table = Table::of(&["early"]);
    table.symbols.resize(SYMBOLS_MAX, (0, 0, elf::STT_OBJECT, 0));
    table.symbols.push((0x2000, 16, elf::STT_FUNC, 1));
    let symbols = table.read();
    let mut report = symbols.report();
    assert_eq!(report.locate(0x2000).symbol, None);
    assert_eq!(report.locate(0x1000).symbol.as_deref(), Some("early"));
    assert!(report.steps() <= SYMBOLS_MAX + SECTIONS_MAX + 2 * NAME_MAX, "{}", report.steps());
    let mut table = Table::of(&["late"]);
    table.sections_before = 60_000;
    let symbols = table.read();
    let mut report = symbols.report();
    assert_eq!(report.locate(0x1000).symbol, None);
    assert_eq!(report.steps(), SECTIONS_MAX);
}

#[test]
fn names_that_double_are_cut_where_no_more_is_shown() {
    for name in [doubling(), long_ways(), chains()] {
        assert!(name.len() <= NAME_MAX, "{}", name.len());
        let symbols = Table::of(&[&name]).read();
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
    let symbols = Table::of(&names).read();
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
    let symbols = Table::of(&names).read();
    for (address, expected) in (0x1000..).step_by(16).zip(names) {
        let name = symbols.report().locate(address).symbol;
        assert_eq!(name.as_deref(), Some(expected));
    }
    assert_eq!(symbols.names.lock().len(), NAMES_KEPT);
}
