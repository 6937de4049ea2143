//! The system calls that the personality answers, against Linux itself: the same program makes the
//! same calls natively and in a sandbox, and what it prints is compared line by line.
//!
//! `guests/fixtures/c/system-calls` holds the checks, a file a family, and makes the world in which they run
//! natively. What differs by design is listed in `system_calls/differences.rs`.

#[path = "system_calls/differences.rs"]
mod differences;
#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use ampoule_sandbox::{Config, File, State, Step, Stop};
use ampoule_testkit::{CLibrary, c_guest, kvm_is_available};
use differences::DIFFERENCES;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use support::{Outcome, program, run};

/// Where the program and its tree say that it lies.
const PROGRAM: &str = "/bin/system-calls";
/// What standard input gives.
const INPUT: &[u8] = b"input\n";
/// What the program ends with where the machine does not let it make its native world.
const NO_WORLD: i32 = 77;

/// What a run printed, and its exit status, 128 and more for a signal.
struct Transcript {
    text: String,
    status: i32,
}

/// Runs the program natively; [`None`], loudly, where that cannot be.
#[expect(clippy::unwrap_used, reason = "test support: failing loudly is the point")]
fn natively(executable: &Path, arguments: &[&str]) -> Option<Transcript> {
    // All input is there, and has ended, before the program can look; it is small enough for the pipe.
    let (input, mut writer) = std::io::pipe().unwrap();
    writer.write_all(INPUT).unwrap();
    drop(writer);
    let output = Command::new(executable)
        .arg("native")
        .args(arguments)
        .env_clear()
        .stdin(input)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(NO_WORLD) {
        ampoule_testkit::skip(&format!("{said}(it needs root or namespaces of ordinary users)"));
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, "", "{arguments:?}, natively");
    Some(Transcript { text, status: output.status.code().unwrap_or(-1) })
}

#[expect(clippy::panic, reason = "test support: failing loudly is the point")]
fn inside(executable: &Path, arguments: &[&str]) -> Transcript {
    let outcome = driven(executable, arguments);
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let Step::Exited { code, .. } = outcome.step else {
        panic!("{arguments:?}, inside: {:?}, after\n{text}", outcome.sandbox.state());
    };
    Transcript { text, status: code }
}

/// Runs the program in a sandbox, with the files that its native world has.
fn driven(executable: &Path, arguments: &[&str]) -> Outcome {
    let file = |path: &str, contents: &[u8]| File { path: path.into(), contents: contents.into() };
    let large: Vec<u8> = (b'a'..=b'z').cycle().take(100_000).collect();
    let config = Config {
        files: vec![
            file(PROGRAM, b"program"),
            file("/data/empty", b""),
            file("/data/large", &large),
            file("/data/text", b"hello, world\n"),
            file("/data/deep/file", b"contents"),
        ],
        ..program(ampoule_testkit::read(executable), PROGRAM, arguments)
    };
    run(&config, INPUT)
}

/// The lines of a transcript by what stands before ` = `.
#[expect(clippy::panic, reason = "test support: failing loudly is the point")]
fn lines(text: &str) -> BTreeMap<&str, &str> {
    let mut lines = BTreeMap::new();
    for line in text.lines() {
        let Some((check, result)) = line.split_once(" = ") else { panic!("no check: {line}") };
        assert!(lines.insert(check, result).is_none(), "two checks have one name: {check}");
    }
    lines
}

/// Runs one family natively and inside and compares.
fn agrees(family: &str) {
    let Some(executable) = c_guest("system-calls", CLibrary::Glibc) else { return };
    if !kvm_is_available() {
        return;
    }
    let Some(native) = natively(&executable, &[family]) else { return };
    let inside = inside(&executable, &[family]);
    assert_eq!((native.status, inside.status), (0, 0), "{family}: exit status");
    let (native, inside) = (lines(&native.text), lines(&inside.text));
    let mut wrong = Vec::new();
    for (&check, &result) in &native {
        let answer = inside.get(check).copied().unwrap_or("(missing)");
        let expected = DIFFERENCES.iter().find(|known| known.check == (family, check));
        match expected {
            None if answer != result => {
                wrong.push(format!("{check}: Linux {result}, here {answer}"));
            }
            Some(known) if answer == result => {
                wrong.push(format!("{check}: no longer differs, but {}", known.reason));
            }
            Some(known) if answer != known.inside => {
                let expected = known.inside;
                wrong.push(format!("{check}: {expected} by design, here {answer}"));
            }
            _ => {}
        }
    }
    wrong.extend(
        inside.keys().filter(|check| !native.contains_key(*check)).map(ToString::to_string),
    );
    assert!(wrong.is_empty(), "{family}: {} lines differ\n{}", wrong.len(), wrong.join("\n"));
}

/// Calls by chance, from a few seeds; more with `AMPOULE_CHANCE=<first>..<end>`.
#[test]
fn calls_by_chance_are_answered_as_in_linux() {
    let Some(executable) = c_guest("system-calls", CLibrary::Glibc) else { return };
    if !kvm_is_available() {
        return;
    }
    let seeds = std::env::var("AMPOULE_CHANCE").unwrap_or_else(|_| "1..4".into());
    let (first, end) = seeds.split_once("..").unwrap();
    for seed in first.parse::<u32>().unwrap()..end.parse().unwrap() {
        let arguments = ["chance", &seed.to_string()];
        let Some(native) = natively(&executable, &arguments) else { return };
        let inside = inside(&executable, &arguments);
        let pairs = native.text.lines().zip(inside.text.lines());
        let wrong: Vec<_> = pairs
            .filter(|(linux, here)| linux != here)
            .map(|(linux, here)| format!("Linux {linux}\nhere  {here}"))
            .collect();
        assert!(wrong.is_empty(), "{} lines differ\n{}", wrong.len(), wrong.join("\n"));
        assert_eq!(native.text.lines().count(), inside.text.lines().count());
    }
}

/// Declares a test for each family.
macro_rules! families {
    ($($test:ident $family:literal,)*) => {
        $(#[test]
        fn $test() {
            agrees($family);
        })*

        const FAMILIES: &[&str] = &[$($family),*];
    };
}

families! {
    descriptors_are_those_of_linux "descriptors",
    paths_lead_where_they_do_in_linux "paths",
    changes_are_refused_in_the_order_of_linux "changes",
    files_are_described_as_in_linux "status",
    directories_are_listed_as_in_linux "directories",
    bytes_move_as_in_linux "transfers",
    pipes_are_those_of_linux "pipes",
    waiting_is_that_of_linux "waiting",
    clocks_are_those_of_linux "clocks",
    timers_are_those_of_linux "timers",
    identity_is_that_of_linux "identity",
    limits_are_those_of_linux "limits",
    scheduling_is_that_of_linux "scheduling",
    signals_are_those_of_linux "signals",
    memory_is_that_of_linux "memory",
    threads_find_what_linux_gives_them "threads",
}

/// Ways to end that `endings.c` knows.
const ENDINGS: &[&str] = &[
    "exit",
    "exit_group",
    "kill",
    "kill-group",
    "kill-killed",
    "tkill",
    "tgkill",
    "abort",
    "unblocked",
    "lowest-first",
    "suspended",
    "suspended-for-a-timer",
    "pause",
    "alarm-asleep",
    "alarm-at-work",
    "virtual-alarm-at-work",
    "profiled",
    "limited",
    "limited-hard",
    "alarm-while-reading",
    "alarm-while-polling",
    "alarm-while-waiting",
    "broken-pipe",
    "ignored-then-default",
    "rt_sigreturn",
];

#[test]
fn programs_end_as_in_linux() {
    let Some(executable) = c_guest("system-calls", CLibrary::Glibc) else { return };
    if !kvm_is_available() {
        return;
    }
    let mut wrong = Vec::new();
    for &way in ENDINGS {
        let Some(native) = natively(&executable, &["ends", way]) else { return };
        let inside = inside(&executable, &["ends", way]);
        if (native.status, &native.text) != (inside.status, &inside.text) {
            wrong.push(format!(
                "{way}: Linux {} {:?}, here {} {:?}",
                native.status, native.text, inside.status, inside.text
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Ways to get a signal for which there is a handler, and the signal's name.
const HANDLED: &[(&str, u8, &str)] = &[
    ("handled-raise", 10, "SIGUSR1"),
    ("handled-kill", 15, "SIGTERM"),
    ("handled-abort", 6, "SIGABRT"),
    ("handled-pipe", 13, "SIGPIPE"),
    ("handled-alarm-asleep", 14, "SIGALRM"),
    ("handled-alarm-at-work", 14, "SIGALRM"),
    ("handled-real-time", 40, "real-time signal 40"),
];

#[test]
fn a_signal_with_a_handler_stops_the_guest_and_is_named() {
    let Some(executable) = c_guest("system-calls", CLibrary::Glibc) else { return };
    if !kvm_is_available() {
        return;
    }
    for &(way, signal, name) in HANDLED {
        let outcome = driven(&executable, &["ends", way]);
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), "", "{way} went on");
        let stop = Stop::Signal { signal };
        assert_eq!(outcome.sandbox.state(), &State::Poisoned(stop.clone()), "{way}");
        let failure = stop.failure();
        assert_eq!(failure.code.as_str(), "ERR_AMPOULE_GUEST_SIGNAL");
        assert!(failure.message.contains(name), "{}", failure.message);
    }
}

/// The C sources of the suite.
#[expect(clippy::unwrap_used, reason = "test support: failing loudly is the point")]
fn sources() -> String {
    let directory =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests/fixtures/c/system-calls");
    let read = |name: std::fs::DirEntry| std::fs::read_to_string(name.path()).unwrap();
    std::fs::read_dir(directory).unwrap().map(|entry| read(entry.unwrap())).collect()
}

#[test]
fn every_answered_call_has_a_check() {
    let sources = sources();
    let words: Vec<_> = sources.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let is_checked = |call: &str| {
        words.windows(2).any(|pair| ["CHECK", "CHECK_OK"].contains(&pair[0]) && pair[1] == call)
            || words.contains(&format!("SYS_{call}").as_str())
    };
    let unchecked: Vec<_> = ampoule_linux::answered().filter(|call| !is_checked(call)).collect();
    assert_eq!(unchecked, Vec::<&str>::new(), "add checks to guests/fixtures/c/system-calls");
}

#[test]
fn every_family_and_every_ending_is_run() {
    let sources = sources();
    let quoted = |prefix: &str| -> Vec<String> {
        let after = sources.split(prefix).skip(1);
        let names = after.filter_map(|rest| rest.split('"').next().map(str::to_owned));
        names.filter(|name| !name.is_empty()).collect()
    };
    let known: Vec<_> = quoted("strcmp(name, \"");
    let is_run =
        |way: &str| ENDINGS.contains(&way) || HANDLED.iter().any(|(handled, ..)| *handled == way);
    let forgotten: Vec<_> = known.iter().filter(|way| !is_run(way)).collect();
    assert_eq!(forgotten, ["segmentation-fault"], "a fault stops a sandbox with an error");
    for family in FAMILIES {
        assert!(sources.contains(&format!("{{\"{family}\", {family}}}")), "{family}");
    }
    for known in DIFFERENCES {
        assert!(FAMILIES.contains(&known.check.0), "{:?}", known.check);
    }
}
