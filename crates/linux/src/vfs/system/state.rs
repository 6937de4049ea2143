//! A file tree as plain data, and the checked way back.

use super::{
    Content, Device, FileSystem, Inode, Kind, MemoryFileSystem, NAME_MAX, NODES_MAX, Node,
};
use crate::guest::PATH_MAX;
use crate::state::bytes::Bytes;
use crate::state::error::{StateError, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Files up to this many bytes stand in the tree itself: those that every guest has, about itself.
const INLINE_MAX: usize = 1024;
/// How deep directories may nest: as deep as the longest path leads.
const DEPTH_MAX: usize = PATH_MAX / 2;

/// One node; its number is its place in the list. Entries of directories are found by their parents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NodeState {
    parent: Node,
    name: Bytes,
    permissions: u32,
    content: ContentState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum ContentState {
    Directory,
    /// The bytes of a small file.
    Inline(Bytes),
    /// The number of a file whose bytes stand elsewhere.
    File(usize),
    Link(Bytes),
    Device(Device),
    Descriptors,
}

impl Node {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The nodes of `system`, and the contents of the files among them that are not small.
pub(crate) fn tree_state(system: &dyn FileSystem) -> (Vec<NodeState>, Vec<Arc<[u8]>>) {
    let mut found = BTreeMap::new();
    let mut contents: Vec<Arc<[u8]>> = Vec::new();
    let mut rest = vec![system.root()];
    while let Some(node) = rest.pop() {
        let status = system.status(node);
        let content = match status.kind {
            Kind::Directory => {
                rest.extend((0..).map_while(|index| Some(system.entry(node, index)?.1)));
                ContentState::Directory
            }
            Kind::Regular => {
                let bytes = system.contents(node).unwrap_or_default();
                if bytes.len() <= INLINE_MAX {
                    ContentState::Inline(Bytes(bytes.to_vec()))
                } else {
                    contents.push(bytes);
                    ContentState::File(contents.len() - 1)
                }
            }
            Kind::Link => {
                ContentState::Link(Bytes(system.target(node).unwrap_or_default().to_vec()))
            }
            Kind::Device(device) => ContentState::Device(device),
            Kind::Descriptors => ContentState::Descriptors,
        };
        let state = NodeState {
            parent: system.parent(node),
            name: Bytes(system.name(node).to_vec()),
            permissions: status.permissions,
            content,
        };
        found.insert(node.index(), state);
    }
    // Every node hangs on the root, so the numbers have no gap.
    (found.into_values().collect(), contents)
}

/// The tree of `nodes`.
pub(crate) fn tree(
    nodes: &[NodeState],
    contents: &[Arc<[u8]>],
) -> Result<MemoryFileSystem, StateError> {
    ensure((1..=NODES_MAX).contains(&nodes.len()), "number of files")?;
    let mut inodes: Vec<Inode> = Vec::with_capacity(nodes.len());
    let mut depths: Vec<usize> = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let name = &node.name.0;
        if index == 0 {
            let is_root = node.parent == Node(0) && name.is_empty();
            ensure(is_root && node.content == ContentState::Directory, "root directory")?;
            depths.push(0);
        } else {
            let parent = inodes.get_mut(node.parent.index());
            let parent = parent.ok_or(StateError { what: "directory of a file" })?;
            let Content::Directory(entries) = &mut parent.content else {
                return Err(StateError { what: "directory of a file" });
            };
            entries.push(Node(u32::try_from(index).unwrap_or(u32::MAX)));
            let depth = depths[node.parent.index()] + 1;
            ensure(depth <= DEPTH_MAX, "depth of a file")?;
            depths.push(depth);
            let is_name = !name.is_empty()
                && name.len() <= NAME_MAX
                && !name.iter().any(|&byte| byte == 0 || byte == b'/')
                && name != b"."
                && name != b"..";
            ensure(is_name, "name of a file")?;
        }
        ensure(node.permissions <= 0o777, "permissions of a file")?;
        let content = match &node.content {
            ContentState::Directory => Content::Directory(Vec::new()),
            ContentState::Inline(bytes) => Content::Regular(bytes.0.clone().into()),
            ContentState::File(number) => {
                let found = contents.get(*number).ok_or(StateError { what: "number of a file" })?;
                Content::Regular(Arc::clone(found))
            }
            ContentState::Link(target) => {
                ensure(!target.0.is_empty() && target.0.len() < PATH_MAX, "link")?;
                Content::Link(target.0.clone())
            }
            ContentState::Device(device) => Content::Device(*device),
            ContentState::Descriptors => Content::Descriptors,
        };
        let (parent, name, permissions) = (node.parent, name.clone(), node.permissions);
        inodes.push(Inode { parent, name, permissions, content });
    }
    sort_entries(&mut inodes)?;
    Ok(MemoryFileSystem { nodes: inodes })
}

/// Brings the entries of each directory into order, which look-ups rely on.
fn sort_entries(inodes: &mut [Inode]) -> Result<(), StateError> {
    for index in 0..inodes.len() {
        let Content::Directory(entries) = &mut inodes[index].content else { continue };
        let mut entries = std::mem::take(entries);
        let name = |node: &Node| inodes[node.index()].name.as_slice();
        entries.sort_unstable_by(|one, other| name(one).cmp(name(other)));
        let unique = entries.windows(2).all(|pair| name(&pair[0]) != name(&pair[1]));
        ensure(unique, "name of a file")?;
        inodes[index].content = Content::Directory(entries);
    }
    Ok(())
}
