//! Directories and links: `getdents64`, `getcwd`, `chdir`, `readlink`.

use super::path::{
    AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, Found, Last, locate, path_argument,
};
use super::status::stream_inode;
use super::system::{FileSystem, Kind, Node};
use super::{Files, Object};
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Arguments, CHUNK, read_path, to_usize, write_some};
use crate::personality::Personality;
use ampoule_memory::AddressSpace;

/// One entry as `getdents64` gives it.
struct Listed {
    name: Vec<u8>,
    inode: u64,
    kind: u8,
}

const DT_LNK: u8 = 10;

fn entry_type(kind: Kind) -> u8 {
    match kind {
        Kind::Device(_) => 2,
        Kind::Directory | Kind::Descriptors => 4,
        Kind::Regular => 8,
        Kind::Link => DT_LNK,
    }
}

/// The first entry of a directory at `position` or behind, and the position behind it: the directory
/// itself, its parent, then what it holds. A descriptor's place is its number, so that closing one while
/// they are listed hides none of the others.
fn listed(files: &Files, directory: Node, position: usize) -> Option<(Listed, usize)> {
    let system: &dyn FileSystem = files.system.as_ref();
    let of = |name: &[u8], node: Node| Listed {
        name: name.to_vec(),
        inode: node.inode(),
        kind: entry_type(system.status(node).kind),
    };
    match position {
        0 => Some((of(b".", directory), 1)),
        1 => Some((of(b"..", system.parent(directory)), 2)),
        _ if system.status(directory).kind == Kind::Descriptors => {
            let number = files.open_from(position - 2).next()?;
            let name = number.to_string().into_bytes();
            let inode = u64::from(u32::MAX) + number as u64;
            Some((Listed { name, inode, kind: DT_LNK }, number + 3))
        }
        _ => {
            let (name, node) = system.entry(directory, position - 2)?;
            Some((of(name, node), position + 1))
        }
    }
}

/// `getdents64(int fd, void *out, unsigned size)`
pub(crate) fn getdents64(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    /// Bytes before the name in `struct linux_dirent64`.
    const HEADER: usize = 19;
    let files = &personality.files;
    let description = *files.usable(arguments.int(0))?;
    let Object::Directory(directory) = description.object else { return Err(Errno::ENOTDIR) };
    let size = (arguments.uint(2) as usize).min(CHUNK);
    let mut out = Vec::new();
    let mut index = to_usize(description.offset);
    while let Some((entry, next)) = listed(files, directory, index) {
        let length = (HEADER + entry.name.len() + 1).next_multiple_of(8);
        if out.len() + length > size {
            if out.is_empty() {
                return Err(Errno::EINVAL);
            }
            break;
        }
        index = next;
        let end = out.len() + length;
        out.extend_from_slice(&entry.inode.to_le_bytes());
        out.extend_from_slice(&(index as u64).to_le_bytes());
        out.extend_from_slice(&u16::try_from(length).unwrap_or_default().to_le_bytes());
        out.push(entry.kind);
        out.extend_from_slice(&entry.name);
        out.resize(end, 0);
    }
    if write_some(space, arguments.get(1), &out) < out.len() {
        return Err(Errno::EFAULT);
    }
    personality.files.description_mut(arguments.int(0))?.offset = index as u64;
    Ok(Answer::value(out.len() as u64))
}

/// `getcwd(char *out, size_t size)`; returns the length with the terminating NUL.
pub(crate) fn getcwd(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let mut path = personality.files.path(personality.files.directory);
    path.push(0);
    if path.len() as u64 > arguments.get(1) {
        return Err(Errno::ERANGE);
    }
    space.write(arguments.get(0), &path)?;
    Ok(Answer::value(path.len() as u64))
}

/// `chdir(const char *path)`
pub(crate) fn chdir(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let files = &mut personality.files;
    let (base, path) = path_argument(files, space, arguments, None, 0)?;
    let found = files.resolve(base, &path, Last::Follow)?;
    let Object::Directory(node) = files.object_of(found)? else { return Err(Errno::ENOTDIR) };
    files.directory = node;
    Ok(Answer::ZERO)
}

/// `fchdir(int fd)`
pub(crate) fn fchdir(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let files = &mut personality.files;
    match files.description_of(arguments.int(0))?.object {
        Object::Directory(node) => files.directory = node,
        _ => return Err(Errno::ENOTDIR),
    }
    Ok(Answer::ZERO)
}

/// Where a link leads.
fn read_link(
    personality: &Personality,
    space: &mut AddressSpace,
    (descriptor, path): (i32, u64),
    (out, size): (u64, i32),
) -> Outcome {
    let files = &personality.files;
    let size = usize::try_from(size).ok().filter(|&size| size > 0).ok_or(Errno::EINVAL)?;
    let flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
    let target = match locate(files, space, descriptor, path, flags)? {
        Found::Node(node) => match files.system.target(node) {
            Some(target) => target.to_vec(),
            // The current directory, by an empty path, is not even named.
            None if read_path(space, path)?.is_empty() => return Err(Errno::ENOENT),
            None => return Err(Errno::EINVAL),
        },
        // A link that was opened as such, by an empty path.
        Found::Descriptor(number) => match files.description(number)?.object {
            Object::File(node) => files.system.target(node).ok_or(Errno::ENOENT)?.to_vec(),
            _ => return Err(Errno::ENOENT),
        },
        Found::DescriptorLink(number) => match files.description(number)?.object {
            Object::File(node) | Object::Directory(node) | Object::Device(_, node) => {
                files.path(node)
            }
            stream => format!("pipe:[{}]", stream_inode(stream)).into_bytes(),
        },
    };
    let count = target.len().min(size);
    space.write(out, &target[..count])?;
    Ok(Answer::value(count as u64))
}

/// `readlink(const char *path, char *out, int size)`
pub(crate) fn readlink(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let path = (AT_FDCWD, arguments.get(0));
    read_link(personality, space, path, (arguments.get(1), arguments.int(2)))
}

/// `readlinkat(int directory, const char *path, char *out, int size)`
pub(crate) fn readlinkat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let path = (arguments.int(0), arguments.get(1));
    read_link(personality, space, path, (arguments.get(2), arguments.int(3)))
}
