//! The executable file itself.

use ampoule_program::report_of;
use ampoule_sandbox::parse_executable;

/// Parsing never panics, and what it accepts is consistent; naming addresses never panics, and its names and
/// its work are bounded.
pub fn check(input: &[u8]) {
    let addresses = [0, 0x40_0100, 0x40_0108, u64::MAX];
    let (named, steps) = report_of(input, &addresses);
    let longest = named.iter().filter_map(|at| at.symbol.as_ref()).map(|name| name.len()).max();
    assert!(longest.unwrap_or(0) <= 512, "{named:?}");
    assert!(steps <= input.len() / 24 + 4096 + addresses.len() * 513 * 1536, "{steps}");
    let Ok(program) = parse_executable(input) else { return };
    assert!(program.entry != 0 && program.break_start != 0, "{program:?}");
}

/// Small executables of both kinds, and one with an interpreter.
pub fn seeds() -> Vec<Vec<u8>> {
    const EXEC: u16 = 2;
    const DYN: u16 = 3;
    const LOAD: u32 = 1;
    const INTERP: u32 = 3;
    const TLS: u32 = 7;
    let code =
        Segment { kind: LOAD, flags: 5, offset: 0, address: 0x40_0000, file: 0x200, memory: 0x200 };
    let data = Segment {
        kind: LOAD,
        flags: 6,
        offset: 0x200,
        address: 0x40_1200,
        file: 0x10,
        memory: 0x2000,
    };
    let low = |segment: Segment| Segment { address: segment.address - 0x40_0000, ..segment };
    vec![
        executable(EXEC, 0x40_0100, &[code, data]),
        executable(DYN, 0x100, &[low(code), low(data)]),
        executable(EXEC, 0x40_0100, &[code, Segment { kind: TLS, ..data }, data]),
        executable(DYN, 0x100, &[Segment { kind: INTERP, ..low(code) }, low(code)]),
        executable(EXEC, 0x40_0100, &[Segment { flags: 7, ..code }]),
        executable(EXEC, 0x40_0100, &[code, Segment { address: code.address + 0x100, ..data }]),
        with_symbols(executable(EXEC, 0x40_0100, &[code, data])),
    ]
}

#[derive(Clone, Copy)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file: u64,
    memory: u64,
}

/// An ELF file for x86-64 (System V ABI, chapter 4): header, program headers, padding.
fn executable(kind: u16, entry: u64, segments: &[Segment]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(kind.to_le_bytes());
    file.extend(62_u16.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    file.extend(entry.to_le_bytes());
    file.extend(64_u64.to_le_bytes());
    file.extend([0; 8 + 4]);
    file.extend(64_u16.to_le_bytes());
    file.extend(56_u16.to_le_bytes());
    file.extend(u16::try_from(segments.len()).expect("a few segments").to_le_bytes());
    file.extend([0; 6]);
    for segment in segments {
        file.extend(segment.kind.to_le_bytes());
        file.extend(segment.flags.to_le_bytes());
        let Segment { offset, address, file: in_file, memory, .. } = *segment;
        for field in [offset, address, address, in_file, memory, 0x1000] {
            file.extend(field.to_le_bytes());
        }
    }
    file.resize(0x400, 0xcc);
    file
}

/// Puts a table of two functions behind `file`, whose names are mangled.
fn with_symbols(mut file: Vec<u8>) -> Vec<u8> {
    let strings = b"\0_RINvC1a1bTyyETB7_B7_EE\0_ZN4core3fmt5write17h0123456789abcdefE\0";
    let symbols = file.len();
    for (start, name) in [(0x40_0100_u64, 1_u32), (0x40_0108, 25)] {
        file.extend(name.to_le_bytes());
        file.extend([2, 0, 1, 0]);
        file.extend(start.to_le_bytes());
        file.extend(8_u64.to_le_bytes());
    }
    let text = file.len();
    file.extend(strings);
    file.resize(file.len().next_multiple_of(8), 0);
    let sections = file.len();
    file.extend([0; 64]);
    for (kind, at, length, link) in [(2_u64, symbols, 48, 2), (3, text, strings.len(), 0)] {
        let words = [kind << 32, 0, 0, at as u64, length as u64, link, 1, 24];
        file.extend(words.into_iter().flat_map(u64::to_le_bytes));
    }
    file[40..48].copy_from_slice(&(sections as u64).to_le_bytes());
    file[58..60].copy_from_slice(&64_u16.to_le_bytes());
    file[60..62].copy_from_slice(&3_u16.to_le_bytes());
    file
}

#[cfg(test)]
mod tests {
    use super::{check, parse_executable, report_of, seeds};

    #[test]
    fn the_first_seeds_are_good_executables() {
        for seed in &seeds()[..3] {
            parse_executable(seed).unwrap();
        }
    }

    #[test]
    fn the_last_seed_has_names() {
        let seeds = seeds();
        let (named, _) = report_of(&seeds[6], &[0x40_0100, 0x40_010f]);
        let names: Vec<_> = named.iter().map(|at| at.symbol.as_deref()).collect();
        let doubled = "a::b::<(u64, u64), ((u64, u64), (u64, u64))>";
        assert_eq!(names, [Some(doubled), Some("core::fmt::write")]);
        seeds.iter().for_each(|seed| check(seed));
    }
}
