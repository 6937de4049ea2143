//! `ping`: a host thread and a virtual CPU, both spinning, pass a number to and fro.

use super::image::{EXCHANGE, Image};
use super::vm::System;
use crate::compare::{Turn, in_turns, microseconds};
use crate::effort::Effort;
use crate::report::{Measurement, Report};
use anyhow::{Context, Result};
use std::hint::spin_loop;
use std::time::Instant;

/// Answers `[rbx]` in `[rbx + 64]` until the number is negative, then leaves:
///
/// ```text
/// again: mov rax, [rbx];  cmp rax, [rbx + 64];  je idle
///        mov [rbx + 64], rax;  test rax, rax;  js leave;  jmp again
/// idle:  pause;  jmp again
/// leave: out 0x10, al;  jmp again
/// ```
const ANSWER_LOOP: [u8; 28] = [
    0x48, 0x8b, 0x03, 0x48, 0x3b, 0x43, 0x40, 0x74, 0x0b, 0x48, 0x89, 0x43, 0x40, 0x48, 0x85, 0xc0,
    0x78, 0x06, 0xeb, 0xec, 0xf3, 0x90, 0xeb, 0xe8, 0xe6, 0x10, 0xeb, 0xe4,
];

const REQUEST: usize = EXCHANGE;
const ANSWER: usize = REQUEST + 64;
const LEAVE: u64 = u64::MAX;
/// Round trips in one sample: one alone takes about as long as reading the clock.
const BATCH: u64 = 100;

/// Measures it, where two processors can spin.
pub(crate) fn measure(effort: &Effort, report: &mut Report) -> Result<()> {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        report.note("ping was left out: it needs two CPUs".to_owned());
        return Ok(());
    }
    let mut vm = System::open()?.create(&Image::new(&ANSWER_LOOP)?, EXCHANGE)?;
    // The host's first write gives the page its private copy, before the guest maps it.
    vm.memory().write_u64(REQUEST, 0);
    let memory = vm.memory().address();
    let mut number = 0;
    let series = std::thread::scope(|scope| {
        let memory = Shared::new(memory);
        let guest = scope.spawn(move || vm.run().map(|()| vm));
        let turn: Turn<'_> = Box::new(|| {
            let mut times = Vec::with_capacity(effort.samples);
            for _ in 0..effort.samples {
                let start = Instant::now();
                for _ in 0..BATCH {
                    number += 1;
                    memory.pass(number);
                }
                times.push(microseconds(start.elapsed()) / BATCH as f64);
            }
            Ok(times)
        });
        let series = in_turns(effort.rounds, &mut [turn]);
        memory.leave();
        guest.join().ok().context("the guest's thread panicked")??;
        series
    })?;
    report.add(Measurement::new("ping", "ping", &series[0]));
    Ok(())
}

/// The exchange page, by address: the thread in the guest has the VM that owns it.
#[derive(Debug, Clone, Copy)]
struct Shared(usize);

impl Shared {
    fn new(memory: u64) -> Self {
        Self(usize::try_from(memory).unwrap_or_default())
    }

    /// Hands over a number and waits for it to come back.
    fn pass(self, number: u64) {
        self.write(number);
        while self.read() != number {
            spin_loop();
        }
    }

    fn leave(self) {
        self.write(LEAVE);
    }

    fn write(self, number: u64) {
        let request = std::ptr::with_exposed_provenance_mut::<u64>(self.0 + REQUEST);
        // SAFETY: the VM, and with it the mapping, is kept by the guest's thread, which is joined
        // after the last access; the exchange page is mapped, writable and aligned.
        unsafe { request.write_volatile(number) }
    }

    fn read(self) -> u64 {
        let answer = std::ptr::with_exposed_provenance::<u64>(self.0 + ANSWER);
        // SAFETY: as in `write`.
        unsafe { answer.read_volatile() }
    }
}
