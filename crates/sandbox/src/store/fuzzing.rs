//! Entry points for fuzzing: each takes the bytes of a file and must return.

use super::config::{self, Config, Facts, Place};
use super::pages;
use crate::channel::Channel;
use crate::config::Limits;
use ampoule_abi::layout::PAGE_SIZE;
use ampoule_linux::{Personality, PersonalityState};
use ampoule_machine::{Backends, CpuState, FEATURE_WORDS, GuestFeatures, Registers};
use ampoule_memory::{Extent, PhysicalAddress, SealedSpace, SpaceDescription};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pages of memory that are mapped for an input, and files that are made up for one.
const PAGES_MAX: u64 = 1024;
const FILES_MAX: usize = 16;

/// A layer of pages, which is no longer than its header says.
pub fn pages(bytes: &[u8]) {
    let Some(start) = bytes.first_chunk::<16>() else { return };
    let Ok(size) = pages::header_size(start) else { return };
    let Some(header) = usize::try_from(size).ok().and_then(|size| bytes.get(..size)) else {
        return;
    };
    let _ = pages::decode(header, bytes.len() as u64);
}

/// A configuration, as far as it can be taken without its blobs: over memory of zeros.
pub fn config(bytes: &[u8], backends: Backends) {
    let Ok(config) = config::decode(bytes) else { return };
    let (features, pages) = (features(), backends.select().system_pages());
    let _ = config.check_fit(&Place { pages: &pages, features: &features, backends });
    let _ = config.cpu(&features);
    if config.personality.file_count() <= FILES_MAX {
        let files = vec![Arc::from([0_u8; 2000]); config.personality.file_count()];
        let _ = Personality::from_state(&config.personality, &files);
    }
    let Ok(channel) = Channel::ranges(config.limits.message_bytes) else { return };
    if config.space.used <= PAGES_MAX {
        let ranges = pages.iter().map(|page| page.range);
        let pinned: Vec<_> = channel.into_iter().chain(ranges).collect();
        let _ = SealedSpace::from_extents(&config.space, extents(config.space.used), &pinned);
    }
}

/// Memory of zeros.
fn extents(pages: u64) -> Vec<Extent> {
    let length = pages * PAGE_SIZE;
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let Ok(file) = rustix::fs::memfd_create("ampoule-fuzz", flags) else { return Vec::new() };
    if length == 0 || rustix::fs::ftruncate(&file, length).is_err() {
        return Vec::new();
    }
    vec![Extent { file: Arc::new(file), file_offset: 0, start: PhysicalAddress::new(0), length }]
}

fn features() -> GuestFeatures {
    GuestFeatures {
        backend: "kvm",
        words: [u32::MAX; FEATURE_WORDS.len()],
        xcr0: 7,
        components: vec![(2, 256, 576)],
    }
}

/// A configuration to start from; `None` when it cannot be written, which does not happen.
#[must_use]
pub fn config_seed(
    space: SpaceDescription,
    personality: PersonalityState,
    backends: Backends,
) -> Option<Vec<u8>> {
    let registers = Registers { rflags: 0x3202, ..Registers::default() };
    let config = Config::new(Facts {
        name: "seed".into(),
        pages: &backends.select().system_pages(),
        features: &features(),
        tsc_frequency: Some(1_000_000_000),
        imports: vec!["host".into()],
        limits: Limits::UNLIMITED,
        stack_bytes: 1 << 20,
        message_bytes: 4032,
        metadata: BTreeMap::from([("key".into(), "value".into())]),
        sequence: 1,
        cpu: &CpuState { registers, extended: vec![0; 4096], ..CpuState::default() },
        space,
        personality,
    });
    serde_json::to_vec(&config).ok()
}
