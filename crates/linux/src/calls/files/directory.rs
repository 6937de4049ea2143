//! Directories and links: `getdents64`, `getcwd`, `chdir`, `readlink`.

use super::place::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, locate, path_here};
use super::status::stream_inode;
use crate::answer::{Answer, Outcome};
use crate::calls::call::Call;
use crate::errno::Errno;
use crate::guest::{CHUNK, read_path, to_usize, write_some};
use crate::vfs::files::{Files, Object};
use crate::vfs::path::{AT_FDCWD, Found, Last};
use crate::vfs::system::{FileSystem, Kind, Node};

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
pub(crate) fn getdents64(call: &mut Call<'_>, fd: i32, out: u64, size: u32) -> Outcome {
    /// Bytes before the name in `struct linux_dirent64`.
    const HEADER: usize = 19;
    let files = &call.kernel.files;
    let description = *files.usable(fd)?;
    let Object::Directory(directory) = description.object else { return Err(Errno::ENOTDIR) };
    let size = (size as usize).min(CHUNK);
    let mut list = Vec::new();
    let mut index = to_usize(description.offset);
    while let Some((entry, next)) = listed(files, directory, index) {
        let length = (HEADER + entry.name.len() + 1).next_multiple_of(8);
        if list.len() + length > size {
            if list.is_empty() {
                return Err(Errno::EINVAL);
            }
            break;
        }
        index = next;
        let end = list.len() + length;
        list.extend_from_slice(&entry.inode.to_le_bytes());
        list.extend_from_slice(&(index as u64).to_le_bytes());
        list.extend_from_slice(&u16::try_from(length).unwrap_or_default().to_le_bytes());
        list.push(entry.kind);
        list.extend_from_slice(&entry.name);
        list.resize(end, 0);
    }
    if write_some(call.space, out, &list) < list.len() {
        return Err(Errno::EFAULT);
    }
    call.kernel.files.description_mut(fd)?.offset = index as u64;
    Ok(Answer::value(list.len() as u64))
}

/// `getcwd(char *out, size_t size)`; returns the length with the terminating NUL.
pub(crate) fn getcwd(call: &mut Call<'_>, out: u64, size: u64) -> Outcome {
    let mut path = call.kernel.files.path(call.kernel.files.directory);
    path.push(0);
    if path.len() as u64 > size {
        return Err(Errno::ERANGE);
    }
    call.space.write(out, &path)?;
    Ok(Answer::value(path.len() as u64))
}

/// `chdir(const char *path)`
pub(crate) fn chdir(call: &mut Call<'_>, path: u64) -> Outcome {
    let (base, path) = path_here(call, path)?;
    let files = &mut call.kernel.files;
    let found = files.resolve(base, &path, Last::Follow)?;
    let Object::Directory(node) = files.object_of(found)? else { return Err(Errno::ENOTDIR) };
    files.directory = node;
    Ok(Answer::ZERO)
}

/// `fchdir(int fd)`
pub(crate) fn fchdir(call: &mut Call<'_>, fd: i32) -> Outcome {
    let files = &mut call.kernel.files;
    match files.description_of(fd)?.object {
        Object::Directory(node) => files.directory = node,
        _ => return Err(Errno::ENOTDIR),
    }
    Ok(Answer::ZERO)
}

/// Where a link leads.
fn read_link(call: &mut Call<'_>, directory: i32, path: u64, out: u64, size: i32) -> Outcome {
    let size = usize::try_from(size).ok().filter(|&size| size > 0).ok_or(Errno::EINVAL)?;
    let flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
    let found = locate(call, directory, path, flags)?;
    let files = &call.kernel.files;
    let target = match found {
        Found::Node(node) => match files.system.target(node) {
            Some(target) => target.to_vec(),
            // The current directory, by an empty path, is not even named.
            None if read_path(call.space, path)?.is_empty() => return Err(Errno::ENOENT),
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
    call.space.write(out, &target[..count])?;
    Ok(Answer::value(count as u64))
}

/// `readlink(const char *path, char *out, int size)`
pub(crate) fn readlink(call: &mut Call<'_>, path: u64, out: u64, size: i32) -> Outcome {
    read_link(call, AT_FDCWD, path, out, size)
}

/// `readlinkat(int directory, const char *path, char *out, int size)`
pub(crate) fn readlinkat(
    call: &mut Call<'_>,
    directory: i32,
    path: u64,
    out: u64,
    size: i32,
) -> Outcome {
    read_link(call, directory, path, out, size)
}
