//! A guest in its VM: made from an executable or from a snapshot.

use super::snapshot::SnapshotParts;
use crate::channel::Channel;
use crate::config::Config;
use crate::empty_vm::{EmptyVm, Shape, describe};
use crate::error::CreateError;
use crate::loaded::LoadedProgram;
use crate::providers::Providers;
use ampoule_abi::layout::CHANNEL_BASE;
use ampoule_linux::{Personality, Start};
use ampoule_machine::{Entry, Machine};
use ampoule_memory::AddressSpace;
use ampoule_wire::interface::Interface;
use std::io;
use std::sync::Arc;

/// A guest and the VM that it is in: what a snapshot is of, and what going back to one replaces.
#[derive(Debug)]
pub(super) struct Guest {
    // The VM goes before the memory it uses.
    pub(super) machine: Box<dyn Machine>,
    pub(super) space: AddressSpace,
    /// Shared memory for messages; a plain program has none.
    pub(super) channel: Option<Channel>,
    pub(super) personality: Personality,
    pub(super) loaded: Arc<LoadedProgram>,
    pub(super) stack_bytes: u64,
    /// Known once the guest is ready.
    pub(super) interface: Option<Arc<Interface>>,
    /// Whether it has read standard input, which no other guest has.
    pub(super) has_read_input: bool,
}

impl Guest {
    /// Puts a `loaded` program into a machine; nothing runs yet.
    pub(super) fn load(config: &Config, loaded: Arc<LoadedProgram>) -> Result<Self, CreateError> {
        // Before whatever else can be wrong.
        loaded.backend.open()?;
        let memory = |source| CreateError::Memory { source };
        let too_small = |_| CreateError::GuestTooLarge { memory: config.memory_bytes };
        let mut space = loaded.instantiate()?;
        let channel = config.message_bytes.map(Channel::new).transpose().map_err(memory)?;
        if let Some(channel) = &channel {
            channel.map_into(&mut space).map_err(too_small)?;
        }
        let start = start_of(config, &loaded, channel.is_some())?;
        let (personality, stack) = Personality::start(&mut space, start)?;
        let entry = Entry { instruction: loaded.program.entry, stack: stack.stack_pointer };
        let machine = loaded.backend.machine(&space, &loaded.system_pages, entry)?;
        describe(channel.as_ref(), &*machine)?;
        let stack_bytes = config.stack_bytes;
        Ok(Self {
            machine,
            space,
            channel,
            personality,
            loaded,
            stack_bytes,
            interface: None,
            has_read_input: false,
        })
    }

    /// One that begins as `from`, but for its random generator.
    pub(super) fn from_snapshot(
        from: &SnapshotParts,
        providers: &Providers,
    ) -> Result<Self, CreateError> {
        let EmptyVm { machine, space, channel } = vm_at(from, providers)?;
        let seed = random_seed().map_err(|source| CreateError::Memory { source })?;
        Ok(Self {
            machine,
            space,
            channel: Some(channel),
            personality: from.personality.fork(seed),
            loaded: Arc::clone(&from.loaded),
            stack_bytes: from.stack_bytes,
            interface: Some(Arc::clone(&from.interface)),
            has_read_input: false,
        })
    }
}

/// A VM in which the memory and the processor are as in `from`.
pub(super) fn vm_at(from: &SnapshotParts, providers: &Providers) -> Result<EmptyVm, CreateError> {
    let mut vm = vm_over(from, providers)?;
    let reset = vm.channel.reset(from.sequence, false);
    reset.map_err(|source| CreateError::Memory { source })?;
    vm.machine.load(&from.cpu, &vm.space)?;
    Ok(vm)
}

/// A VM whose memory is that of `from`: one that the providers have, or a new one.
fn vm_over(from: &SnapshotParts, providers: &Providers) -> Result<EmptyVm, CreateError> {
    let shape = Shape {
        backend: from.loaded.backend,
        space: &from.space,
        pages: &from.loaded.system_pages,
        message_bytes: from.message_bytes,
    };
    if let Some(mut vm) = providers.vms.take(&shape)
        && vm.space.restore(&from.space).is_ok()
    {
        return Ok(vm);
    }
    EmptyVm::of(&shape, &from.cpu)
}

/// What the personality needs to start the program.
fn start_of(
    config: &Config,
    loaded: &LoadedProgram,
    has_channel: bool,
) -> Result<Start, CreateError> {
    let program = &loaded.program;
    let name = config.name.clone().into_bytes();
    let random = random_seed().map_err(|source| CreateError::Memory { source })?;
    let mut arguments = vec![name.clone()];
    arguments.extend(config.arguments.iter().cloned());
    Ok(Start {
        executable: name,
        arguments,
        environment: config.environment.clone(),
        files: config
            .files
            .iter()
            .map(|file| ampoule_linux::File {
                path: file.path.clone(),
                contents: Arc::clone(&file.contents),
            })
            .collect(),
        stack_bytes: config.stack_bytes,
        random,
        program_headers: program.program_headers,
        program_header_count: program.program_header_count,
        entry: program.entry,
        break_start: program.break_start,
        channel: has_channel.then_some(CHANNEL_BASE),
        ..Start::default()
    })
}

/// A seed for what the guest sees as random.
fn random_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    let mut done = 0;
    while done < seed.len() {
        match rustix::rand::getrandom(&mut seed[done..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => done += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(seed)
}
