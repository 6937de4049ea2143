//! `create`: a VM with a memory slot, a virtual CPU, its CPUID table and registers, up to its first
//! exit; and its end.

use super::exit::OUT_LOOP;
use super::image::Image;
use super::vm::System;
use crate::time::microseconds;
use anyhow::Result;
use std::time::Instant;

/// Makes VMs over one image.
#[derive(Debug)]
pub struct Create {
    system: System,
    image: Image,
}

/// How long the parts of one VM's life took, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// Up to its first exit.
    pub created: f64,
    /// Its end.
    pub destroyed: f64,
}

impl Create {
    /// Makes the image.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> Result<Self> {
        Ok(Self { system: System::open()?, image: Image::new(&OUT_LOOP)? })
    }

    /// Makes a VM, runs it to its first exit, and ends it.
    ///
    /// # Errors
    /// What KVM says.
    pub fn once(&self) -> Result<Life> {
        let start = Instant::now();
        let mut vm = self.system.create(&self.image, 0)?;
        vm.run()?;
        let created = microseconds(start.elapsed());
        let start = Instant::now();
        drop(vm);
        Ok(Life { created, destroyed: microseconds(start.elapsed()) })
    }
}
