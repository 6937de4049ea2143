//! Loaded executables, shared between the sandboxes that run them.

use crate::error::CreateError;
use ampoule_abi::layout::{MMAP_TOP, NULL_GUARD_END, PAGE_SIZE, PIE_BASE};
use ampoule_machine::{Backend, SystemPages};
use ampoule_memory::{AddressSpace, MapError, Protection, SealedSpace, round_up_to_page};
use ampoule_program::{Addresses, ElfError, Program, Rights, Symbols};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// An executable loaded into a sealed address space.
#[derive(Debug)]
pub(crate) struct LoadedProgram {
    pub(crate) executable: Arc<[u8]>,
    pub(crate) program: Program,
    /// Read when something is to be reported, and then kept: for all sandboxes that run it.
    pub(crate) symbols: Symbols,
    /// What it was loaded for.
    pub(crate) backend: &'static dyn Backend,
    pub(crate) system_pages: SystemPages,
    space: Arc<SealedSpace>,
    memory_bytes: u64,
}

/// Programs in use. Comparing bytes instead of digests costs less (a difference shows early) and
/// cannot be fooled.
static LOADED: Mutex<Vec<Weak<LoadedProgram>>> = Mutex::new(Vec::new());

impl LoadedProgram {
    /// `executable` in `memory_bytes` of memory, for `backend`: one in use, or newly loaded.
    ///
    /// Cost: a comparison with the executables in use; the first time, a copy of the segments.
    pub(crate) fn get(
        executable: &Arc<[u8]>,
        memory_bytes: u64,
        backend: &'static dyn Backend,
    ) -> Result<Arc<Self>, CreateError> {
        let matches = |loaded: &Arc<Self>| {
            loaded.memory_bytes == memory_bytes
                && is_same(loaded.backend, backend)
                && loaded.executable == *executable
        };
        let candidates: Vec<_> = {
            let mut known = LOADED.lock();
            known.retain(|loaded| loaded.strong_count() > 0);
            known.iter().filter_map(Weak::upgrade).collect()
        };
        if let Some(loaded) = candidates.into_iter().find(matches) {
            return Ok(loaded);
        }
        let loaded = Arc::new(Self::load(Arc::clone(executable), memory_bytes, backend)?);
        LOADED.lock().push(Arc::downgrade(&loaded));
        Ok(loaded)
    }

    /// A new address space over it.
    pub(crate) fn instantiate(&self) -> Result<AddressSpace, CreateError> {
        self.space.instantiate().map_err(|source| CreateError::Memory { source })
    }

    /// The program of a guest that was not loaded here: `space` is what became of it.
    pub(crate) fn of_snapshot(
        executable: Arc<[u8]>,
        backend: &'static dyn Backend,
        system_pages: SystemPages,
        space: &Arc<SealedSpace>,
        memory_bytes: u64,
    ) -> Result<Self, ElfError> {
        let program = parse_executable(&executable)?;
        let symbols = Symbols::new(Arc::clone(&executable), program.bias);
        let space = Arc::clone(space);
        Ok(Self { executable, program, symbols, backend, system_pages, space, memory_bytes })
    }

    fn load(
        executable: Arc<[u8]>,
        memory_bytes: u64,
        backend: &'static dyn Backend,
    ) -> Result<Self, CreateError> {
        let program = parse_executable(&executable)?;
        let too_small = |_| CreateError::GuestTooLarge { memory: memory_bytes };
        let mut space =
            AddressSpace::new(memory_bytes).map_err(|source| CreateError::Memory { source })?;
        let system_pages = backend.install_pages(&mut space).map_err(too_small)?;
        load_segments(&program, &executable, &mut space).map_err(|error| match error {
            LoadError::TooLarge => CreateError::GuestTooLarge { memory: memory_bytes },
            LoadError::Elf(error) => CreateError::Executable(error),
        })?;
        let space = space.seal().map_err(|source| CreateError::Memory { source })?;
        let symbols = Symbols::new(Arc::clone(&executable), program.bias);
        Ok(Self { executable, program, symbols, backend, system_pages, space, memory_bytes })
    }
}

/// Two that are called alike are the same one only if they are one value.
fn is_same(a: &'static dyn Backend, b: &'static dyn Backend) -> bool {
    a.name() == b.name() && std::ptr::addr_eq(a, b)
}

/// Reads and checks the headers of a guest's executable.
///
/// Cost: independent of the size of the file.
///
/// # Errors
/// [`ElfError`].
pub fn parse_executable(executable: &[u8]) -> Result<Program, ElfError> {
    let addresses = Addresses { start: NULL_GUARD_END, end: MMAP_TOP, base: PIE_BASE };
    Program::parse(executable, addresses)
}

const fn protection_of(Rights { read, write, execute }: Rights) -> Protection {
    Protection { read, write, execute }
}

enum LoadError {
    TooLarge,
    Elf(ElfError),
}

impl From<MapError> for LoadError {
    fn from(_: MapError) -> Self {
        // The program was checked, so what is left is that memory does not suffice.
        Self::TooLarge
    }
}

fn load_segments(
    program: &Program,
    executable: &[u8],
    space: &mut AddressSpace,
) -> Result<(), LoadError> {
    let mut mapped_end = 0;
    let mut previous = Protection::NONE;
    for segment in &program.segments {
        let protection = protection_of(segment.rights);
        let first_page = segment.address & !(PAGE_SIZE - 1);
        let end =
            round_up_to_page(segment.address + segment.memory_size).ok_or(LoadError::TooLarge)?;
        let start = first_page.max(mapped_end);
        if start < end {
            space.map(start, end - start, protection)?;
        }
        let bytes = usize::try_from(segment.file_offset)
            .ok()
            .zip(usize::try_from(segment.file_size).ok())
            .and_then(|(from, length)| executable.get(from..)?.get(..length))
            .ok_or(LoadError::Elf(ElfError::Truncated { what: "a segment" }))?;
        space.load(segment.address, bytes).map_err(|_| LoadError::TooLarge)?;
        if first_page < mapped_end {
            let both = Protection {
                read: previous.read || protection.read,
                write: previous.write || protection.write,
                execute: previous.execute || protection.execute,
            };
            space.protect(first_page, PAGE_SIZE, both)?;
        }
        previous = protection;
        mapped_end = mapped_end.max(end);
    }
    Ok(())
}
