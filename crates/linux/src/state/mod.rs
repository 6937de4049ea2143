//! A personality as plain data, and the checked way back.
//!
//! What comes back may have been made by anybody. Every number that the rest of the crate uses as an
//! index or relies on is checked here, so that what [`Personality::from_state`] returns is as good as a
//! personality that grew from its start.

pub(crate) mod bytes;
pub(crate) mod error;
mod process;

use crate::kernel::Kernel;
use crate::kernel::clock::{Clock, HostClock};
use crate::kernel::dispositions::Dispositions;
use crate::kernel::layout::{Layout, STACK_MAX, STACK_MIN};
use crate::kernel::random::Random;
use crate::personality::Personality;
use crate::task::Task;
use crate::task::registers::Registers;
use crate::task::signals::SignalState;
use crate::vfs::files::Files;
use crate::vfs::files::state::FilesState;
use ampoule_abi::layout::{MMAP_TOP, PAGE_SIZE, STACK_TOP, USER_END};
use bytes::Bytes;
use error::{StateError, ensure};
use process::ProcessState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest time that a guest's clock may show: 146 years.
const MONOTONIC_MAX: u64 = u64::MAX / 4;

/// What of a [`Personality`] outlives its process: everything but its random generator, its counts and
/// output that nobody has taken. The contents of large files stand beside it, by number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PersonalityState {
    thread: ThreadState,
    process: ProcessState,
    /// Actions that are not the default, by signal.
    signal_actions: BTreeMap<u32, Bytes>,
    layout: LayoutState,
    files: FilesState,
    /// What the guest's monotonic clock shows, in nanoseconds.
    monotonic: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ThreadState {
    name: Bytes,
    fs_base: u64,
    signals: SignalState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LayoutState {
    break_start: u64,
    break_now: u64,
    stack_bytes: u64,
    out_of_memory: u64,
}

impl Personality {
    /// The state of a personality none of whose calls is parked, and the contents of the files that it
    /// refers to by number.
    #[must_use]
    pub fn state(&self) -> (PersonalityState, Vec<Arc<[u8]>>) {
        // A description holds one task.
        let task = self.scheduler.running();
        let kernel = &self.kernel;
        let (files, contents) = kernel.files.state();
        let actions = kernel.signals.changed();
        let state = PersonalityState {
            thread: ThreadState {
                name: Bytes(task.name.to_vec()),
                fs_base: task.registers.fs_base,
                signals: task.signals.clone(),
            },
            process: ProcessState::of(kernel),
            signal_actions: actions
                .map(|(signal, action)| (signal, Bytes(action.to_vec())))
                .collect(),
            layout: LayoutState {
                break_start: kernel.memory.break_start,
                break_now: kernel.memory.break_now,
                stack_bytes: kernel.memory.stack.end - kernel.memory.stack.start,
                out_of_memory: kernel.memory.out_of_memory,
            },
            files,
            monotonic: kernel.clock.monotonic(),
        };
        (state, contents)
    }

    /// The personality of `state` and of `contents`, the files that it refers to. Its random generator
    /// has no seed yet, which each [fork](Self::fork) gets; its clock goes on where the state's was.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn from_state(
        state: &PersonalityState,
        contents: &[Arc<[u8]>],
    ) -> Result<Self, StateError> {
        let mut name = [0; 16];
        ensure(state.thread.name.0.len() == name.len(), "thread name")?;
        name.copy_from_slice(&state.thread.name.0);
        ensure(state.thread.fs_base < USER_END, "FS base")?;
        state.thread.signals.check()?;
        state.process.check()?;
        let registers = Registers { fs_base: state.thread.fs_base };
        let task = Task::first(name, registers, state.thread.signals.clone());

        let mut dispositions = Dispositions::new();
        for (&signal, action) in &state.signal_actions {
            let action = action.0.as_slice().try_into();
            let action = action.map_err(|_| StateError { what: "signal action" })?;
            ensure(dispositions.set(signal, action), "signal")?;
        }
        let clock: Arc<dyn Clock> = Arc::new(HostClock::resumed(state.monotonic));
        ensure(state.monotonic < MONOTONIC_MAX, "clock")?;
        let layout = state.layout.layout()?;
        let files = Files::from_state(&state.files, contents)?;
        let mut kernel = Kernel::new(layout, files, Random::new([0; 32]), clock);
        kernel.signals = dispositions;
        state.process.bring(&mut kernel);
        Ok(Self::new(task, kernel))
    }
}

impl PersonalityState {
    /// How many files it refers to.
    #[must_use]
    pub const fn file_count(&self) -> usize {
        self.files.contents
    }
}

impl LayoutState {
    fn layout(&self) -> Result<Layout, StateError> {
        let Self { break_start, break_now, stack_bytes, out_of_memory } = *self;
        let heap = break_start.is_multiple_of(PAGE_SIZE)
            && break_start <= break_now
            && break_now <= MMAP_TOP;
        ensure(heap, "heap")?;
        let stack =
            stack_bytes.is_multiple_of(PAGE_SIZE) && (STACK_MIN..=STACK_MAX).contains(&stack_bytes);
        ensure(stack, "stack")?;
        Ok(Layout {
            break_start,
            break_now,
            stack: STACK_TOP - stack_bytes..STACK_TOP,
            out_of_memory,
        })
    }
}
