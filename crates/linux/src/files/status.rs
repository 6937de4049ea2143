//! What files are: the `stat` family, `access`, `statfs`.

use super::path::{AT_FDCWD, Found, Last, path_argument};
use super::system::{Device, Kind, Node};
use super::{Files, Object, OutputStream};
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::{Arguments, Record, low_half, read_path};
use crate::personality::Personality;
use ampoule_memory::AddressSpace;

const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_EACCESS: u32 = 0x200;
const AT_NO_AUTOMOUNT: u32 = 0x800;
const AT_EMPTY_PATH: u32 = 0x1000;
const AT_STATX_SYNC_TYPE: u32 = 0x6000;

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
const BLOCK_SIZE: u64 = 4096;

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
        Self { device: TREE_DEVICE, inode: node.inode(), mode, links, special, size: status.size }
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
            },
        }
    }

    fn of_found(files: &Files, found: Found) -> Result<Self, Errno> {
        match found {
            Found::Node(node) => Ok(Self::of_node(files, node)),
            Found::Descriptor(number) => {
                Ok(Self::of_object(files, files.description(number)?.object))
            }
            Found::DescriptorLink(number) => Ok(Self {
                device: TREE_DEVICE,
                inode: u64::from(u32::MAX) + number as u64,
                mode: S_IFLNK | 0o700,
                links: 1,
                special: (0, 0),
                size: 64,
            }),
        }
    }

    const fn blocks(&self) -> u64 {
        self.size.div_ceil(512)
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
            .set_u64(56, BLOCK_SIZE)
            .set_u64(64, self.blocks())
    }

    /// `struct statx` (`linux/stat.h`) with the fields of `STATX_BASIC_STATS`.
    fn statx(&self) -> Record<256> {
        const BASIC_STATS: u32 = 0x7ff;
        Record::new()
            .set_u32(0, BASIC_STATS)
            .set_u32(4, low_half(BLOCK_SIZE))
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
        Device::Random => 9,
    }
}

/// Distinct for every stream and pipe, so that programs which compare inodes see what is the same.
pub(crate) const fn stream_inode(object: Object) -> u64 {
    match object {
        Object::Input => 1,
        Object::Output(OutputStream::Stdout) => 2,
        Object::Output(OutputStream::Stderr) => 3,
        Object::PipeReader(index) | Object::PipeWriter(index) => FIRST_PIPE_INODE + index as u64,
        _ => 0,
    }
}

/// The file that `*at` calls name by descriptor, path and flags.
fn facts_at(
    personality: &Personality,
    space: &mut AddressSpace,
    descriptor: i32,
    path: u64,
    flags: u32,
) -> Result<Facts, Errno> {
    let files = &personality.files;
    // Linux takes a null path for an empty one here since 6.11; glibc relies on neither.
    let path = read_path(space, path)?;
    if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
        return if descriptor == AT_FDCWD {
            Ok(Facts::of_node(files, files.directory))
        } else {
            Ok(Facts::of_object(files, files.description_of(descriptor)?.object))
        };
    }
    let base = files.base(descriptor, &path)?;
    let last = if flags & AT_SYMLINK_NOFOLLOW != 0 { Last::Keep } else { Last::Follow };
    Facts::of_found(files, files.resolve(base, &path, last)?)
}

/// `stat(const char *path, struct stat *out)`
pub(crate) fn stat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let facts = facts_at(personality, space, AT_FDCWD, arguments.get(0), 0)?;
    facts.stat().store(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

/// `lstat(const char *path, struct stat *out)`
pub(crate) fn lstat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let path = arguments.get(0);
    let facts = facts_at(personality, space, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?;
    facts.stat().store(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

/// `fstat(int fd, struct stat *out)`
pub(crate) fn fstat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let files = &personality.files;
    let object = files.description_of(arguments.int(0))?.object;
    Facts::of_object(files, object).stat().store(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

/// `newfstatat(int directory, const char *path, struct stat *out, int flags)`
pub(crate) fn newfstatat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let flags = arguments.uint(3);
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let facts = facts_at(personality, space, arguments.int(0), arguments.get(1), flags)?;
    facts.stat().store(space, arguments.get(2))?;
    Ok(Answer::ZERO)
}

/// `statx(int directory, const char *path, int flags, unsigned mask, struct statx *out)`
pub(crate) fn statx(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    const RESERVED_MASK: u32 = 1 << 31;
    let flags = arguments.uint(2);
    let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    if flags & !known != 0
        || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE
        || arguments.uint(3) & RESERVED_MASK != 0
    {
        return Err(Errno::EINVAL);
    }
    let facts = facts_at(personality, space, arguments.int(0), arguments.get(1), flags)?;
    facts.statx().store(space, arguments.get(4))?;
    Ok(Answer::ZERO)
}

fn check_access(
    personality: &Personality,
    space: &mut AddressSpace,
    descriptor: i32,
    path: u64,
    mode: u32,
    flags: u32,
) -> Outcome {
    const EXECUTE: u32 = 1;
    const WRITE: u32 = 2;
    const READ: u32 = 4;
    if mode & !(READ | WRITE | EXECUTE) != 0
        || flags & !(AT_SYMLINK_NOFOLLOW | AT_EACCESS | AT_EMPTY_PATH) != 0
    {
        return Err(Errno::EINVAL);
    }
    let facts = facts_at(personality, space, descriptor, path, flags)?;
    let on_tree = matches!(facts.mode & 0o17_0000, S_IFREG | S_IFDIR);
    if mode & WRITE != 0 && on_tree {
        return Err(Errno::EROFS);
    }
    // Root may do everything but run what nobody may run.
    if mode & EXECUTE != 0 && facts.mode & 0o111 == 0 {
        return Err(Errno::EACCES);
    }
    Ok(Answer::ZERO)
}

/// `access(const char *path, int mode)`
pub(crate) fn access(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    check_access(personality, space, AT_FDCWD, arguments.get(0), arguments.uint(1), 0)
}

/// `faccessat(int directory, const char *path, int mode)`
pub(crate) fn faccessat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let (descriptor, mode) = (arguments.int(0), arguments.uint(2));
    check_access(personality, space, descriptor, arguments.get(1), mode, 0)
}

/// `faccessat2(int directory, const char *path, int mode, int flags)`
pub(crate) fn faccessat2(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let (descriptor, mode) = (arguments.int(0), arguments.uint(2));
    check_access(personality, space, descriptor, arguments.get(1), mode, arguments.uint(3))
}

/// `struct statfs` of x86-64: a full, read-only `tmpfs`.
fn file_system_facts() -> Record<120> {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    const ST_RDONLY: u64 = 1;
    const ST_VALID: u64 = 0x20;
    Record::new()
        .set_u64(0, TMPFS_MAGIC)
        .set_u64(8, BLOCK_SIZE)
        .set_u64(64, 255)
        .set_u64(72, BLOCK_SIZE)
        .set_u64(80, ST_RDONLY | ST_VALID)
}

/// `statfs(const char *path, struct statfs *out)`
pub(crate) fn statfs(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    let files = &personality.files;
    let (base, path) = path_argument(files, space, arguments, None, 0)?;
    files.resolve(base, &path, Last::Follow)?;
    file_system_facts().store(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}

/// `fstatfs(int fd, struct statfs *out)`
pub(crate) fn fstatfs(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    personality.files.description_of(arguments.int(0))?;
    file_system_facts().store(space, arguments.get(1))?;
    Ok(Answer::ZERO)
}
