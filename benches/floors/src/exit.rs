//! `exit`: an empty ring-3 `out` loop, one `KVM_RUN` each.

use super::image::Image;
use super::vm::{RawVm, System};
use crate::time::sample;
use anyhow::Result;

/// `again: out 0x10, al; jmp again`
pub(super) const OUT_LOOP: [u8; 4] = [0xe6, 0x10, 0xeb, 0xfc];

/// A guest that does nothing but leave.
#[derive(Debug)]
pub struct Exit(RawVm);

impl Exit {
    /// Makes its VM.
    ///
    /// # Errors
    /// What KVM says.
    pub fn new() -> Result<Self> {
        let vm = System::open()?.create(&Image::new(&OUT_LOOP)?, 0)?;
        Ok(Self(vm))
    }

    /// Times of `samples` round trips.
    ///
    /// # Errors
    /// What KVM says.
    pub fn turn(&mut self, samples: usize) -> Result<Vec<f64>> {
        sample(samples, &mut self.0, |_| Ok(()), RawVm::run)
    }
}
