//! Every fuzz target's entry point on its seeds, on mutations of them, and on what once failed.

use ampoule_fuzz::TARGETS;
use std::fs;
use std::path::Path;

/// SplitMix64: repeatable, and good enough to choose what to break.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

/// Breaks `input` in a few places, in the ways that decoders dislike.
fn mutate(input: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(input.len());
        match random.below(6) {
            0 if !input.is_empty() => input[at] ^= 1 << random.below(8),
            1 if !input.is_empty() => input[at] = [0, 1, 0x7f, 0x80, 0xfe, 0xff][random.below(6)],
            2 => input.truncate(at),
            3 => input.insert(at, random.next().to_le_bytes()[0]),
            4 if at + 8 <= input.len() => {
                // Lengths and offsets: huge, and just around the input's own length.
                let near = (input.len() as u64).wrapping_add(random.next() % 5).wrapping_sub(2);
                let value = [u64::MAX, i64::MAX.unsigned_abs(), near, 1 << 32][random.below(4)];
                let width = [2, 4, 8][random.below(3)];
                input[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
            }
            _ => {
                let end = at + random.below(input.len() - at);
                let copy = input[at..end].to_vec();
                input.extend_from_slice(&copy);
            }
        }
    }
}

#[test]
fn entry_points_survive_mutated_seeds() {
    for target in TARGETS {
        for (index, seed) in (target.seeds)().into_iter().enumerate() {
            (target.check)(&seed);
            let mut random = Random(index as u64);
            for _ in 0..target.mutations {
                let mut input = seed.clone();
                mutate(&mut input, &mut random);
                (target.check)(&input);
            }
        }
    }
}

#[test]
fn entry_points_survive_what_once_failed() {
    let regressions = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for target in TARGETS {
        let Ok(entries) = fs::read_dir(regressions.join(target.name)) else { continue };
        for entry in entries {
            (target.check)(&fs::read(entry.unwrap().path()).unwrap());
        }
    }
}

/// `cargo xtask fuzz` starts libFuzzer from these files.
#[test]
fn seeds_are_written_on_request() {
    let Some(corpus) = std::env::var_os("AMPOULE_WRITE_SEEDS") else { return };
    for target in TARGETS {
        let directory = Path::new(&corpus).join(target.name);
        fs::create_dir_all(&directory).unwrap();
        for (index, seed) in (target.seeds)().into_iter().enumerate() {
            fs::write(directory.join(format!("seed-{index}")), seed).unwrap();
        }
    }
}
