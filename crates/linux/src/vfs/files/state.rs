//! Open files as plain data, and the checked way back.

use super::{DESCRIPTORS_MAX, Description, Descriptor, Files, Object, OutputStream};
use crate::state::bytes::Bytes;
use crate::state::error::{StateError, ensure};
use crate::vfs::pipe::{PIPES_MAX, Pipe, SLOT, SLOTS_MAX, Slot};
use crate::vfs::system::state::{NodeState, tree, tree_state};
use crate::vfs::system::{Device, Kind, Node};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most bytes of unread input, and the highest mark for output: far above what any caller sets.
const BUFFER_MAX: usize = 64 << 20;

/// [`Files`] without output that nobody has taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FilesState {
    nodes: Vec<NodeState>,
    /// Files that nodes refer to by number.
    pub(crate) contents: usize,
    /// By number of the descriptor.
    descriptors: BTreeMap<usize, DescriptorState>,
    descriptions: BTreeMap<usize, DescriptionState>,
    pipes: BTreeMap<usize, PipeState>,
    directory: Node,
    descriptor_limit: usize,
    input: Bytes,
    input_ended: bool,
    high_water: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DescriptorState {
    description: usize,
    close_on_exec: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DescriptionState {
    object: ObjectState,
    offset: u64,
    flags: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum ObjectState {
    Input,
    Stdout,
    Stderr,
    File(Node),
    Directory(Node),
    Device(Device, Node),
    Pipe(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PipeState {
    slots: Vec<SlotState>,
    capacity: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SlotState {
    bytes: Bytes,
    /// How many of them were read.
    start: usize,
    is_packet: bool,
}

impl Files {
    /// The state, and the contents that its nodes refer to.
    pub(crate) fn state(&self) -> (FilesState, Vec<Arc<[u8]>>) {
        let (nodes, contents) = tree_state(self.system.as_ref());
        let open = |(number, descriptor): (usize, &Option<Descriptor>)| {
            let Descriptor { description, close_on_exec } = (*descriptor)?;
            Some((number, DescriptorState { description, close_on_exec }))
        };
        let described = |(number, description): (usize, &Option<Description>)| {
            let Description { object, offset, flags, references: _ } = (*description)?;
            Some((number, DescriptionState { object: object.into(), offset, flags }))
        };
        let piped = |(number, pipe): (usize, &Pipe)| {
            // How many descriptions each end has is counted again.
            let Pipe { slots, capacity, readers: _, writers: _ } = pipe;
            let slot = |slot: &Slot| {
                let Slot { bytes, start, is_packet } = slot.clone();
                SlotState { bytes: Bytes(bytes), start, is_packet }
            };
            let slots = slots.iter().map(slot).collect();
            (number, PipeState { slots, capacity: *capacity })
        };
        let state = FilesState {
            nodes,
            contents: contents.len(),
            descriptors: self.descriptors.iter().enumerate().filter_map(open).collect(),
            descriptions: self.descriptions.iter().enumerate().filter_map(described).collect(),
            pipes: self.pipes.iter().map(piped).collect(),
            directory: self.directory,
            descriptor_limit: self.descriptor_limit,
            input: Bytes(self.input.iter().copied().collect()),
            input_ended: self.input_ended,
            high_water: self.high_water,
        };
        (state, contents)
    }

    /// The files of `state`.
    ///
    /// # Errors
    /// [`StateError`].
    pub(crate) fn from_state(
        state: &FilesState,
        contents: &[Arc<[u8]>],
    ) -> Result<Self, StateError> {
        ensure(contents.len() == state.contents, "number of files")?;
        let tree = tree(&state.nodes, contents)?;
        ensure(state.descriptor_limit <= DESCRIPTORS_MAX, "limit of descriptors")?;
        ensure((1..=BUFFER_MAX).contains(&state.high_water), "mark for output")?;
        ensure(state.input.0.len() <= BUFFER_MAX, "input")?;

        let mut files = Self::new(Arc::new(tree), state.high_water);
        let is_node = |node: Node| node.index() < state.nodes.len();
        let kind = |node| files.system.status(node).kind;
        let is_directory = |kind| matches!(kind, Kind::Directory | Kind::Descriptors);
        ensure(is_node(state.directory) && is_directory(kind(state.directory)), "directory")?;
        let mut descriptions = Vec::new();
        for (&index, description) in &state.descriptions {
            let object = Object::from(&description.object);
            let exists = match object {
                Object::Input | Object::Output(_) => true,
                Object::File(node) => {
                    is_node(node) && matches!(kind(node), Kind::Regular | Kind::Link)
                }
                Object::Directory(node) => is_node(node) && is_directory(kind(node)),
                Object::Device(device, node) => is_node(node) && kind(node) == Kind::Device(device),
                Object::Pipe(pipe) => state.pipes.contains_key(&pipe),
            };
            ensure(exists && index < DESCRIPTORS_MAX, "open file")?;
            let DescriptionState { offset, flags, .. } = *description;
            descriptions.resize(index + 1, None);
            descriptions[index] = Some(Description { object, offset, flags, references: 0 });
        }
        files.directory = state.directory;
        files.descriptor_limit = state.descriptor_limit;
        files.descriptions = descriptions;
        files.descriptors = Vec::new();
        for (&number, descriptor) in &state.descriptors {
            let DescriptorState { description, close_on_exec } = *descriptor;
            let exists = matches!(files.descriptions.get(description), Some(Some(_)));
            ensure(exists && number < DESCRIPTORS_MAX, "descriptor")?;
            files.refer(number, description, close_on_exec);
        }
        let referred = files.descriptions.iter().flatten().all(|found| found.references > 0);
        ensure(referred, "open file without a descriptor")?;
        files.add_pipes(&state.pipes)?;
        files.input = state.input.0.iter().copied().collect();
        files.input_ended = state.input_ended;
        Ok(files)
    }

    fn add_pipes(&mut self, pipes: &BTreeMap<usize, PipeState>) -> Result<(), StateError> {
        let mut capacities = 0_usize;
        for (&index, pipe) in pipes {
            let PipeState { slots, capacity } = pipe;
            capacities = capacities.saturating_add(*capacity);
            let is_sound = |slot: &SlotState| {
                (1..=SLOT).contains(&slot.bytes.0.len()) && slot.start < slot.bytes.0.len()
            };
            let sound = slots.len() <= *capacity && slots.iter().all(is_sound);
            ensure(index < PIPES_MAX && capacities <= SLOTS_MAX && sound, "pipe")?;
            let slot = |slot: &SlotState| {
                let SlotState { bytes, start, is_packet } = slot.clone();
                Slot { bytes: bytes.0, start, is_packet }
            };
            let mut pipe = Pipe::new(*capacity);
            pipe.slots = slots.iter().map(slot).collect();
            let ends = self.descriptions.iter().flatten();
            for description in ends.filter(|description| description.object == Object::Pipe(index))
            {
                pipe.readers += usize::from(description.is_readable());
                pipe.writers += usize::from(description.is_writable());
            }
            self.pipes.place(index, pipe);
        }
        let is_used = |index: &usize| {
            self.descriptions.iter().flatten().any(|used| used.object == Object::Pipe(*index))
        };
        ensure(pipes.keys().all(is_used), "pipe without a descriptor")
    }
}

impl From<Object> for ObjectState {
    fn from(object: Object) -> Self {
        match object {
            Object::Input => Self::Input,
            Object::Output(OutputStream::Stdout) => Self::Stdout,
            Object::Output(OutputStream::Stderr) => Self::Stderr,
            Object::File(node) => Self::File(node),
            Object::Directory(node) => Self::Directory(node),
            Object::Device(device, node) => Self::Device(device, node),
            Object::Pipe(pipe) => Self::Pipe(pipe),
        }
    }
}

impl From<&ObjectState> for Object {
    fn from(state: &ObjectState) -> Self {
        match *state {
            ObjectState::Input => Self::Input,
            ObjectState::Stdout => Self::Output(OutputStream::Stdout),
            ObjectState::Stderr => Self::Output(OutputStream::Stderr),
            ObjectState::File(node) => Self::File(node),
            ObjectState::Directory(node) => Self::Directory(node),
            ObjectState::Device(device, node) => Self::Device(device, node),
            ObjectState::Pipe(pipe) => Self::Pipe(pipe),
        }
    }
}
