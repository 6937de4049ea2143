//! Random bytes.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Most bytes that one call reads from a device: what `/dev/urandom` gives in Linux.
pub(crate) const DEVICE_READ_MAX: u64 = (1 << 25) - 1;

/// Bytes that could be copied in the time in which a random one is made.
pub(crate) const RANDOM_PRICE: u64 = 3;

/// The generator behind `getrandom`, `/dev/urandom` and `AT_RANDOM`.
#[derive(Debug, Clone)]
pub(crate) struct Random(ChaCha20Rng);

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }
}
