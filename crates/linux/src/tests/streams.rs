//! Standard streams, pipes, descriptors, waiting.

use super::{Guest, NOWHERE, SCRATCH, SCRATCH_BYTES, SECOND, negative};
use crate::{Answer, Errno, OutputStream, Start, Termination, WaitFor};
use ampoule_memory::Protection;

const O_NONBLOCK: u64 = 0o4000;
const O_CLOEXEC: u64 = 0o2_000_000;

#[test]
fn writes_reach_their_stream() {
    let mut guest = Guest::new();
    let hello = guest.put("hello ");
    let world = guest.put("world");
    assert_eq!(guest.ok("write", [1, hello, 6]), 6);
    let vector = guest.words(&[hello, 6, 0, 0, world, 5]);
    assert_eq!(guest.ok("writev", [1, vector, 3]), 11);
    assert_eq!(guest.ok("write", [2, world, 5]), 5);
    assert_eq!(guest.personality.pending_output(), 22);
    assert_eq!(guest.personality.take_output(OutputStream::Stdout), b"hello hello world");
    assert_eq!(guest.personality.take_output(OutputStream::Stderr), b"world");
    assert_eq!(guest.personality.pending_output(), 0);
}

#[test]
fn bad_writes_fail_as_in_linux() {
    let mut guest = Guest::new();
    let text = guest.put("text");
    guest.fails("write", [0, text, 4], Errno::EBADF);
    guest.fails("write", [9, text, 4], Errno::EBADF);
    guest.fails("write", [negative(-1), text, 4], Errno::EBADF);
    guest.fails("write", [1, NOWHERE, 4], Errno::EFAULT);
    guest.fails("write", [1, u64::MAX, 4], Errno::EFAULT);
    guest.fails("pwrite64", [1, text, 4, 0], Errno::ESPIPE);
    guest.fails("pwrite64", [1, text, 4, negative(-1)], Errno::EINVAL);
    guest.fails("writev", [1, text, 1025], Errno::EINVAL);
    guest.fails("writev", [1, NOWHERE, 1], Errno::EFAULT);
    let negative_length = guest.words(&[text, u64::MAX]);
    guest.fails("writev", [1, negative_length, 1], Errno::EINVAL);
    assert_eq!(guest.ok("write", [1, NOWHERE, 0]), 0);
    // Whole pages before a fault are written.
    let edge = SCRATCH + SCRATCH_BYTES - 3;
    guest.fails("write", [1, edge, 10], Errno::EFAULT);
    assert_eq!(guest.ok("write", [1, edge - 9000, 10_000]), 8192);
    assert_eq!(guest.personality.take_output(OutputStream::Stdout), [0; 8192]);
}

#[test]
fn a_write_larger_than_the_buffer_waits_and_goes_on() {
    let mut guest = Guest::with(Start { output_high_water: 10, ..Start::default() });
    let text = guest.put("abcdefghijklmnopqrstuvwxy");
    let vector = guest.words(&[text, 12, text + 12, 13]);
    let mut written = Vec::new();
    let mut parked = 0;
    loop {
        let answer = guest.call("writev", [1, vector, 2]);
        assert!(guest.personality.pending_output() <= 10);
        written.append(&mut guest.personality.take_output(OutputStream::Stdout));
        match answer {
            Answer::Wait(WaitFor::OutputRoom) => parked += 1,
            other => break assert_eq!(other, Answer::Return(25)),
        }
    }
    assert_eq!(written, b"abcdefghijklmnopqrstuvwxy");
    assert_eq!(parked, 2);
    // The next write starts afresh.
    assert_eq!(guest.ok("write", [1, text, 2]), 2);
    assert_eq!(guest.personality.take_output(OutputStream::Stdout), b"ab");
    assert_eq!(guest.personality.counts().map(|call| call.count).sum::<u64>(), 2);
}

#[test]
fn a_huge_claim_costs_the_host_no_memory() {
    let mut guest = Guest::new();
    let huge = 8 << 30;
    let reserved = guest.ok("mmap", [0, huge, 1, 0x4022, negative(-1), 0]);
    assert_eq!(guest.call("write", [1, reserved, huge]), Answer::Wait(WaitFor::OutputRoom));
    assert_eq!(guest.personality.pending_output(), crate::OUTPUT_HIGH_WATER);
}

#[test]
fn standard_input_parks_until_there_is_some() {
    let mut guest = Guest::new();
    let out = guest.room(16);
    assert_eq!(guest.call("read", [0, out, 5]), Answer::Wait(WaitFor::Input { wanted: 5 }));
    guest.personality.provide_input(b"abcdefgh".to_vec());
    assert_eq!(guest.ok("ioctl", [0, 0x541b, out + 8]), 0);
    assert_eq!(guest.u32_at(out + 8), 8);
    assert_eq!(guest.ok("read", [0, out, 5]), 5);
    assert_eq!(guest.bytes(out, 5), b"abcde");
    let vector = guest.words(&[out, 2, out + 4, 9]);
    assert_eq!(guest.ok("readv", [0, vector, 2]), 3);
    assert_eq!(guest.bytes(out, 5), b"fgcdh");
    guest.personality.end_input();
    assert_eq!(guest.ok("read", [0, out, 5]), 0);
    assert_eq!(guest.ok("read", [0, out, 5]), 0);
}

#[test]
fn a_faulting_read_keeps_what_did_not_arrive() {
    let mut guest = Guest::new();
    guest.personality.provide_input(b"abcdef".to_vec());
    guest.personality.end_input();
    guest.fails("read", [0, NOWHERE, 6], Errno::EFAULT);
    let edge = SCRATCH + SCRATCH_BYTES - 2;
    // Streams move whole pages: a part of one does not count, and is not lost.
    guest.fails("read", [0, edge, 6], Errno::EFAULT);
    let out = guest.room(8);
    assert_eq!(guest.ok("read", [0, out, 6]), 6);
    assert_eq!(guest.bytes(out, 6), b"abcdef");
    guest.fails("read", [1, out, 6], Errno::EBADF);
    // That a stream has no positions comes before which end it is.
    guest.fails("pread64", [0, out, 6, 0], Errno::ESPIPE);
    guest.fails("pread64", [1, out, 6, 0], Errno::ESPIPE);
    guest.fails("pwrite64", [0, out, 6, 0], Errno::ESPIPE);
    guest.fails("lseek", [0, 0, 1], Errno::ESPIPE);
}

#[test]
fn duplicates_share_and_close_one_by_one() {
    let mut guest = Guest::new();
    let text = guest.put("x");
    assert_eq!(guest.ok("dup", [1]), 3);
    assert_eq!(guest.ok("dup2", [3, 3]), 3);
    assert_eq!(guest.ok("dup2", [1, 7]), 7);
    assert_eq!(guest.ok("fcntl", [1, 0, 5]), 5);
    assert_eq!(guest.ok("fcntl", [1, 1030, 5]), 6);
    assert_eq!(guest.ok("fcntl", [6, 1]), 1);
    assert_eq!(guest.ok("fcntl", [5, 1]), 0);
    assert_eq!(guest.ok("dup3", [1, 8, O_CLOEXEC]), 8);
    assert_eq!(guest.ok("fcntl", [8, 1]), 1);
    guest.fails("dup3", [1, 1, 0], Errno::EINVAL);
    guest.fails("dup2", [1, 1024], Errno::EBADF);
    guest.fails("dup2", [20, 4], Errno::EBADF);
    guest.fails("fcntl", [1, 0, 1024], Errno::EINVAL);
    guest.fails("fcntl", [1, 999, 0], Errno::EINVAL);
    guest.ok("close", [1]);
    guest.fails("write", [1, text, 1], Errno::EBADF);
    guest.fails("close", [1], Errno::EBADF);
    assert_eq!(guest.ok("write", [7, text, 1]), 1);
    assert_eq!(guest.personality.take_output(OutputStream::Stdout), b"x");
    guest.ok("close_range", [3, u64::from(u32::MAX), 0]);
    guest.fails("write", [7, text, 1], Errno::EBADF);
    assert_eq!(guest.ok("dup", [2]), 1);
}

#[test]
fn descriptors_run_out() {
    let mut guest = Guest::new();
    let limits = guest.words(&[5, 1024]);
    guest.ok("setrlimit", [7, limits]);
    assert_eq!(guest.ok("dup", [0]), 3);
    assert_eq!(guest.ok("dup", [0]), 4);
    guest.fails("dup", [0], Errno::EMFILE);
}

#[test]
fn status_flags_are_those_of_pipes() {
    let mut guest = Guest::new();
    assert_eq!(guest.ok("fcntl", [0, 3]), 0);
    assert_eq!(guest.ok("fcntl", [1, 3]), 1);
    guest.ok("fcntl", [1, 4, O_NONBLOCK | 2]);
    assert_eq!(guest.ok("fcntl", [1, 3]), O_NONBLOCK | 1);
    guest.fails("ioctl", [1, 0x5401, SCRATCH], Errno::ENOTTY);
    guest.fails("ioctl", [17, 0x5401, SCRATCH], Errno::EBADF);
    let status = guest.room(144);
    guest.ok("fstat", [1, status]);
    assert_eq!(guest.u32_at(status + 24), 0o010_600);
}

#[test]
fn pipes_hold_what_the_guest_wrote() {
    let mut guest = Guest::new();
    let ends = guest.room(8);
    guest.ok("pipe2", [ends, 0]);
    let (reader, writer) = (guest.u32_at(ends).into(), guest.u32_at(ends + 4).into());
    let text = guest.put("here-document");
    let out = guest.room(32);
    assert_eq!(guest.ok("write", [writer, text, 13]), 13);
    assert_eq!(guest.ok("read", [reader, out, 4]), 4);
    assert!(matches!(
        guest.call("write", [writer, SCRATCH, 65_536]),
        Answer::End(Termination::Deadlock { .. })
    ));
    guest.ok("close", [writer]);
    assert_eq!(guest.ok("read", [reader, out, 32]), 9);
    assert_eq!(guest.bytes(out, 9), b"-document");
    assert_eq!(guest.ok("read", [reader, out, 32]), 0);
    guest.ok("close", [reader]);

    guest.ok("pipe2", [ends, O_NONBLOCK]);
    guest.fails("read", [reader, out, 1], Errno::EAGAIN);
    guest.ok("fcntl", [reader, 4, 0]);
    assert!(matches!(
        guest.call("read", [reader, out, 1]),
        Answer::End(Termination::Deadlock { .. })
    ));
    guest.ok("close", [reader]);
    assert_eq!(
        guest.call("write", [writer, text, 1]),
        Answer::End(Termination::Killed { signal: 13 })
    );
    let ignore = guest.words(&[1, 0, 0, 0]);
    guest.ok("rt_sigaction", [13, ignore, 0, 8]);
    guest.fails("write", [writer, text, 1], Errno::EPIPE);
    guest.fails("pipe2", [ends, 1], Errno::EINVAL);
    guest.fails("pipe", [NOWHERE], Errno::EFAULT);
}

#[test]
fn a_pipe_is_opened_again_by_its_name() {
    let mut guest = Guest::new();
    let ends = guest.room(8);
    guest.ok("pipe", [ends]);
    let (reader, writer) = (guest.u32_at(ends).into(), guest.u32_at(ends + 4).into());
    let name = guest.text(&format!("/proc/self/fd/{writer}"));
    let text = guest.put("text");
    assert_eq!(guest.ok("write", [writer, text, 4]), 4);
    let second_reader = guest.ok("open", [name, 0]);
    guest.ok("close", [reader]);
    assert_eq!(guest.ok("read", [second_reader, ends, 2]), 2, "an end of its own");
    guest.ok("close", [writer]);
    assert_eq!(guest.ok("read", [second_reader, ends, 8]), 2);
    assert_eq!(guest.ok("read", [second_reader, ends, 8]), 0);
    guest.ok("close", [second_reader]);
    assert!(guest.personality.kernel.files.pipes.iter().next().is_none(), "the pipe is gone");
}

#[test]
fn all_pipes_together_have_a_limit() {
    const SET_SIZE: u64 = 1031;
    let mut guest = Guest::new();
    let ends = guest.room(8);
    for _ in 0..4 {
        guest.ok("pipe", [ends]);
        let writer = guest.u32_at(ends + 4).into();
        assert_eq!(guest.ok("fcntl", [writer, SET_SIZE, 1 << 20]), 1 << 20);
    }
    guest.fails("pipe", [ends], Errno::ENFILE);
    let writer = guest.u32_at(ends + 4).into();
    guest.ok("fcntl", [writer, SET_SIZE, 1 << 19]);
    guest.ok("pipe", [ends]);
    let writer = guest.u32_at(ends + 4).into();
    guest.fails("fcntl", [writer, SET_SIZE, 1 << 20], Errno::EPERM);
}

#[test]
fn pipes_run_out() {
    let mut guest = Guest::new();
    let ends = guest.room(8);
    for _ in 0..64 {
        guest.ok("pipe", [ends]);
    }
    guest.fails("pipe", [ends], Errno::ENFILE);
    let highest = u64::from(guest.u32_at(ends + 4));
    guest.ok("close", [highest]);
    guest.fails("pipe", [ends], Errno::ENFILE);
    guest.ok("close", [highest - 1]);
    guest.ok("pipe", [ends]);
}

#[test]
fn poll_finds_streams_ready() {
    let mut guest = Guest::new();
    let entry = |descriptor: u32, events: u16| u64::from(descriptor) | u64::from(events) << 32;
    let entries =
        guest.words(&[entry(0, 1), entry(1, 4), entry(1, 1), entry(u32::MAX, 5), entry(77, 1)]);
    assert_eq!(guest.ok("poll", [entries, 5, negative(-1)]), 3);
    let events: Vec<_> = (0..5).map(|at| guest.u64_at(entries + at * 8) >> 48).collect();
    assert_eq!(events, [1, 4, 0, 0, 0x20]);
    guest.fails("poll", [entries, 2000, 0], Errno::EINVAL);
    guest.fails("poll", [NOWHERE, 1, 0], Errno::EFAULT);
}

#[test]
fn waiting_for_nothing_sleeps_or_ends() {
    let mut guest = Guest::new();
    assert_eq!(guest.ok("poll", [0, 0, 0]), 0);
    assert_eq!(
        guest.call("poll", [0, 0, 20]),
        Answer::Wait(WaitFor::Time { nanoseconds: 20_000_000 })
    );
    guest.advance(15_000_000);
    assert_eq!(
        guest.call("poll", [0, 0, 20]),
        Answer::Wait(WaitFor::Time { nanoseconds: 5_000_000 })
    );
    guest.advance(5_000_000);
    assert_eq!(guest.ok("poll", [0, 0, 20]), 0);
    assert!(matches!(
        guest.call("poll", [0, 0, negative(-1)]),
        Answer::End(Termination::Deadlock { .. })
    ));
    let timeout = guest.words(&[1, 5]);
    assert_eq!(
        guest.call("ppoll", [0, 0, timeout]),
        Answer::Wait(WaitFor::Time { nanoseconds: SECOND + 5 })
    );
    guest.advance(2 * SECOND);
    assert_eq!(guest.ok("ppoll", [0, 0, timeout]), 0);
}

#[test]
fn select_keeps_what_is_ready() {
    let mut guest = Guest::new();
    let read = guest.words(&[0b011]);
    let write = guest.words(&[0b110]);
    assert_eq!(guest.ok("select", [3, read, write, 0, 0]), 3);
    assert_eq!((guest.u64_at(read), guest.u64_at(write)), (0b001, 0b110));
    let bad = guest.words(&[1 << 40]);
    guest.fails("select", [64, bad, 0, 0, 0], Errno::EBADF);
    guest.fails("select", [negative(-1), 0, 0, 0, 0], Errno::EINVAL);
    let timeout = guest.words(&[0, 1_000]);
    let only_writer = guest.words(&[0b010]);
    let sleep = Answer::Wait(WaitFor::Time { nanoseconds: 1_000_000 });
    assert_eq!(guest.call("select", [2, only_writer, 0, 0, timeout]), sleep);
    assert_eq!(guest.u64_at(only_writer), 0b010, "the set is left for the repeated call");
    guest.advance(1_000_000);
    assert_eq!(guest.ok("select", [2, only_writer, 0, 0, timeout]), 0);
    assert_eq!(guest.u64_at(only_writer), 0);
}

#[test]
fn read_only_buffers_fault() {
    let mut guest = Guest::new();
    guest.space.map(NOWHERE, 4096, Protection::READ).unwrap();
    guest.personality.provide_input(b"abc".to_vec());
    guest.fails("read", [0, NOWHERE, 3], Errno::EFAULT);
    assert_eq!(guest.ok("write", [1, NOWHERE, 3]), 3);
}
