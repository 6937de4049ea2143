//! Functions that ask the system for something: time, memory, output, files, random numbers.

use ampoule_guest::{Bytes, Error, guest_function};
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::io::{Read, Write};
use std::time::{Duration, Instant, SystemTime};

thread_local! {
    static COUNTER: Cell<u64> = const { Cell::new(0) };
    static PREPARED: Cell<bool> = const { Cell::new(false) };
}

/// Runs once, before the guest is ready. `TESTING_INIT=fail` and `=panic` make it fail, `=print` makes
/// it write a line, `=read` read a byte of standard input, `=trace` and `=install` make spans, events and log
/// records (with `=install`, the logger first), and `=silence` does so and installs a subscriber and a logger
/// that keep everything to themselves.
pub(crate) fn prepare() -> Result<(), String> {
    PREPARED.set(true);
    match std::env::var("TESTING_INIT").as_deref() {
        Ok("fail") => Err("told to fail by TESTING_INIT".to_owned()),
        Ok("panic") => panic!("told to panic by TESTING_INIT"),
        Ok("print") => {
            println!("initialising");
            Ok(())
        }
        Ok("silence") => {
            crate::traced::make_ready();
            crate::traced::silence()?;
            crate::traced::make_ready();
            Ok(())
        }
        Ok("trace") => {
            crate::traced::make_ready();
            Ok(())
        }
        Ok("install") => {
            ampoule_guest::trace::install();
            crate::traced::make_ready();
            Ok(())
        }
        Ok("read") => {
            let mut byte = [0];
            std::io::stdin().read_exact(&mut byte).map_err(|error| error.to_string())?;
            COUNTER.set(u64::from(byte[0]));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether the init function has run.
#[guest_function]
fn was_prepared() -> bool {
    PREPARED.get()
}

/// Counts its own calls: state that stays between calls.
#[guest_function]
fn counter() -> u64 {
    COUNTER.set(COUNTER.get() + 1);
    COUNTER.get()
}

/// Writes a line to standard output.
#[guest_function]
fn print_line(line: String) {
    println!("{line}");
}

/// Writes a line to standard error.
#[guest_function]
fn print_error_line(line: String) {
    eprintln!("{line}");
}

/// Writes bytes to standard output as they are.
#[guest_function]
fn print_bytes(bytes: Vec<u8>) -> Result<(), std::io::Error> {
    let mut output = std::io::stdout();
    output.write_all(&bytes)?;
    output.flush()
}

/// Reads standard input to its end.
#[guest_function]
fn read_stdin() -> Result<Vec<u8>, std::io::Error> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Seconds since 1970.
#[guest_function]
fn clock() -> Result<f64, std::time::SystemTimeError> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64())
}

/// Sleeps and gives the milliseconds that went by.
#[guest_function]
fn sleep(milliseconds: u32) -> f64 {
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(u64::from(milliseconds)));
    start.elapsed().as_secs_f64() * 1000.0
}

/// Computes until the clock says that the time is over.
#[guest_function]
fn spin(milliseconds: u32) -> u64 {
    let end = Instant::now() + Duration::from_millis(u64::from(milliseconds));
    let mut rounds = 0;
    while Instant::now() < end {
        rounds += 1;
        black_box(rounds);
    }
    rounds
}

/// Computes a number of rounds, without a system call.
#[guest_function]
fn compute(rounds: u64) -> u64 {
    (0..rounds).fold(1, |state, round| black_box(state ^ round).rotate_left(7).wrapping_mul(31))
}

/// Never returns.
#[guest_function]
fn spin_forever() {
    loop {
        std::hint::spin_loop();
    }
}

/// Allocates memory, writes to every page of it, frees it, and gives the number of its pages.
#[guest_function]
fn allocate(bytes: u64) -> Result<u64, Error> {
    let length =
        usize::try_from(bytes).map_err(|error| Error::new("TooLarge", error.to_string()))?;
    let mut memory: Vec<u8> = Vec::new();
    memory
        .try_reserve_exact(length)
        .map_err(|error| Error::new("OutOfMemory", error.to_string()))?;
    memory.resize(length, 1);
    Ok(black_box(&memory).chunks(4096).map(|page| u64::from(page[0])).sum())
}

/// Recurses to a depth, with 1 KiB of stack for each level.
#[guest_function]
fn recurse(depth: u32) -> u64 {
    fn level(depth: u32) -> u64 {
        let frame = black_box([depth as u8; 1024]);
        match depth {
            0 => 0,
            _ => level(depth - 1) + u64::from(frame[0] == depth as u8),
        }
    }
    level(depth)
}

/// The contents of a file.
#[guest_function]
fn read_file(path: String) -> Result<Bytes, std::io::Error> {
    std::fs::read(path).map(Bytes)
}

/// A variable of the environment.
#[guest_function]
fn env(name: String) -> Option<String> {
    std::env::var(name).ok()
}

/// The arguments of the program, its name first.
#[guest_function]
fn args() -> Vec<String> {
    std::env::args().collect()
}

/// A random number, which the standard library makes from the system's.
#[guest_function]
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// What a thread, a socket, a process and a written file fail with.
#[guest_function]
fn forbidden() -> Vec<String> {
    let say = |what: &str, error: Option<std::io::Error>| match error {
        Some(error) => format!("{what}: {:?}", error.kind()),
        None => format!("{what}: no error"),
    };
    vec![
        say("thread", std::thread::Builder::new().spawn(|| ()).err()),
        say("socket", std::net::TcpListener::bind("127.0.0.1:0").err()),
        say("process", std::process::Command::new("/bin/true").spawn().err()),
        say("file", std::fs::write("/tmp/written", "x").err()),
    ]
}

/// Ends the program.
#[guest_function]
fn exit(code: i32) {
    std::process::exit(code);
}
