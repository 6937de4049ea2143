//! What a program finds when it starts: its stack and its files.

mod stack;
pub(crate) mod start;
mod tree;

use crate::guest::to_usize;
use crate::kernel::Kernel;
use crate::kernel::layout::{Layout, STACK_MAX, STACK_MIN};
use crate::kernel::random::Random;
use crate::personality::Personality;
use crate::task::Task;
use crate::task::registers::Registers;
use crate::task::signals::SignalState;
use crate::vfs::files::Files;
use ampoule_abi::layout::{MMAP_TOP, STACK_TOP};
use ampoule_memory::{AddressSpace, Protection, round_up_to_page};
use stack::{RANDOM_BYTES, stack_image};
use start::{ARGUMENT_MAX, ARGUMENTS_MAX, InitialStack, Start, StartError, StringList};
use std::sync::Arc;
use tree::file_tree;

impl Personality {
    /// Maps the stack below [`STACK_TOP`] and puts on it what a program expects to find there.
    ///
    /// The executable itself is the caller's to load. What lies below the stack stays unmapped, so
    /// that an overflow faults.
    ///
    /// # Errors
    /// [`StartError`]; the stack may have been mapped then.
    pub fn start(
        space: &mut AddressSpace,
        start: Start,
    ) -> Result<(Self, InitialStack), StartError> {
        let stack_bytes = round_up_to_page(start.stack_bytes)
            .filter(|bytes| (STACK_MIN..=STACK_MAX).contains(bytes))
            .ok_or(StartError::StackSize {
                bytes: start.stack_bytes,
                minimum: STACK_MIN,
                maximum: STACK_MAX,
            })?;
        check_strings(&start, stack_bytes)?;
        let break_start = round_up_to_page(start.break_start)
            .filter(|&end| end < MMAP_TOP)
            .ok_or(StartError::BreakOutOfRange { break_start: start.break_start })?;
        let stack = STACK_TOP - stack_bytes..STACK_TOP;
        space.map(stack.start, stack_bytes, Protection::READ_WRITE)?;

        let layout =
            Layout { break_start, break_now: break_start, stack: stack.clone(), out_of_memory: 0 };
        let system = file_tree(&start, space.capacity_bytes(), &stack)?;
        let files = Files::new(Arc::new(system), start.output_high_water);
        let name = thread_name(&start.executable);
        let clock = Arc::clone(&start.clock);
        let mut generator = Random::new(start.random);

        let mut random = [0; RANDOM_BYTES];
        generator.fill(&mut random);
        let (bytes, stack_pointer) = stack_image(&start, &random);
        space.write(stack_pointer, &bytes)?;
        let task = Task::first(name, Registers { fs_base: 0 }, SignalState::new());
        let kernel = Kernel::new(layout, files, generator, clock);
        Ok((Self::new(task, kernel), InitialStack { stack_pointer }))
    }
}

fn check_strings(start: &Start, stack_bytes: u64) -> Result<(), StartError> {
    let executable = std::slice::from_ref(&start.executable);
    let lists = [
        (StringList::Executable, executable),
        (StringList::Arguments, &start.arguments),
        (StringList::Environment, &start.environment),
    ];
    let mut bytes = 0_usize;
    for (list, strings) in lists {
        for (index, string) in strings.iter().enumerate() {
            if string.contains(&0) {
                return Err(StartError::NulByte { list, index });
            }
            let limit = ARGUMENT_MAX - 1;
            if string.len() > limit {
                return Err(StartError::StringTooLong { list, index, bytes: string.len(), limit });
            }
            bytes = bytes.saturating_add(string.len() + 1 + size_of::<u64>());
        }
    }
    let limit = ARGUMENTS_MAX.min(to_usize(stack_bytes / 4));
    if bytes > limit {
        return Err(StartError::ArgumentsTooLarge { bytes, limit });
    }
    Ok(())
}

/// The last component of the path, cut to the 15 bytes that a thread's name has.
fn thread_name(executable: &[u8]) -> [u8; 16] {
    let last = executable.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let mut name = [0; 16];
    let count = last.len().min(15);
    name[..count].copy_from_slice(&last[..count]);
    name
}
