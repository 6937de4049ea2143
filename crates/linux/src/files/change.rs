//! Calls that would change the file tree. It is read-only, so that all of them fail: with what is wrong with
//! the arguments or the path where Linux looks at that first, else with `EROFS`. Only streams, which stand on
//! no file system, have attributes that may be set, without effect.

use super::path::{
    AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, Found, Last, LastName, locate, path_argument,
};
use super::system::{Kind, Node};
use super::{Files, Object};
use crate::answer::{Answer, Outcome};
use crate::clock::NANOSECONDS_PER_SECOND;
use crate::errno::Errno;
use crate::guest::{Arguments, read_pair, read_path};
use crate::personality::Personality;
use ampoule_memory::AddressSpace;

const AT_REMOVEDIR: u32 = 0x200;
const AT_SYMLINK_FOLLOW: u32 = 0x400;

/// A path and where it starts.
type Place = (Node, Vec<u8>);

/// The path in argument `index`, from the current directory.
fn here(
    personality: &Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
    index: usize,
) -> Result<Place, Errno> {
    path_argument(&personality.files, space, arguments, None, index)
}

/// The path in argument `index + 1`, from the descriptor in argument `index`.
fn there(
    personality: &Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
    index: usize,
) -> Result<Place, Errno> {
    path_argument(&personality.files, space, arguments, Some(index), index + 1)
}

/// Something that must not exist would be made (kernel: `filename_create`).
fn make(files: &Files, (base, path): &Place, is_directory: bool) -> Outcome {
    let (parent, last) = files.resolve_parent(*base, path)?;
    let LastName::Name { name, slash } = last else { return Err(Errno::EEXIST) };
    if files.has_entry(parent, name)? {
        return Err(Errno::EEXIST);
    }
    // Only a directory can be meant by a name with a slash.
    Err(if slash && !is_directory { Errno::ENOENT } else { Errno::EROFS })
}

/// `mkdir(const char *path, mode_t mode)`
pub(crate) fn mkdir(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let place = here(personality, space, arguments, 0)?;
    make(&personality.files, &place, true)
}

/// `mkdirat(int directory, const char *path, mode_t mode)`
pub(crate) fn mkdirat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let place = there(personality, space, arguments, 0)?;
    make(&personality.files, &place, true)
}

/// Checks the kind of what `mknod` would make.
fn check_kind(mode: u32) -> Result<(), Errno> {
    match mode & 0o17_0000 {
        // The default, pipes, both kinds of devices, files, sockets.
        0 | 0o01_0000 | 0o02_0000 | 0o06_0000 | 0o10_0000 | 0o14_0000 => Ok(()),
        0o04_0000 => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

/// `mknod(const char *path, mode_t mode, dev_t device)`
pub(crate) fn mknod(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_kind(arguments.uint(1))?;
    let place = here(personality, space, arguments, 0)?;
    make(&personality.files, &place, false)
}

/// `mknodat(int directory, const char *path, mode_t mode, dev_t device)`
pub(crate) fn mknodat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_kind(arguments.uint(2))?;
    let place = there(personality, space, arguments, 0)?;
    make(&personality.files, &place, false)
}

/// Checks what a symbolic link would lead to.
fn check_target(space: &mut AddressSpace, address: u64) -> Result<(), Errno> {
    if read_path(space, address)?.is_empty() { Err(Errno::ENOENT) } else { Ok(()) }
}

/// `symlink(const char *target, const char *path)`
pub(crate) fn symlink(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_target(space, arguments.get(0))?;
    let place = here(personality, space, arguments, 1)?;
    make(&personality.files, &place, false)
}

/// `symlinkat(const char *target, int directory, const char *path)`
pub(crate) fn symlinkat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_target(space, arguments.get(0))?;
    let place = there(personality, space, arguments, 1)?;
    make(&personality.files, &place, false)
}

/// `link(const char *old, const char *new)`
pub(crate) fn link(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let (base, path) = here(personality, space, arguments, 0)?;
    let new = here(personality, space, arguments, 1);
    personality.files.resolve(base, &path, Last::Keep)?;
    make(&personality.files, &new?, false)
}

/// `linkat(int old_directory, const char *old, int new_directory, const char *new, int flags)`
pub(crate) fn linkat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let flags = arguments.uint(4);
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    // An empty path needs a capability that nobody has.
    let (base, path) = there(personality, space, arguments, 0)?;
    let new = there(personality, space, arguments, 2);
    let last = if flags & AT_SYMLINK_FOLLOW != 0 { Last::Follow } else { Last::Keep };
    personality.files.resolve(base, &path, last)?;
    make(&personality.files, &new?, false)
}

/// A name would be removed. Whether it exists is not looked at: the file system comes first.
fn remove(files: &Files, (base, path): &Place, is_directory: bool) -> Outcome {
    let (_, last) = files.resolve_parent(*base, path)?;
    Err(match last {
        LastName::Name { .. } => Errno::EROFS,
        _ if !is_directory => Errno::EISDIR,
        LastName::Root => Errno::EBUSY,
        LastName::Dot => Errno::EINVAL,
        LastName::Parent => Errno::ENOTEMPTY,
    })
}

/// `rmdir(const char *path)`
pub(crate) fn rmdir(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let place = here(personality, space, arguments, 0)?;
    remove(&personality.files, &place, true)
}

/// `unlink(const char *path)`
pub(crate) fn unlink(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let place = here(personality, space, arguments, 0)?;
    remove(&personality.files, &place, false)
}

/// `unlinkat(int directory, const char *path, int flags)`
pub(crate) fn unlinkat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let flags = arguments.uint(2);
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let place = there(personality, space, arguments, 0)?;
    remove(&personality.files, &place, flags & AT_REMOVEDIR != 0)
}

/// `rename(const char *old, const char *new)`
pub(crate) fn rename(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let old = here(personality, space, arguments, 0);
    let new = here(personality, space, arguments, 1);
    move_name(&personality.files, old, new, 0)
}

/// `renameat(int old_directory, const char *old, int new_directory, const char *new)`
pub(crate) fn renameat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let old = there(personality, space, arguments, 0);
    let new = there(personality, space, arguments, 2);
    move_name(&personality.files, old, new, 0)
}

/// `renameat2(int old_directory, const char *old, int new_directory, const char *new, unsigned flags)`
pub(crate) fn renameat2(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let old = there(personality, space, arguments, 0);
    let new = there(personality, space, arguments, 2);
    move_name(&personality.files, old, new, arguments.uint(4))
}

fn move_name(
    files: &Files,
    old: Result<Place, Errno>,
    new: Result<Place, Errno>,
    flags: u32,
) -> Outcome {
    const NO_REPLACE: u32 = 1;
    const EXCHANGE: u32 = 2;
    const WHITEOUT: u32 = 4;
    let excluding = flags & EXCHANGE != 0 && flags & (NO_REPLACE | WHITEOUT) != 0;
    if flags & !(NO_REPLACE | EXCHANGE | WHITEOUT) != 0 || excluding {
        return Err(Errno::EINVAL);
    }
    let (old_base, old_path) = old?;
    let (from, old) = files.resolve_parent(old_base, &old_path)?;
    let (new_base, new_path) = new?;
    let (to, new) = files.resolve_parent(new_base, &new_path)?;
    // The list of descriptors is a file system of its own.
    let is_list = |node: Node| files.system.status(node).kind == Kind::Descriptors;
    if is_list(from) != is_list(to) {
        return Err(Errno::EXDEV);
    }
    let is_name = |last| matches!(last, LastName::Name { .. });
    Err(match (is_name(old), is_name(new)) {
        (false, _) => Errno::EBUSY,
        (_, false) if flags & NO_REPLACE != 0 => Errno::EEXIST,
        (_, false) => Errno::EBUSY,
        _ => Errno::EROFS,
    })
}

/// Attributes of something that exists would be set.
fn set_attributes(files: &Files, found: Found) -> Outcome {
    match files.object_of(found)? {
        // The name of a stream stands in the tree.
        _ if matches!(found, Found::DescriptorLink(_)) => Err(Errno::EROFS),
        Object::File(_) | Object::Directory(_) | Object::Device(..) => Err(Errno::EROFS),
        _ => Ok(Answer::ZERO),
    }
}

fn attributes_at(
    personality: &Personality,
    space: &mut AddressSpace,
    (descriptor, path): (i32, u64),
    flags: u32,
) -> Outcome {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let found = locate(&personality.files, space, descriptor, path, flags)?;
    set_attributes(&personality.files, found)
}

/// `chmod(const char *path, mode_t mode)`, `chown(const char *path, uid_t owner, gid_t group)`
pub(crate) fn attributes(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    attributes_at(personality, space, (AT_FDCWD, arguments.get(0)), 0)
}

/// `lchown(const char *path, uid_t owner, gid_t group)`
pub(crate) fn attributes_of_link(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    attributes_at(personality, space, (AT_FDCWD, arguments.get(0)), AT_SYMLINK_NOFOLLOW)
}

/// `fchmodat(int directory, const char *path, mode_t mode)`, which has no flags
pub(crate) fn fchmodat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    attributes_at(personality, space, (arguments.int(0), arguments.get(1)), 0)
}

/// `fchmodat2(int directory, const char *path, mode_t mode, unsigned flags)`
pub(crate) fn fchmodat2(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    attributes_at(personality, space, (arguments.int(0), arguments.get(1)), arguments.uint(3))
}

/// `fchownat(int directory, const char *path, uid_t owner, gid_t group, int flags)`
pub(crate) fn fchownat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    attributes_at(personality, space, (arguments.int(0), arguments.get(1)), arguments.uint(4))
}

/// `fchmod(int fd, mode_t mode)`, `fchown(int fd, uid_t owner, gid_t group)`
pub(crate) fn attributes_of_descriptor(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    personality.files.usable(arguments.int(0))?;
    set_attributes(&personality.files, Found::Descriptor(Files::number(arguments.int(0))?))
}

/// `truncate(const char *path, off_t length)`
pub(crate) fn truncate(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    if arguments.long(1) < 0 {
        return Err(Errno::EINVAL);
    }
    let (base, path) = here(personality, space, arguments, 0)?;
    let files = &personality.files;
    let Found::Node(node) = files.resolve(base, &path, Last::Follow)? else {
        return Err(Errno::EINVAL);
    };
    Err(match files.system.status(node).kind {
        Kind::Directory | Kind::Descriptors => Errno::EISDIR,
        Kind::Regular => Errno::EROFS,
        Kind::Link | Kind::Device(_) => Errno::EINVAL,
    })
}

/// `ftruncate(int fd, off_t length)`: nothing that has a size can be open for writing.
pub(crate) fn ftruncate(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    if arguments.long(1) < 0 {
        return Err(Errno::EINVAL);
    }
    personality.files.usable(arguments.int(0))?;
    Err(Errno::EINVAL)
}

/// What times a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    Given,
    /// Neither is to be changed.
    Omitted,
    /// Nanoseconds that are none; Linux finds that after it found the file.
    Senseless,
}

/// `utime(const char *path, const struct utimbuf *times)`
pub(crate) fn utime(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    if arguments.get(1) != 0 {
        read_pair(space, arguments.get(1))?;
    }
    set_times(personality, space, (AT_FDCWD, arguments.get(0)), Times::Given, 0)
}

/// Checks a pair of `timeval`.
fn check_microseconds(space: &mut AddressSpace, address: u64) -> Result<(), Errno> {
    if address != 0 {
        let first = read_pair(space, address)?;
        let second = read_pair(space, address.checked_add(16).ok_or(Errno::EFAULT)?)?;
        if first.1.max(second.1) >= 1_000_000 {
            return Err(Errno::EINVAL);
        }
    }
    Ok(())
}

/// `utimes(const char *path, const struct timeval times[2])`
pub(crate) fn utimes(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_microseconds(space, arguments.get(1))?;
    set_times(personality, space, (AT_FDCWD, arguments.get(0)), Times::Given, 0)
}

/// `futimesat(int directory, const char *path, const struct timeval times[2])`
pub(crate) fn futimesat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_microseconds(space, arguments.get(2))?;
    set_times(personality, space, (arguments.int(0), arguments.get(1)), Times::Given, 0)
}

/// `utimensat(int directory, const char *path, const struct timespec times[2], int flags)`
pub(crate) fn utimensat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const NOW: u64 = 0x3fff_ffff;
    const OMIT: u64 = 0x3fff_fffe;
    let mut times = Times::Given;
    if arguments.get(2) != 0 {
        let first = read_pair(space, arguments.get(2))?.1;
        let second = read_pair(space, arguments.get(2).checked_add(16).ok_or(Errno::EFAULT)?)?.1;
        let is_known = |part| part < NANOSECONDS_PER_SECOND || part == NOW || part == OMIT;
        times = match (first, second) {
            (OMIT, OMIT) => Times::Omitted,
            _ if is_known(first) && is_known(second) => Times::Given,
            _ => Times::Senseless,
        };
    }
    if times == Times::Omitted {
        return Ok(Answer::ZERO);
    }
    let place = (arguments.int(0), arguments.get(1));
    set_times(personality, space, place, times, arguments.uint(3))
}

/// Sets the times of a path, or of the descriptor where there is none.
fn set_times(
    personality: &Personality,
    space: &mut AddressSpace,
    (descriptor, path): (i32, u64),
    times: Times,
    flags: u32,
) -> Outcome {
    let files = &personality.files;
    let found = if path == 0 && descriptor != AT_FDCWD {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        files.usable(descriptor)?;
        Found::Descriptor(Files::number(descriptor)?)
    } else {
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::EINVAL);
        }
        locate(files, space, descriptor, path, flags)?
    };
    if times == Times::Senseless {
        return Err(Errno::EINVAL);
    }
    set_attributes(files, found)
}
