//! How much to measure.

/// Numbers of rounds, samples and sizes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Rounds, in each of which every contestant has its turn.
    pub(crate) rounds: usize,
    /// Samples of something short in one turn; what takes long takes a part of it.
    pub(crate) samples: usize,
    /// Dirty pages at which restore is measured.
    pub(crate) pages: &'static [u64],
    /// MiB of memory in the image at which restore is measured.
    pub(crate) memory_mib: &'static [u64],
    /// Live VMs at which creation is measured.
    pub(crate) live: &'static [usize],
}

impl Effort {
    /// For the record.
    pub(crate) const FULL: Self = Self {
        rounds: 10,
        samples: 200,
        pages: &[1, 8, 16, 32, 64, 128, 256, 512],
        memory_mib: &[16, 64, 256, 1024, 4096],
        live: &[1, 100, 1000],
    };
    /// While developing.
    pub(crate) const QUICK: Self = Self {
        rounds: 5,
        samples: 80,
        pages: &[1, 8, 64, 512],
        memory_mib: &[16, 64, 256],
        live: &[1, 100],
    };
    /// To see that everything runs.
    pub(crate) const SMOKE: Self =
        Self { rounds: 1, samples: 4, pages: &[8, 64], memory_mib: &[16, 32], live: &[1] };

    /// Samples in one turn of something `cost` times as long as a call.
    pub(crate) const fn samples_at(&self, cost: usize) -> usize {
        let samples = self.samples / cost;
        if samples < 2 { 2 } else { samples }
    }
}
