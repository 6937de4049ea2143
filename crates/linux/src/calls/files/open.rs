//! Opening a path: which of the many things that can be wrong is told (kernel: `build_open_flags`,
//! `open_last_lookups` and `do_open` in `fs/`).

use crate::answer::{Answer, Outcome};
use crate::calls::call::Call;
use crate::errno::Errno;
use crate::guest::read_path;
use crate::vfs::files::Files;
use crate::vfs::flags::{ACCESS_MODE, CLOSE_ON_EXEC, PATH_ONLY, READ_ONLY, WRITE_ONLY};
use crate::vfs::path::{AT_FDCWD, Found, Last, LastName};
use crate::vfs::system::{Kind, Node};

const CREATE: u32 = 0o100;
const EXCLUSIVE: u32 = 0o200;
const NO_TERMINAL: u32 = 0o400;
const TRUNCATE: u32 = 0o1000;
const LARGE_FILE: u32 = 0o10_0000;
const DIRECTORY: u32 = 0o20_0000;
const NO_FOLLOW: u32 = 0o40_0000;
const TEMPORARY: u32 = 0o2000_0000;
/// Flags that have a meaning; `open` does not look at the others.
const KNOWN: u32 = 0o3777_7703;
/// Flags that the description keeps, as `F_GETFL` tells them.
const KEPT: u32 = !(CREATE | EXCLUSIVE | NO_TERMINAL | TRUNCATE);

/// The flags that count, of those that were given.
///
/// # Errors
/// `EINVAL` for those that exclude each other.
fn checked(flags: u32) -> Result<u32, Errno> {
    let mut flags = flags & KNOWN | LARGE_FILE;
    if flags & PATH_ONLY != 0 {
        flags &= DIRECTORY | NO_FOLLOW | PATH_ONLY | CLOSE_ON_EXEC;
    }
    let creates_directory = flags & (CREATE | DIRECTORY) == CREATE | DIRECTORY;
    let odd_temporary =
        flags & TEMPORARY != 0 && (flags & DIRECTORY == 0 || flags & ACCESS_MODE == READ_ONLY);
    if creates_directory || odd_temporary { Err(Errno::EINVAL) } else { Ok(flags) }
}

const fn is_directory(kind: Kind) -> bool {
    matches!(kind, Kind::Directory | Kind::Descriptors)
}

/// What the path leads to. Nothing is ever created.
fn find(files: &Files, base: Node, path: &[u8], flags: u32) -> Result<Found, Errno> {
    let exclusive = flags & (CREATE | EXCLUSIVE) == CREATE | EXCLUSIVE;
    let keeps_link = flags & NO_FOLLOW != 0 || exclusive;
    let last = if keeps_link { Last::Keep } else { Last::Follow };
    if flags & CREATE == 0 {
        return files.resolve(base, path, last);
    }
    let (parent, name) = files.resolve_parent(base, path)?;
    match name {
        // A directory would be created as a file.
        LastName::Name { slash: true, .. } => Err(Errno::EISDIR),
        LastName::Name { name, .. } => match files.resolve(base, path, last) {
            Ok(_) if exclusive => Err(Errno::EEXIST),
            // A link that leads to nothing stays ENOENT.
            Err(Errno::ENOENT) if !files.has_entry(parent, name)? => Err(Errno::EROFS),
            found => found,
        },
        _ if exclusive => Err(Errno::EEXIST),
        _ => Err(Errno::EISDIR),
    }
}

/// Whether what was found may be opened so.
fn check(files: &Files, found: Found, flags: u32) -> Result<(), Errno> {
    let only_names = flags & PATH_ONLY != 0;
    let Found::Node(node) = found else {
        // A stream, or the name of one.
        return match found {
            _ if flags & DIRECTORY != 0 => Err(Errno::ENOTDIR),
            Found::DescriptorLink(_) if !only_names => Err(Errno::ELOOP),
            // An end of a stream has a direction.
            _ if !only_names
                && flags & ACCESS_MODE == ACCESS_MODE
                && files.object_of(found)?.is_stream() =>
            {
                Err(Errno::EINVAL)
            }
            _ => Ok(()),
        };
    };
    let writes = flags & ACCESS_MODE != READ_ONLY || flags & TRUNCATE != 0;
    match files.system.status(node).kind {
        kind if is_directory(kind) && (flags & CREATE != 0 || writes) => Err(Errno::EISDIR),
        kind if flags & DIRECTORY != 0 && !is_directory(kind) => Err(Errno::ENOTDIR),
        Kind::Link if !only_names => Err(Errno::ELOOP),
        Kind::Regular if writes => Err(Errno::EROFS),
        _ => Ok(()),
    }
}

fn open_at(call: &mut Call<'_>, directory: i32, path: u64, flags: u32) -> Outcome {
    let flags = checked(flags)?;
    let path = read_path(call.space, path)?;
    let files = &mut call.kernel.files;
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    // The number is taken before the path is looked at.
    files.free_number(0)?;
    let base = files.base(directory, &path)?;
    let found = find(files, base, &path, flags)?;
    if flags & TEMPORARY != 0 {
        let is_place =
            matches!(found, Found::Node(node) if is_directory(files.system.status(node).kind));
        return Err(if is_place { Errno::EROFS } else { Errno::ENOTDIR });
    }
    check(files, found, flags)?;
    let number = files.open(files.object_of(found)?, flags & KEPT)?;
    Ok(Answer::value(number as u64))
}

/// `open(const char *path, int flags, mode_t mode)`
pub(crate) fn open(call: &mut Call<'_>, path: u64, flags: u32) -> Outcome {
    open_at(call, AT_FDCWD, path, flags)
}

/// `creat(const char *path, mode_t mode)`
pub(crate) fn creat(call: &mut Call<'_>, path: u64) -> Outcome {
    let flags = WRITE_ONLY | CREATE | TRUNCATE;
    open_at(call, AT_FDCWD, path, flags)
}

/// `openat(int directory, const char *path, int flags, mode_t mode)`
pub(crate) fn openat(call: &mut Call<'_>, directory: i32, path: u64, flags: u32) -> Outcome {
    open_at(call, directory, path, flags)
}
