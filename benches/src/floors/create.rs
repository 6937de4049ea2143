//! `create`: a VM with a memory slot, a virtual CPU, its CPUID table and registers, up to its first
//! exit; and its end.

use super::exit::OUT_LOOP;
use super::image::Image;
use super::vm::System;
use crate::compare::microseconds;
use anyhow::Result;
use std::time::Instant;

/// Makes VMs over one image.
#[derive(Debug)]
pub(crate) struct Create {
    system: System,
    image: Image,
}

impl Create {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { system: System::open()?, image: Image::new(&OUT_LOOP)? })
    }

    /// How long one creation and its end take.
    pub(crate) fn once(&self) -> Result<(f64, f64)> {
        let start = Instant::now();
        let mut vm = self.system.create(&self.image, 0)?;
        vm.run()?;
        let created = start.elapsed();
        let start = Instant::now();
        drop(vm);
        Ok((microseconds(created), microseconds(start.elapsed())))
    }
}
