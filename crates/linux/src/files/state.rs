//! Open files as plain data, and the checked way back.

use super::pipe::{PIPE_SIZE, PIPES_MAX, Pipe};
use super::system::{self, Device, Kind, Node, NodeState};
use super::{DESCRIPTORS_MAX, Description, Descriptor, Files, Object, OutputStream};
use crate::state::bytes::Bytes;
use crate::state::{StateError, ensure};
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
    PipeReader(usize),
    PipeWriter(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PipeState {
    buffer: Bytes,
    has_reader: bool,
    has_writer: bool,
}

impl Files {
    /// The state, and the contents that its nodes refer to.
    pub(crate) fn state(&self) -> (FilesState, Vec<Arc<[u8]>>) {
        let (nodes, contents) = system::tree_state(self.system.as_ref());
        let open = |(number, descriptor): (usize, &Option<Descriptor>)| {
            let Descriptor { description, close_on_exec } = (*descriptor)?;
            Some((number, DescriptorState { description, close_on_exec }))
        };
        let described = |(number, description): (usize, &Option<Description>)| {
            let Description { object, offset, flags, references: _ } = (*description)?;
            Some((number, DescriptionState { object: object.into(), offset, flags }))
        };
        let piped = |(number, pipe): (usize, &Option<Pipe>)| {
            let Pipe { buffer, has_reader, has_writer } = pipe.as_ref()?;
            let buffer = Bytes(buffer.iter().copied().collect());
            let (has_reader, has_writer) = (*has_reader, *has_writer);
            Some((number, PipeState { buffer, has_reader, has_writer }))
        };
        let state = FilesState {
            nodes,
            contents: contents.len(),
            descriptors: self.descriptors.iter().enumerate().filter_map(open).collect(),
            descriptions: self.descriptions.iter().enumerate().filter_map(described).collect(),
            pipes: self.pipes.iter().enumerate().filter_map(piped).collect(),
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
        let tree = system::tree(&state.nodes, contents)?;
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
                // A pipe that is gone answers `EBADF`.
                Object::PipeReader(pipe) | Object::PipeWriter(pipe) => pipe < PIPES_MAX,
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
        for (&index, pipe) in &state.pipes {
            let has_end = pipe.has_reader || pipe.has_writer;
            ensure(index < PIPES_MAX && pipe.buffer.0.len() <= PIPE_SIZE && has_end, "pipe")?;
            files.pipes.resize(index + 1, None);
            let PipeState { ref buffer, has_reader, has_writer } = *pipe;
            let buffer = buffer.0.iter().copied().collect();
            files.pipes[index] = Some(Pipe { buffer, has_reader, has_writer });
        }
        files.input = state.input.0.iter().copied().collect();
        files.input_ended = state.input_ended;
        Ok(files)
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
            Object::PipeReader(pipe) => Self::PipeReader(pipe),
            Object::PipeWriter(pipe) => Self::PipeWriter(pipe),
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
            ObjectState::PipeReader(pipe) => Self::PipeReader(pipe),
            ObjectState::PipeWriter(pipe) => Self::PipeWriter(pipe),
        }
    }
}
