//! `copy`: so many pages from a view of the image to scattered private pages.
//!
//! Twice: after the host wrote to each page (`copy`), and after a raw guest did, by way of an exit
//! (`copy after exit`), which leaves colder caches behind, as it does for any restore.

use super::image::{EXCHANGE, FIRST_PAGE, Image, LENGTH};
use super::memory::{Memory, PAGE};
use super::vm::{RawVm, System};
use crate::time::sample;
use anyhow::{Result, ensure};

/// Leaves, then writes a byte to each page of the list in the exchange pages:
///
/// ```text
/// again: out 0x10, al;  mov rcx, [rbx];  lea rsi, [rbx + 8]
/// next:  test rcx, rcx;  jz again
///        mov rdi, [rsi];  mov [rdi], cl;  add rsi, 8;  dec rcx;  jmp next
/// ```
const WRITE_LOOP: [u8; 28] = [
    0xe6, 0x10, 0x48, 0x8b, 0x0b, 0x48, 0x8d, 0x73, 0x08, 0x48, 0x85, 0xc9, 0x74, 0xf2, 0x48, 0x8b,
    0x3e, 0x88, 0x0f, 0x48, 0x83, 0xc6, 0x08, 0x48, 0xff, 0xc9, 0xeb, 0xed,
];

/// Pages of which some are written to and copied back.
#[derive(Debug)]
pub struct Copy {
    vm: RawVm,
    view: Memory,
    pages: Vec<usize>,
}

impl Copy {
    /// `count` pages, scattered.
    ///
    /// # Errors
    /// What KVM says, and when so many pages do not fit.
    pub fn of(count: usize) -> Result<Self> {
        let available = (LENGTH - FIRST_PAGE) / PAGE;
        ensure!(count <= available, "{count} pages do not fit");
        let image = Image::new(&WRITE_LOOP)?;
        let mut vm = System::open()?.create(&image, EXCHANGE)?;
        vm.run()?;
        // A step that shares no factor with the number of pages visits each once.
        let pages: Vec<usize> =
            (0..count).map(|index| FIRST_PAGE + index * 1031 % available * PAGE).collect();
        vm.memory().write_u64(EXCHANGE, count as u64);
        for (index, page) in pages.iter().enumerate() {
            vm.memory().write_u64(EXCHANGE + 8 + index * 8, *page as u64);
        }
        let view = image.view()?;
        let mut copy = Self { vm, view, pages };
        // The first run takes the faults.
        copy.by_guest(1)?;
        Ok(copy)
    }

    /// Times of `samples` copies of pages that the host wrote to.
    ///
    /// # Errors
    /// None.
    pub fn by_host(&mut self, samples: usize) -> Result<Vec<f64>> {
        sample(samples, self, Self::write, Self::copy)
    }

    /// Times of `samples` copies of pages that a guest wrote to.
    ///
    /// # Errors
    /// What KVM says.
    pub fn by_guest(&mut self, samples: usize) -> Result<Vec<f64>> {
        sample(samples, self, |copy| copy.vm.run(), Self::copy)
    }

    fn write(&mut self) -> Result<()> {
        for page in &self.pages {
            let value = self.vm.memory().read_u64(*page);
            self.vm.memory().write_u64(*page, value + 1);
        }
        Ok(())
    }

    fn copy(&mut self) -> Result<()> {
        for page in &self.pages {
            self.vm.memory().copy_page(&self.view, *page);
        }
        Ok(())
    }
}
