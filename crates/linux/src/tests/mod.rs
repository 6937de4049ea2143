//! Tests, a module per family, all through [`Personality::system_call`] on a real address space.

mod arbitrary;
mod files;
mod memory;
mod process;
mod signals;
mod startup;
mod state;
mod streams;
mod time;
mod work;

use crate::calls::table::entries::ENTRIES;
use crate::{Answer, Clock, Errno, File, OutputStream, Personality, Start, SystemCall};
use ampoule_memory::{AddressSpace, Protection};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const SECOND: u64 = 1_000_000_000;
const CAPACITY: u64 = 64 << 20;
/// A mapped area in which tests place what they pass by pointer.
const SCRATCH: u64 = 0x20_0000_0000;
const SCRATCH_BYTES: u64 = 1 << 20;
/// Most units of work between two looks at whether the guest is to stop: a portion, and the last step of it.
const WORK_MAX: u64 = 2 * ampoule_memory::PORTION;
/// Never mapped.
const NOWHERE: u64 = 0x30_0000_0000;

/// A clock that moves when it is told to.
#[derive(Debug, Default)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn realtime(&self) -> u64 {
        1_700_000_000 * SECOND + self.monotonic()
    }
    fn monotonic(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A guest without a processor: the tests make its system calls.
struct Guest {
    space: AddressSpace,
    personality: Personality,
    clock: Arc<TestClock>,
    /// First unused byte of the scratch area.
    next: u64,
    /// The most units of work between two looks at whether the guest is to stop.
    worst: u64,
    /// How often a call went on in another portion.
    portions: u64,
    /// The call whose answer was parked.
    parked: Option<SystemCall>,
}

impl Guest {
    fn new() -> Self {
        Self::with(Start::default())
    }

    fn with_files(files: &[(&str, &str)]) -> Self {
        let file = |&(path, contents): &(&str, &str)| File {
            path: path.into(),
            contents: contents.as_bytes().into(),
        };
        Self::with(Start { files: files.iter().map(file).collect(), ..Start::default() })
    }

    fn with(start: Start) -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(100 * SECOND)));
        let mut space = AddressSpace::new(CAPACITY).unwrap();
        let executable =
            if start.executable.is_empty() { b"/bin/program".to_vec() } else { start.executable };
        let start = Start { clock: Arc::<TestClock>::clone(&clock), executable, ..start };
        let (personality, _) = Personality::start(&mut space, start).unwrap();
        space.map(SCRATCH, SCRATCH_BYTES, Protection::READ_WRITE).unwrap();
        Self { space, personality, clock, next: SCRATCH, worst: 0, portions: 0, parked: None }
    }

    fn call<const N: usize>(&mut self, name: &str, arguments: [u64; N]) -> Answer {
        let number = ENTRIES.iter().find(|entry| entry.name == name).unwrap().number;
        let mut registers = [0; 6];
        registers[..N].copy_from_slice(&arguments);
        self.make(&SystemCall { number: number.into(), arguments: registers })
    }

    /// Makes a call, or goes on with it where it was parked, in as many portions as it takes. None is too
    /// large, whatever the call is.
    fn make(&mut self, call: &SystemCall) -> Answer {
        loop {
            let goes_on = self.parked.take().filter(|parked| parked == call);
            let going_on = goes_on.and_then(|_| self.personality.go_on(&mut self.space));
            let answer = match going_on {
                Some(answer) => answer,
                None => self.personality.system_call(&mut self.space, call),
            };
            self.parked = answer.is_parked().then_some(*call);
            self.worst = self.worst.max(self.space.work());
            assert!(self.worst <= WORK_MAX, "{call:x?} took {} units of work at once", self.worst);
            if answer != Answer::Again {
                return answer;
            }
            self.portions += 1;
        }
    }

    /// The value of a call that must succeed.
    fn ok<const N: usize>(&mut self, name: &str, arguments: [u64; N]) -> u64 {
        match self.call(name, arguments) {
            Answer::Return(value) if value >= 0 => value.unsigned_abs(),
            other => panic!("{name}: {other:?}"),
        }
    }

    /// Checks that a call fails with `errno`.
    #[track_caller]
    fn fails<const N: usize>(&mut self, name: &str, arguments: [u64; N], errno: Errno) {
        let expected = Answer::Return(errno.as_result());
        assert_eq!(self.call(name, arguments), expected, "{name} should be {}", errno.name());
    }

    /// Places bytes in guest memory.
    fn put(&mut self, bytes: impl AsRef<[u8]>) -> u64 {
        let at = self.next;
        self.space.write(at, bytes.as_ref()).unwrap();
        self.next = (at + bytes.as_ref().len() as u64).next_multiple_of(16);
        at
    }

    /// Places a NUL-terminated string in guest memory.
    fn text(&mut self, text: &str) -> u64 {
        self.put([text.as_bytes(), &[0]].concat())
    }

    /// Places words in guest memory.
    fn words(&mut self, words: &[u64]) -> u64 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(bytes)
    }

    /// Room in guest memory.
    fn room(&mut self, bytes: usize) -> u64 {
        self.put(vec![0; bytes])
    }

    fn bytes(&mut self, address: u64, count: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(count).unwrap()];
        self.space.read(address, &mut bytes).unwrap();
        bytes
    }

    fn u64_at(&mut self, address: u64) -> u64 {
        u64::from_le_bytes(self.bytes(address, 8).try_into().unwrap())
    }

    fn u32_at(&mut self, address: u64) -> u32 {
        u32::from_le_bytes(self.bytes(address, 4).try_into().unwrap())
    }

    fn advance(&self, nanoseconds: u64) {
        self.clock.0.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Opens a path for reading.
    fn open(&mut self, path: &str) -> u64 {
        let path = self.text(path);
        self.ok("open", [path, 0])
    }

    /// Reads a whole file by path.
    fn contents(&mut self, path: &str) -> Vec<u8> {
        let descriptor = self.open(path);
        let out = self.room(4096);
        let count = self.ok("read", [descriptor, out, 4096]);
        self.ok("close", [descriptor]);
        self.bytes(out, count)
    }
}

/// A negative `int` as a register holds it.
fn negative(value: i64) -> u64 {
    value.cast_unsigned()
}

#[test]
fn unknown_calls_are_refused_and_counted_by_name() {
    let mut guest = Guest::new();
    let call = |number| SystemCall { number, arguments: [0; 6] };
    for number in [213, 213, 5000, 1 << 31] {
        let answer = guest.personality.system_call(&mut guest.space, &call(number));
        assert_eq!(answer, Answer::Return(-38));
    }
    guest.ok("getpid", []);
    guest.fails("socket", [2, 1, 0], Errno::EAFNOSUPPORT);
    let counts: Vec<_> = guest.personality.counts().collect();
    let counts: Vec<_> =
        counts.iter().map(|call| (call.name.as_ref(), call.count, call.answered)).collect();
    assert_eq!(
        counts,
        [
            ("getpid", 1, true),
            ("socket", 1, false),
            ("epoll_create", 2, false),
            ("syscall_5000", 1, false),
            ("syscall_2147483648", 1, false),
        ]
    );
}

#[test]
fn invented_numbers_do_not_fill_the_host() {
    let mut guest = Guest::new();
    for number in 10_000..20_000 {
        let call = SystemCall { number, arguments: [0; 6] };
        guest.personality.system_call(&mut guest.space, &call);
    }
    assert_eq!(guest.personality.counts().count(), 65);
    assert_eq!(guest.personality.counts().map(|call| call.count).sum::<u64>(), 10_000);
}

#[test]
fn documentation_names_every_call() {
    let page = crate::documentation();
    for entry in ENTRIES {
        assert!(page.contains(&format!("`{}`", entry.name)), "{} is missing", entry.name);
    }
    assert!(page.contains("| 41 | `socket` | `EAFNOSUPPORT` |"));
}

#[test]
fn a_clone_goes_on_by_itself() {
    let mut guest = Guest::new();
    let out = guest.room(32);
    let mut copy = guest.personality.clone();
    guest.ok("getrandom", [out, 16, 0]);
    guest.ok("close", [0]);
    let drawn = guest.bytes(out, 16);

    std::mem::swap(&mut guest.personality, &mut copy);
    guest.ok("getrandom", [out, 16, 0]);
    assert_eq!(guest.bytes(out, 16), drawn, "the clone continues from the same state");
    guest.ok("close", [0]);

    guest.ok("write", [1, out, 1]);
    let origin = guest.personality.clone();
    guest.personality = origin.fork([7; 32]);
    assert_eq!(guest.personality.pending_output(), 0);
    guest.ok("getrandom", [out, 16, 0]);
    assert_eq!(guest.personality.counts().map(|call| call.count).sum::<u64>(), 1);
    let first = guest.bytes(out, 16);
    guest.personality = origin.fork([8; 32]);
    guest.ok("getrandom", [out, 16, 0]);
    assert_ne!(guest.bytes(out, 16), first);
}

#[test]
fn restoring_takes_back_what_the_guest_did_and_keeps_what_the_host_needs() {
    let mut guest = Guest::new();
    let out = guest.room(32);
    let before = guest.personality.clone();
    guest.ok("getrandom", [out, 16, 0]);
    let drawn = guest.bytes(out, 16);
    guest.ok("write", [1, out, 5]);
    guest.ok("close", [0]);
    guest.personality.provide_input(b"unread".to_vec());
    guest.personality.restore(&before);
    guest.ok("dup", [0]);
    assert_eq!(guest.personality.kernel.files.input.len(), 0, "unread input is gone");
    assert_eq!(guest.personality.take_output(OutputStream::Stdout), drawn[..5]);
    guest.ok("getrandom", [out, 16, 0]);
    assert_ne!(guest.bytes(out, 16), drawn, "the generator goes on");
    let counted = |name: &str| guest.personality.counts().find(|call| call.name == name);
    assert_eq!(counted("getrandom").map(|call| call.count), Some(2));
}
