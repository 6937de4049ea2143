//! Calls that would change the file tree. It is read-only, so that all of them fail: with what is wrong with
//! the arguments or the path where Linux looks at that first, else with `EROFS`. Only streams, which stand on
//! no file system, have attributes that may be set, without effect.

use super::place::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, Place, locate, path_here, path_there};
use crate::answer::{Answer, Outcome};
use crate::calls::call::Call;
use crate::errno::Errno;
use crate::guest::{read_pair, read_path};
use crate::kernel::clock::NANOSECONDS_PER_SECOND;
use crate::vfs::files::{Files, Object};
use crate::vfs::path::{AT_FDCWD, Found, Last, LastName};
use crate::vfs::system::{Kind, Node};
use ampoule_memory::AddressSpace;

const AT_REMOVEDIR: u32 = 0x200;
const AT_SYMLINK_FOLLOW: u32 = 0x400;

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
pub(crate) fn mkdir(call: &mut Call<'_>, path: u64) -> Outcome {
    let place = path_here(call, path)?;
    make(&call.kernel.files, &place, true)
}

/// `mkdirat(int directory, const char *path, mode_t mode)`
pub(crate) fn mkdirat(call: &mut Call<'_>, directory: i32, path: u64) -> Outcome {
    let place = path_there(call, directory, path)?;
    make(&call.kernel.files, &place, true)
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
pub(crate) fn mknod(call: &mut Call<'_>, path: u64, mode: u32) -> Outcome {
    check_kind(mode)?;
    let place = path_here(call, path)?;
    make(&call.kernel.files, &place, false)
}

/// `mknodat(int directory, const char *path, mode_t mode, dev_t device)`
pub(crate) fn mknodat(call: &mut Call<'_>, directory: i32, path: u64, mode: u32) -> Outcome {
    check_kind(mode)?;
    let place = path_there(call, directory, path)?;
    make(&call.kernel.files, &place, false)
}

/// Checks what a symbolic link would lead to.
fn check_target(space: &mut AddressSpace, address: u64) -> Result<(), Errno> {
    if read_path(space, address)?.is_empty() { Err(Errno::ENOENT) } else { Ok(()) }
}

/// `symlink(const char *target, const char *path)`
pub(crate) fn symlink(call: &mut Call<'_>, target: u64, path: u64) -> Outcome {
    check_target(call.space, target)?;
    let place = path_here(call, path)?;
    make(&call.kernel.files, &place, false)
}

/// `symlinkat(const char *target, int directory, const char *path)`
pub(crate) fn symlinkat(call: &mut Call<'_>, target: u64, directory: i32, path: u64) -> Outcome {
    check_target(call.space, target)?;
    let place = path_there(call, directory, path)?;
    make(&call.kernel.files, &place, false)
}

/// `link(const char *old, const char *new)`
pub(crate) fn link(call: &mut Call<'_>, old: u64, new: u64) -> Outcome {
    let (base, path) = path_here(call, old)?;
    let new = path_here(call, new);
    call.kernel.files.resolve(base, &path, Last::Keep)?;
    make(&call.kernel.files, &new?, false)
}

/// `linkat(int old_directory, const char *old, int new_directory, const char *new, int flags)`
pub(crate) fn linkat(
    call: &mut Call<'_>,
    old_directory: i32,
    old: u64,
    new_directory: i32,
    new: u64,
    flags: u32,
) -> Outcome {
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    // An empty path needs a capability that nobody has.
    let (base, path) = path_there(call, old_directory, old)?;
    let new = path_there(call, new_directory, new);
    let last = if flags & AT_SYMLINK_FOLLOW != 0 { Last::Follow } else { Last::Keep };
    call.kernel.files.resolve(base, &path, last)?;
    make(&call.kernel.files, &new?, false)
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
pub(crate) fn rmdir(call: &mut Call<'_>, path: u64) -> Outcome {
    let place = path_here(call, path)?;
    remove(&call.kernel.files, &place, true)
}

/// `unlink(const char *path)`
pub(crate) fn unlink(call: &mut Call<'_>, path: u64) -> Outcome {
    let place = path_here(call, path)?;
    remove(&call.kernel.files, &place, false)
}

/// `unlinkat(int directory, const char *path, int flags)`
pub(crate) fn unlinkat(call: &mut Call<'_>, directory: i32, path: u64, flags: u32) -> Outcome {
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let place = path_there(call, directory, path)?;
    remove(&call.kernel.files, &place, flags & AT_REMOVEDIR != 0)
}

/// `rename(const char *old, const char *new)`
pub(crate) fn rename(call: &mut Call<'_>, old: u64, new: u64) -> Outcome {
    let old = path_here(call, old);
    let new = path_here(call, new);
    move_name(&call.kernel.files, old, new, 0)
}

/// `renameat(int old_directory, const char *old, int new_directory, const char *new)`
pub(crate) fn renameat(
    call: &mut Call<'_>,
    old_directory: i32,
    old: u64,
    new_directory: i32,
    new: u64,
) -> Outcome {
    let old = path_there(call, old_directory, old);
    let new = path_there(call, new_directory, new);
    move_name(&call.kernel.files, old, new, 0)
}

/// `renameat2(int old_directory, const char *old, int new_directory, const char *new, unsigned flags)`
pub(crate) fn renameat2(
    call: &mut Call<'_>,
    old_directory: i32,
    old: u64,
    new_directory: i32,
    new: u64,
    flags: u32,
) -> Outcome {
    let old = path_there(call, old_directory, old);
    let new = path_there(call, new_directory, new);
    move_name(&call.kernel.files, old, new, flags)
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

fn attributes_at(call: &mut Call<'_>, directory: i32, path: u64, flags: u32) -> Outcome {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let found = locate(call, directory, path, flags)?;
    set_attributes(&call.kernel.files, found)
}

/// `chmod(const char *path, mode_t mode)`, `chown(const char *path, uid_t owner, gid_t group)`
pub(crate) fn attributes(call: &mut Call<'_>, path: u64) -> Outcome {
    attributes_at(call, AT_FDCWD, path, 0)
}

/// `lchown(const char *path, uid_t owner, gid_t group)`
pub(crate) fn attributes_of_link(call: &mut Call<'_>, path: u64) -> Outcome {
    attributes_at(call, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)
}

/// `fchmodat(int directory, const char *path, mode_t mode)`, which has no flags
pub(crate) fn fchmodat(call: &mut Call<'_>, directory: i32, path: u64) -> Outcome {
    attributes_at(call, directory, path, 0)
}

/// `fchmodat2(int directory, const char *path, mode_t mode, unsigned flags)`
pub(crate) fn fchmodat2(
    call: &mut Call<'_>,
    directory: i32,
    path: u64,
    _: u64,
    flags: u32,
) -> Outcome {
    attributes_at(call, directory, path, flags)
}

/// `fchownat(int directory, const char *path, uid_t owner, gid_t group, int flags)`
pub(crate) fn fchownat(
    call: &mut Call<'_>,
    directory: i32,
    path: u64,
    _: u64,
    _: u64,
    flags: u32,
) -> Outcome {
    attributes_at(call, directory, path, flags)
}

/// `fchmod(int fd, mode_t mode)`, `fchown(int fd, uid_t owner, gid_t group)`
pub(crate) fn attributes_of_descriptor(call: &mut Call<'_>, fd: i32) -> Outcome {
    call.kernel.files.usable(fd)?;
    set_attributes(&call.kernel.files, Found::Descriptor(Files::number(fd)?))
}

/// `truncate(const char *path, off_t length)`
pub(crate) fn truncate(call: &mut Call<'_>, path: u64, length: i64) -> Outcome {
    if length < 0 {
        return Err(Errno::EINVAL);
    }
    let (base, path) = path_here(call, path)?;
    let files = &call.kernel.files;
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
pub(crate) fn ftruncate(call: &mut Call<'_>, fd: i32, length: i64) -> Outcome {
    if length < 0 {
        return Err(Errno::EINVAL);
    }
    call.kernel.files.usable(fd)?;
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
pub(crate) fn utime(call: &mut Call<'_>, path: u64, times: u64) -> Outcome {
    if times != 0 {
        read_pair(call.space, times)?;
    }
    set_times(call, AT_FDCWD, path, Times::Given, 0)
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
pub(crate) fn utimes(call: &mut Call<'_>, path: u64, times: u64) -> Outcome {
    check_microseconds(call.space, times)?;
    set_times(call, AT_FDCWD, path, Times::Given, 0)
}

/// `futimesat(int directory, const char *path, const struct timeval times[2])`
pub(crate) fn futimesat(call: &mut Call<'_>, directory: i32, path: u64, times: u64) -> Outcome {
    check_microseconds(call.space, times)?;
    set_times(call, directory, path, Times::Given, 0)
}

/// `utimensat(int directory, const char *path, const struct timespec times[2], int flags)`
pub(crate) fn utimensat(
    call: &mut Call<'_>,
    directory: i32,
    path: u64,
    times: u64,
    flags: u32,
) -> Outcome {
    const NOW: u64 = 0x3fff_ffff;
    const OMIT: u64 = 0x3fff_fffe;
    let mut wanted = Times::Given;
    if times != 0 {
        let first = read_pair(call.space, times)?.1;
        let second = read_pair(call.space, times.checked_add(16).ok_or(Errno::EFAULT)?)?.1;
        let is_known = |part| part < NANOSECONDS_PER_SECOND || part == NOW || part == OMIT;
        wanted = match (first, second) {
            (OMIT, OMIT) => Times::Omitted,
            _ if is_known(first) && is_known(second) => Times::Given,
            _ => Times::Senseless,
        };
    }
    if wanted == Times::Omitted {
        return Ok(Answer::ZERO);
    }
    set_times(call, directory, path, wanted, flags)
}

/// Sets the times of a path, or of the descriptor where there is none.
fn set_times(call: &mut Call<'_>, directory: i32, path: u64, times: Times, flags: u32) -> Outcome {
    let found = if path == 0 && directory != AT_FDCWD {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        call.kernel.files.usable(directory)?;
        Found::Descriptor(Files::number(directory)?)
    } else {
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::EINVAL);
        }
        locate(call, directory, path, flags)?
    };
    if times == Times::Senseless {
        return Err(Errno::EINVAL);
    }
    set_attributes(&call.kernel.files, found)
}
