//! Calls that would change the file tree. It is read-only, so all of them fail: with the error of the
//! path when that is wrong, as Linux checks it first, else with `EROFS`.

use super::Object;
use super::path::{Last, path_argument};
use crate::answer::{Answer, Outcome};
use crate::errno::Errno;
use crate::guest::Arguments;
use crate::personality::Personality;
use ampoule_memory::AddressSpace;

/// Something that must exist would be changed or removed.
fn existing(
    personality: &Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
    descriptor: Option<usize>,
    path: usize,
) -> Outcome {
    let files = &personality.files;
    let (base, path) = path_argument(files, space, arguments, descriptor, path)?;
    files.resolve(base, &path, Last::Keep)?;
    Err(Errno::EROFS)
}

/// Something that must not exist would be made.
fn fresh(
    personality: &Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
    descriptor: Option<usize>,
    path: usize,
) -> Outcome {
    let files = &personality.files;
    let (base, path) = path_argument(files, space, arguments, descriptor, path)?;
    match files.resolve(base, &path, Last::Keep) {
        Ok(_) => Err(Errno::EEXIST),
        Err(Errno::ENOENT) => {
            files.resolve_parent(base, &path)?;
            Err(Errno::EROFS)
        }
        Err(errno) => Err(errno),
    }
}

/// `f(const char *path, ...)` on something that exists.
pub(crate) fn existing_path(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    existing(personality, space, arguments, None, 0)
}

/// `f(int directory, const char *path, ...)` on something that exists.
pub(crate) fn existing_path_at(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    existing(personality, space, arguments, Some(0), 1)
}

/// `utimensat(int directory, const char *path, ...)`, where a null path means the descriptor.
pub(crate) fn utimensat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    if arguments.get(1) == 0 {
        return existing_descriptor(personality, space, arguments);
    }
    existing(personality, space, arguments, Some(0), 1)
}

/// `f(const char *path, ...)` for something new.
pub(crate) fn new_path(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    fresh(personality, space, arguments, None, 0)
}

/// `f(int directory, const char *path, ...)` for something new.
pub(crate) fn new_path_at(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    fresh(personality, space, arguments, Some(0), 1)
}

/// `symlink(const char *target, const char *path)`
pub(crate) fn symlink(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    fresh(personality, space, arguments, None, 1)
}

/// `symlinkat(const char *target, int directory, const char *path)`
pub(crate) fn symlinkat(
    personality: &mut Personality,
    space: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    fresh(personality, space, arguments, Some(1), 2)
}

/// `f(int fd, ...)`
pub(crate) fn existing_descriptor(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    personality.files.description_of(arguments.int(0))?;
    Err(Errno::EROFS)
}

/// `ftruncate(int fd, off_t length)`: nothing that has a size can be open for writing.
pub(crate) fn ftruncate(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    personality.files.description_of(arguments.int(0))?;
    Err(Errno::EINVAL)
}

/// `fchmod` and `fchown` on a stream succeed without effect, on a file they would write.
pub(crate) fn attributes_of_descriptor(
    personality: &mut Personality,
    _: &mut AddressSpace,
    arguments: &Arguments,
) -> Outcome {
    match personality.files.description_of(arguments.int(0))?.object {
        Object::File(_) | Object::Directory(_) | Object::Device(..) => Err(Errno::EROFS),
        _ => Ok(Answer::ZERO),
    }
}
