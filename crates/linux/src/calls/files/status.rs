//! What files are: the `stat` family, `access`, `statfs`.

use super::place::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, locate, path_here};
use crate::answer::{Answer, Outcome};
use crate::calls::call::Call;
use crate::errno::Errno;
use crate::guest::{Record, low_half};
use crate::vfs::files::{Files, Object, OutputStream};
use crate::vfs::path::{AT_FDCWD, Found, Last};
use crate::vfs::system::{Device, Kind, Node};

const AT_EACCESS: u32 = 0x200;
const AT_NO_AUTOMOUNT: u32 = 0x800;
const AT_STATX_SYNC_TYPE: u32 = 0x6000;

/// The bits of a mode that tell the kind.
const S_IFMT: u32 = 0o17_0000;
const S_IFIFO: u32 = 0o01_0000;
const S_IFCHR: u32 = 0o02_0000;
const S_IFDIR: u32 = 0o04_0000;
const S_IFREG: u32 = 0o10_0000;
const S_IFLNK: u32 = 0o12_0000;

/// Device number of the file tree: 0:1.
const TREE_DEVICE: u64 = 1;
/// Device number of streams and pipes: 0:2.
const STREAM_DEVICE: u64 = 2;
/// Inode numbers of pipes start here, past those of the standard streams.
const FIRST_PIPE_INODE: u64 = 16;
/// Bytes of a block of the tree's files.
pub(super) const BLOCK_SIZE: u64 = 4096;
/// Bytes of a block of `/proc`, for what they are worth there.
const PROC_BLOCK_SIZE: u64 = 1024;

/// The fields that the `stat` structures have in common. Times are 0, owners are 0.
#[derive(Debug, Clone, Copy)]
struct Facts {
    device: u64,
    inode: u64,
    mode: u32,
    links: u32,
    /// Major and minor number of a device node.
    special: (u32, u32),
    size: u64,
    block_size: u64,
}

impl Facts {
    fn of_node(files: &Files, node: Node) -> Self {
        let status = files.system.status(node);
        let (kind, special) = match status.kind {
            Kind::Directory | Kind::Descriptors => (S_IFDIR, (0, 0)),
            Kind::Regular => (S_IFREG, (0, 0)),
            Kind::Link => (S_IFLNK, (0, 0)),
            Kind::Device(device) => (S_IFCHR, (1, device_minor(device))),
        };
        let mode = kind | status.permissions;
        let links = if kind == S_IFDIR { 2 } else { 1 };
        let block_size =
            if status.kind == Kind::Descriptors { PROC_BLOCK_SIZE } else { BLOCK_SIZE };
        let (device, inode, size) = (TREE_DEVICE, node.inode(), status.size);
        Self { device, inode, mode, links, special, size, block_size }
    }

    fn of_object(files: &Files, object: Object) -> Self {
        match object {
            Object::File(node) | Object::Directory(node) | Object::Device(_, node) => {
                Self::of_node(files, node)
            }
            _ => Self {
                device: STREAM_DEVICE,
                inode: stream_inode(object),
                mode: S_IFIFO | 0o600,
                links: 1,
                special: (0, 0),
                size: 0,
                block_size: BLOCK_SIZE,
            },
        }
    }

    fn of_found(files: &Files, found: Found) -> Result<Self, Errno> {
        match found {
            Found::Node(node) => Ok(Self::of_node(files, node)),
            Found::Descriptor(number) => {
                Ok(Self::of_object(files, files.description(number)?.object))
            }
            Found::DescriptorLink(number) => {
                // What the description may do stands in the rights of its name.
                let description = files.description(number)?;
                let read = if description.is_readable() { 0o500 } else { 0 };
                let write = if description.is_writable() { 0o300 } else { 0 };
                Ok(Self {
                    device: TREE_DEVICE,
                    inode: u64::from(u32::MAX) + number as u64,
                    mode: S_IFLNK | read | write,
                    links: 1,
                    special: (0, 0),
                    size: 64,
                    block_size: PROC_BLOCK_SIZE,
                })
            }
        }
    }

    /// Units of 512 bytes, of the whole pages that a file takes.
    const fn blocks(&self) -> u64 {
        if self.mode & S_IFMT == S_IFREG {
            self.size.div_ceil(BLOCK_SIZE) * (BLOCK_SIZE / 512)
        } else {
            0
        }
    }

    /// `struct stat` of x86-64 (`asm/stat.h`).
    fn stat(&self) -> Record<144> {
        let (major, minor) = self.special;
        Record::new()
            .set_u64(0, self.device)
            .set_u64(8, self.inode)
            .set_u64(16, self.links.into())
            .set_u32(24, self.mode)
            .set_u64(40, u64::from(major) << 8 | u64::from(minor))
            .set_u64(48, self.size)
            .set_u64(56, self.block_size)
            .set_u64(64, self.blocks())
    }

    /// `struct statx` (`linux/stat.h`) with the fields of `STATX_BASIC_STATS`.
    fn statx(&self) -> Record<256> {
        const BASIC_STATS: u32 = 0x7ff;
        Record::new()
            .set_u32(0, BASIC_STATS)
            .set_u32(4, low_half(self.block_size))
            .set_u32(16, self.links)
            .set_u16(28, u16::try_from(self.mode).unwrap_or_default())
            .set_u64(32, self.inode)
            .set_u64(40, self.size)
            .set_u64(48, self.blocks())
            .set_u32(128, self.special.0)
            .set_u32(132, self.special.1)
            .set_u32(140, low_half(self.device))
    }
}

/// Minor numbers of major 1 (`Documentation/admin-guide/devices.txt`).
const fn device_minor(device: Device) -> u32 {
    match device {
        Device::Null => 3,
        Device::Zero => 5,
        Device::Full => 7,
        Device::Random => 8,
        Device::UnlimitedRandom => 9,
    }
}

/// Distinct for every stream and pipe, so that programs which compare inodes see what is the same.
pub(crate) const fn stream_inode(object: Object) -> u64 {
    match object {
        Object::Input => 1,
        Object::Output(OutputStream::Stdout) => 2,
        Object::Output(OutputStream::Stderr) => 3,
        Object::Pipe(index) => FIRST_PIPE_INODE + index as u64,
        _ => 0,
    }
}

/// The file that `*at` calls name by descriptor, path and flags.
fn facts_at(call: &mut Call<'_>, descriptor: i32, path: u64, flags: u32) -> Result<Facts, Errno> {
    let found = locate(call, descriptor, path, flags)?;
    Facts::of_found(&call.kernel.files, found)
}

/// `stat(const char *path, struct stat *out)`
pub(crate) fn stat(call: &mut Call<'_>, path: u64, out: u64) -> Outcome {
    let facts = facts_at(call, AT_FDCWD, path, 0)?;
    facts.stat().store(call.space, out)?;
    Ok(Answer::ZERO)
}

/// `lstat(const char *path, struct stat *out)`
pub(crate) fn lstat(call: &mut Call<'_>, path: u64, out: u64) -> Outcome {
    let facts = facts_at(call, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?;
    facts.stat().store(call.space, out)?;
    Ok(Answer::ZERO)
}

/// `fstat(int fd, struct stat *out)`
pub(crate) fn fstat(call: &mut Call<'_>, fd: i32, out: u64) -> Outcome {
    let files = &call.kernel.files;
    let object = files.description_of(fd)?.object;
    Facts::of_object(files, object).stat().store(call.space, out)?;
    Ok(Answer::ZERO)
}

/// `newfstatat(int directory, const char *path, struct stat *out, int flags)`
pub(crate) fn newfstatat(
    call: &mut Call<'_>,
    directory: i32,
    path: u64,
    out: u64,
    flags: u32,
) -> Outcome {
    let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    if flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let facts = facts_at(call, directory, path, flags)?;
    facts.stat().store(call.space, out)?;
    Ok(Answer::ZERO)
}

/// `statx(int directory, const char *path, int flags, unsigned mask, struct statx *out)`
pub(crate) fn statx(
    call: &mut Call<'_>,
    directory: i32,
    path: u64,
    flags: u32,
    mask: u32,
    out: u64,
) -> Outcome {
    const RESERVED_MASK: u32 = 1 << 31;
    let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    if flags & !known != 0
        || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE
        || mask & RESERVED_MASK != 0
    {
        return Err(Errno::EINVAL);
    }
    let facts = facts_at(call, directory, path, flags)?;
    facts.statx().store(call.space, out)?;
    Ok(Answer::ZERO)
}

fn check_access(call: &mut Call<'_>, descriptor: i32, path: u64, mode: u32, flags: u32) -> Outcome {
    const EXECUTE: u32 = 1;
    const WRITE: u32 = 2;
    const READ: u32 = 4;
    if mode & !(READ | WRITE | EXECUTE) != 0
        || flags & !(AT_SYMLINK_NOFOLLOW | AT_EACCESS | AT_EMPTY_PATH) != 0
    {
        return Err(Errno::EINVAL);
    }
    let facts = facts_at(call, descriptor, path, flags)?;
    let on_tree = matches!(facts.mode & S_IFMT, S_IFREG | S_IFDIR | S_IFLNK);
    if mode & WRITE != 0 && on_tree {
        return Err(Errno::EROFS);
    }
    // The guest owns everything, and has no capability by which root goes beyond its rights.
    let rights = facts.mode >> 6 & (READ | WRITE | EXECUTE);
    if mode & !rights != 0 { Err(Errno::EACCES) } else { Ok(Answer::ZERO) }
}

/// `access(const char *path, int mode)`
pub(crate) fn access(call: &mut Call<'_>, path: u64, mode: u32) -> Outcome {
    check_access(call, AT_FDCWD, path, mode, 0)
}

/// `faccessat(int directory, const char *path, int mode)`
pub(crate) fn faccessat(call: &mut Call<'_>, descriptor: i32, path: u64, mode: u32) -> Outcome {
    check_access(call, descriptor, path, mode, 0)
}

/// `faccessat2(int directory, const char *path, int mode, int flags)`
pub(crate) fn faccessat2(
    call: &mut Call<'_>,
    descriptor: i32,
    path: u64,
    mode: u32,
    flags: u32,
) -> Outcome {
    check_access(call, descriptor, path, mode, flags)
}

/// `struct statfs` of x86-64: a full, read-only `tmpfs`; streams have a file system of their own, and
/// `/proc/self/fd`.
fn file_system_facts(files: &Files, found: Found) -> Result<Record<120>, Errno> {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    const PIPEFS_MAGIC: u64 = 0x5049_5045;
    const PROC_MAGIC: u64 = 0x9fa0;
    const ST_RDONLY: u64 = 1;
    const ST_VALID: u64 = 0x20;
    let magic = match (found, files.object_of(found)?) {
        (Found::DescriptorLink(_), _) => PROC_MAGIC,
        (_, Object::File(_) | Object::Device(..)) => TMPFS_MAGIC,
        (_, Object::Directory(node)) if files.system.status(node).kind == Kind::Descriptors => {
            PROC_MAGIC
        }
        (_, Object::Directory(_)) => TMPFS_MAGIC,
        _ => PIPEFS_MAGIC,
    };
    let flags = if magic == TMPFS_MAGIC { ST_RDONLY | ST_VALID } else { ST_VALID };
    Ok(Record::new()
        .set_u64(0, magic)
        .set_u64(8, BLOCK_SIZE)
        .set_u64(64, 255)
        .set_u64(72, BLOCK_SIZE)
        .set_u64(80, flags))
}

/// `statfs(const char *path, struct statfs *out)`
pub(crate) fn statfs(call: &mut Call<'_>, path: u64, out: u64) -> Outcome {
    let (base, path) = path_here(call, path)?;
    let files = &call.kernel.files;
    let found = files.resolve(base, &path, Last::Follow)?;
    file_system_facts(files, found)?.store(call.space, out)?;
    Ok(Answer::ZERO)
}

/// `fstatfs(int fd, struct statfs *out)`
pub(crate) fn fstatfs(call: &mut Call<'_>, fd: i32, out: u64) -> Outcome {
    let files = &call.kernel.files;
    files.description_of(fd)?;
    let found = Found::Descriptor(Files::number(fd)?);
    file_system_facts(files, found)?.store(call.space, out)?;
    Ok(Answer::ZERO)
}
