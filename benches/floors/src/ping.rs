//! `ping`: a host thread and a virtual CPU, both spinning, pass a number to and fro.

use super::image::{EXCHANGE, Image};
use super::vm::{RawVm, System};
use crate::time::microseconds;
use anyhow::{Context, Result};
use std::hint::spin_loop;
use std::thread::JoinHandle;
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
/// Round trips in one sample.
const BATCH: u64 = 100;

/// A spinning virtual CPU on a thread of its own; needs a second CPU for the host's side.
#[derive(Debug)]
pub struct Ping {
    page: Shared,
    number: u64,
    guest: Option<JoinHandle<Result<RawVm>>>,
}

impl Ping {
    /// Starts the guest's side.
    ///
    /// # Errors
    /// What KVM says.
    pub fn new() -> Result<Self> {
        let mut vm = System::open()?.create(&Image::new(&ANSWER_LOOP)?, EXCHANGE)?;
        // The host's first write gives the page its private copy, before the guest maps it.
        vm.memory().write_u64(REQUEST, 0);
        let page = Shared::new(vm.memory().address());
        let guest = std::thread::spawn(move || vm.run().map(|()| vm));
        Ok(Self { page, number: 0, guest: Some(guest) })
    }

    /// Times of round trips: `samples` times the mean of a hundred, because one alone takes about as
    /// long as reading the clock.
    ///
    /// # Errors
    /// When the guest's side ended.
    pub fn turn(&mut self, samples: usize) -> Result<Vec<f64>> {
        let guest = self.guest.as_ref().filter(|guest| !guest.is_finished());
        guest.context("the guest left")?;
        let mut times = Vec::with_capacity(samples);
        for _ in 0..samples {
            let start = Instant::now();
            for _ in 0..BATCH {
                self.number += 1;
                self.page.pass(self.number);
            }
            times.push(microseconds(start.elapsed()) / BATCH as f64);
        }
        Ok(times)
    }
}

impl Drop for Ping {
    fn drop(&mut self) {
        self.page.leave();
        // The VM, and with it the page, comes back from the thread and goes only now.
        let _ = self.guest.take().map(JoinHandle::join);
    }
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
