//! Where a call means that something is: a path, and the directory that it starts in.

use crate::calls::call::Call;
use crate::errno::Errno;
use crate::guest::read_path;
use crate::vfs::files::Files;
use crate::vfs::path::{AT_FDCWD, Found, Last};
use crate::vfs::system::Node;

pub(crate) const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
pub(crate) const AT_EMPTY_PATH: u32 = 0x1000;

/// A path, and the directory that it starts in unless it is absolute.
pub(crate) type Place = (Node, Vec<u8>);

/// Reads a path that starts in the current directory.
///
/// # Errors
/// Those of [`path_there`].
pub(crate) fn path_here(call: &mut Call<'_>, path: u64) -> Result<Place, Errno> {
    path_there(call, AT_FDCWD, path)
}

/// Reads a path that starts in the directory of a descriptor.
///
/// # Errors
/// `EFAULT`, `ENAMETOOLONG`; `ENOENT` for an empty path; `EBADF`, `ENOTDIR`.
pub(crate) fn path_there(call: &mut Call<'_>, directory: i32, path: u64) -> Result<Place, Errno> {
    let path = read_path(call.space, path)?;
    Ok((call.kernel.files.base(directory, &path)?, path))
}

/// What the `*at` calls name by descriptor, path and flags, of which `AT_SYMLINK_NOFOLLOW` and
/// `AT_EMPTY_PATH` are looked at.
///
/// # Errors
/// Those of the path; `EBADF`.
pub(crate) fn locate(
    call: &mut Call<'_>,
    descriptor: i32,
    path: u64,
    flags: u32,
) -> Result<Found, Errno> {
    // Linux takes a null path for an empty one in some calls since 6.11; no libc relies on it.
    let path = read_path(call.space, path)?;
    let files = &call.kernel.files;
    if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
        if descriptor == AT_FDCWD {
            return Ok(Found::Node(files.directory));
        }
        files.description_of(descriptor)?;
        return Ok(Found::Descriptor(Files::number(descriptor)?));
    }
    let base = files.base(descriptor, &path)?;
    let last = if flags & AT_SYMLINK_NOFOLLOW != 0 { Last::Keep } else { Last::Follow };
    files.resolve(base, &path, last)
}
