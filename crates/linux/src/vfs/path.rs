//! From a path to what it names.

use super::files::{Files, Object};
use super::system::{Kind, NAME_MAX, Node};
use crate::errno::Errno;

/// `AT_FDCWD`: relative paths start at the current directory.
pub(crate) const AT_FDCWD: i32 = -100;
/// Linux' `MAXSYMLINKS`.
const LINKS_MAX: u32 = 40;

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A node of the file system.
    Node(Node),
    /// `/proc/self/fd/N` itself, a magic link.
    DescriptorLink(usize),
    /// What `/proc/self/fd/N` leads to: the open descriptor `N`.
    Descriptor(usize),
}

/// The last component of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastName<'a> {
    /// There is none: the path is the root.
    Root,
    /// `.`
    Dot,
    /// `..`
    Parent,
    /// A name, perhaps with a slash behind it.
    Name { name: &'a [u8], slash: bool },
}

/// What to do with a symbolic link in the last place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    Follow,
    Keep,
}

impl Files {
    /// Finds what `path` names, starting at `base` unless the path is absolute.
    ///
    /// # Errors
    /// `ENOENT` for an empty path and for names that do not exist, `ENOTDIR`, `ELOOP`,
    /// `ENAMETOOLONG`.
    pub(crate) fn resolve(&self, base: Node, path: &[u8], last: Last) -> Result<Found, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        let mut at = if path.starts_with(b"/") { self.system.root() } else { base };
        // Names still to be walked, the next one at the end.
        let mut rest = names(path);
        let wants_directory = path.ends_with(b"/") || path.ends_with(b"/.");
        let mut links = 0;
        while let Some(name) = rest.pop() {
            let follow = !rest.is_empty() || wants_directory || last == Last::Follow;
            match self.system.status(at).kind {
                _ if name == b"." => {}
                Kind::Directory | Kind::Descriptors if name == b".." => at = self.system.parent(at),
                Kind::Directory if name.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
                Kind::Directory => {
                    let node = self.system.lookup(at, name).ok_or(Errno::ENOENT)?;
                    match self.system.target(node) {
                        Some(target) if follow => {
                            links += 1;
                            if links > LINKS_MAX {
                                return Err(Errno::ELOOP);
                            }
                            if target.starts_with(b"/") {
                                at = self.system.root();
                            }
                            rest.append(&mut names(target));
                        }
                        _ => at = node,
                    }
                }
                Kind::Descriptors => {
                    let number = self.open_number(name).ok_or(Errno::ENOENT)?;
                    if !follow {
                        return Ok(Found::DescriptorLink(number));
                    }
                    match self.description(number)?.object {
                        Object::Directory(node) | Object::File(node) => at = node,
                        _ if rest.is_empty() && !wants_directory => {
                            return Ok(Found::Descriptor(number));
                        }
                        _ => return Err(Errno::ENOTDIR),
                    }
                }
                _ => return Err(Errno::ENOTDIR),
            }
        }
        let kind = self.system.status(at).kind;
        if wants_directory && !matches!(kind, Kind::Directory | Kind::Descriptors) {
            return Err(Errno::ENOTDIR);
        }
        Ok(Found::Node(at))
    }

    /// Finds the directory in which the last component of `path` stands, and what that component is: all
    /// that Linux looks at before it asks whether the file system may be written.
    ///
    /// # Errors
    /// As [`Self::resolve`], but for the last component.
    pub(crate) fn resolve_parent<'a>(
        &self,
        base: Node,
        path: &'a [u8],
    ) -> Result<(Node, LastName<'a>), Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        let trimmed = without_end_slashes(path);
        let slash = trimmed.iter().rposition(|&byte| byte == b'/');
        let (directory, name) = trimmed.split_at(slash.map_or(0, |slash| slash + 1));
        let parent = match directory {
            [] if trimmed.is_empty() => self.system.root(),
            [] => base,
            _ => match self.resolve(base, directory, Last::Follow)? {
                Found::Node(node) => node,
                Found::Descriptor(_) | Found::DescriptorLink(_) => return Err(Errno::ENOTDIR),
            },
        };
        let last = match name {
            b"" => LastName::Root,
            b"." => LastName::Dot,
            b".." => LastName::Parent,
            _ => LastName::Name { name, slash: trimmed.len() < path.len() },
        };
        Ok((parent, last))
    }

    /// Whether there is an entry `name` in `directory`.
    ///
    /// # Errors
    /// `ENAMETOOLONG`, `ENOTDIR`; `ENOENT` where nothing can be made, for it is no entry and never will be.
    pub(crate) fn has_entry(&self, directory: Node, name: &[u8]) -> Result<bool, Errno> {
        match self.system.status(directory).kind {
            Kind::Directory if name.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
            Kind::Directory => Ok(self.system.lookup(directory, name).is_some()),
            Kind::Descriptors => self.open_number(name).map(|_| true).ok_or(Errno::ENOENT),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Where relative paths start for this descriptor argument.
    ///
    /// # Errors
    /// `ENOENT` for an empty path, `EBADF`, `ENOTDIR`. An absolute path does not look at the descriptor at all.
    pub(crate) fn base(&self, descriptor: i32, path: &[u8]) -> Result<Node, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if descriptor == AT_FDCWD || path.starts_with(b"/") {
            return Ok(self.directory);
        }
        match self.description_of(descriptor)?.object {
            Object::Directory(node) => Ok(node),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The absolute path of a node.
    pub(crate) fn path(&self, node: Node) -> Vec<u8> {
        let mut names = Vec::new();
        let mut at = node;
        while at != self.system.root() {
            names.push(self.system.name(at));
            at = self.system.parent(at);
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        path
    }

    /// What a found path opens as.
    pub(crate) fn object_of(&self, found: Found) -> Result<Object, Errno> {
        match found {
            Found::Node(node) => Ok(match self.system.status(node).kind {
                Kind::Directory | Kind::Descriptors => Object::Directory(node),
                Kind::Device(device) => Object::Device(device, node),
                Kind::Regular | Kind::Link => Object::File(node),
            }),
            Found::Descriptor(number) | Found::DescriptorLink(number) => {
                Ok(self.description(number)?.object)
            }
        }
    }

    /// The open descriptor that `name` is the decimal number of.
    fn open_number(&self, name: &[u8]) -> Option<usize> {
        if name.len() > 1 && name.starts_with(b"0") || !name.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number = std::str::from_utf8(name).ok()?.parse().ok()?;
        self.description(number).is_ok().then_some(number)
    }
}

/// The names of a path, in reverse order.
fn names(path: &[u8]) -> Vec<&[u8]> {
    let mut names: Vec<&[u8]> =
        path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect();
    names.reverse();
    names
}

/// The path without the slashes at its end.
fn without_end_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    &path[..end]
}
