//! The file tree that a guest sees: an interface and its one implementation, which is read-only and
//! held in memory.

pub(crate) mod state;

use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::sync::Arc;

/// Identifies a file, directory, link or device within one [`FileSystem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Node(u32);

impl Node {
    /// A number that tells the node from others of the same file system; never 0.
    #[must_use]
    pub const fn inode(self) -> u64 {
        self.0 as u64 + 1
    }
}

/// A character device. All of them live in this crate; none reaches a device of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Device {
    /// `/dev/null`: empty, swallows everything.
    Null,
    /// `/dev/zero`: endless zeros.
    Zero,
    /// `/dev/full`: endless zeros, refuses writes with `ENOSPC`.
    Full,
    /// `/dev/random`: the sandbox's own generator.
    Random,
    /// `/dev/urandom`: the same.
    UnlimitedRandom,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    Regular,
    /// A symbolic link.
    Link,
    /// A character device.
    Device(Device),
    /// The directory `/proc/self/fd`, whose entries are the guest's open descriptors.
    Descriptors,
}

/// What can be told about a node without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// What the node is.
    pub kind: Kind,
    /// Bytes of a regular file or of a link's target, else 0.
    pub size: u64,
    /// Permission bits.
    pub permissions: u32,
}

/// A file tree.
///
/// Paths, links and descriptors are the caller's business; an implementation knows single names
/// only. Nodes given to a method come from the same file system.
pub trait FileSystem: Debug + Send + Sync {
    /// The directory `/`.
    fn root(&self) -> Node;
    /// What can be told about `node`.
    fn status(&self, node: Node) -> Status;
    /// The entry `name` of `directory`; `None` also when that is no directory.
    fn lookup(&self, directory: Node, name: &[u8]) -> Option<Node>;
    /// The directory that holds `node`; the root holds itself.
    fn parent(&self, node: Node) -> Node;
    /// Name and node of entry `index` of `directory`, in a fixed order.
    fn entry(&self, directory: Node, index: usize) -> Option<(&[u8], Node)>;
    /// The name of `node` in its parent; empty for the root.
    fn name(&self, node: Node) -> &[u8];
    /// Copies bytes of a regular file from `offset` on and tells how many; 0 at its end.
    fn read(&self, node: Node, offset: u64, out: &mut [u8]) -> usize;
    /// The bytes of a regular file, shared.
    fn contents(&self, node: Node) -> Option<Arc<[u8]>>;
    /// Where a symbolic link leads.
    fn target(&self, link: Node) -> Option<&[u8]>;
}

/// A file that the user gives to a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where the guest finds it. A path without a leading `/` starts at the root.
    pub path: Vec<u8>,
    /// Its bytes.
    pub contents: Arc<[u8]>,
}

/// Why a file cannot be placed in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The path names no file: it is empty, ends in `/` or has `.` or `..` in it.
    #[error("the path does not name a file")]
    NotAFileName,
    /// A component is longer than 255 bytes, the path longer than 4095, or it holds a NUL.
    #[error("the path is too long or holds a NUL byte")]
    BadName,
    /// Two files have the same path, or one's path leads through the other.
    #[error("another file is in the way")]
    Occupied,
    /// More nodes than a guest may be given.
    #[error("more than {limit} files and directories")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// Most nodes in a [`MemoryFileSystem`].
const NODES_MAX: usize = 1 << 20;
/// Linux' `NAME_MAX`.
pub(crate) const NAME_MAX: usize = 255;

/// Read-only files in memory. Directories exist where a file's path leads through them.
///
/// Invariants: node 0 is the root; a directory's entries are sorted by name; a node has one parent
/// and one name, so the tree has no cycles.
#[derive(Clone)]
pub struct MemoryFileSystem {
    nodes: Vec<Inode>,
}

/// Without the files' contents, which can be large.
impl Debug for MemoryFileSystem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MemoryFileSystem").field("nodes", &self.nodes.len()).finish()
    }
}

#[derive(Clone)]
struct Inode {
    parent: Node,
    name: Vec<u8>,
    permissions: u32,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Directory(Vec<Node>),
    Regular(Arc<[u8]>),
    Link(Vec<u8>),
    Device(Device),
    Descriptors,
}

impl MemoryFileSystem {
    /// An empty root.
    #[must_use]
    pub fn new() -> Self {
        let content = Content::Directory(Vec::new());
        Self {
            nodes: vec![Inode { parent: Node(0), name: Vec::new(), permissions: 0o755, content }],
        }
    }

    /// Adds a regular file with these permission bits and the directories that lead to it.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn add_file(&mut self, file: File, permissions: u32) -> Result<(), PlaceError> {
        self.place(&file.path, permissions, Content::Regular(file.contents))
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn add_link(&mut self, path: &[u8], target: &[u8]) -> Result<(), PlaceError> {
        self.place(path, 0o777, Content::Link(target.to_vec()))
    }

    /// Adds a device.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn add_device(&mut self, path: &[u8], device: Device) -> Result<(), PlaceError> {
        self.place(path, 0o666, Content::Device(device))
    }

    /// Adds the directory whose entries are the guest's descriptors.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn add_descriptors(&mut self, path: &[u8]) -> Result<(), PlaceError> {
        self.place(path, 0o500, Content::Descriptors)
    }

    /// Adds a directory; one that exists already is fine.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn add_directory(&mut self, path: &[u8]) -> Result<(), PlaceError> {
        let mut at = self.root();
        for name in components(path)? {
            at = self.descend(at, name)?;
        }
        Ok(())
    }

    fn place(&mut self, path: &[u8], permissions: u32, content: Content) -> Result<(), PlaceError> {
        if path.ends_with(b"/") {
            return Err(PlaceError::NotAFileName);
        }
        let names = components(path)?;
        let (last, leading) = names.split_last().ok_or(PlaceError::NotAFileName)?;
        let mut at = self.root();
        for name in leading {
            at = self.descend(at, name)?;
        }
        match self.position(at, last) {
            Some(Err(position)) => self.insert(at, position, last, permissions, content).map(drop),
            _ => Err(PlaceError::Occupied),
        }
    }

    /// The directory `name` in `directory`, made when there is nothing of that name.
    fn descend(&mut self, directory: Node, name: &[u8]) -> Result<Node, PlaceError> {
        match self.position(directory, name) {
            Some(Ok(node)) if self.status(node).kind == Kind::Directory => Ok(node),
            Some(Err(position)) => {
                self.insert(directory, position, name, 0o755, Content::Directory(Vec::new()))
            }
            _ => Err(PlaceError::Occupied),
        }
    }

    fn insert(
        &mut self,
        directory: Node,
        position: usize,
        name: &[u8],
        permissions: u32,
        content: Content,
    ) -> Result<Node, PlaceError> {
        let too_many = PlaceError::TooMany { limit: NODES_MAX };
        if self.nodes.len() >= NODES_MAX {
            return Err(too_many);
        }
        let node = Node(u32::try_from(self.nodes.len()).map_err(|_| too_many)?);
        self.nodes.push(Inode { parent: directory, name: name.to_vec(), permissions, content });
        if let Content::Directory(entries) = &mut self.inode_mut(directory).content {
            entries.insert(position, node);
        }
        Ok(node)
    }

    /// The entry of that name, or where in the directory it would stand; `None` for no directory.
    fn position(&self, directory: Node, name: &[u8]) -> Option<Result<Node, usize>> {
        let Content::Directory(entries) = &self.inode(directory).content else { return None };
        let found = entries.binary_search_by(|&entry| self.name(entry).cmp(name));
        Some(found.map(|index| entries[index]))
    }

    fn inode(&self, node: Node) -> &Inode {
        &self.nodes[node.0 as usize]
    }

    fn inode_mut(&mut self, node: Node) -> &mut Inode {
        &mut self.nodes[node.0 as usize]
    }
}

impl Default for MemoryFileSystem {
    fn default() -> Self {
        Self::new()
    }
}

impl FileSystem for MemoryFileSystem {
    fn root(&self) -> Node {
        Node(0)
    }

    fn status(&self, node: Node) -> Status {
        let inode = self.inode(node);
        let (kind, size) = match &inode.content {
            Content::Directory(_) => (Kind::Directory, 0),
            Content::Regular(contents) => (Kind::Regular, contents.len() as u64),
            Content::Link(target) => (Kind::Link, target.len() as u64),
            Content::Device(device) => (Kind::Device(*device), 0),
            Content::Descriptors => (Kind::Descriptors, 0),
        };
        Status { kind, size, permissions: inode.permissions }
    }

    fn lookup(&self, directory: Node, name: &[u8]) -> Option<Node> {
        self.position(directory, name)?.ok()
    }

    fn parent(&self, node: Node) -> Node {
        self.inode(node).parent
    }

    fn entry(&self, directory: Node, index: usize) -> Option<(&[u8], Node)> {
        let Content::Directory(entries) = &self.inode(directory).content else { return None };
        entries.get(index).map(|&node| (self.name(node), node))
    }

    fn name(&self, node: Node) -> &[u8] {
        &self.inode(node).name
    }

    fn read(&self, node: Node, offset: u64, out: &mut [u8]) -> usize {
        let Content::Regular(contents) = &self.inode(node).content else { return 0 };
        let rest = usize::try_from(offset).ok().and_then(|offset| contents.get(offset..));
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        count
    }

    fn contents(&self, node: Node) -> Option<Arc<[u8]>> {
        match &self.inode(node).content {
            Content::Regular(contents) => Some(Arc::clone(contents)),
            _ => None,
        }
    }

    fn target(&self, link: Node) -> Option<&[u8]> {
        match &self.inode(link).content {
            Content::Link(target) => Some(target),
            _ => None,
        }
    }
}

/// The names that a path consists of; repeated slashes count as one.
fn components(path: &[u8]) -> Result<Vec<&[u8]>, PlaceError> {
    let names: Vec<_> = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect();
    if path.len() >= crate::guest::PATH_MAX
        || path.contains(&0)
        || names.iter().any(|name| name.len() > NAME_MAX)
    {
        return Err(PlaceError::BadName);
    }
    if names.iter().any(|&name| name == b"." || name == b"..") {
        return Err(PlaceError::NotAFileName);
    }
    Ok(names)
}
