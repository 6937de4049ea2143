//! The files that a program finds.

use super::start::{Start, StartError};
use crate::vfs::system::{Device, File, FileSystem, MemoryFileSystem};

/// The user's files and, where they leave room, what programs expect of any Linux.
pub(super) fn file_tree(
    start: &Start,
    capacity: u64,
    stack: &std::ops::Range<u64>,
) -> Result<MemoryFileSystem, StartError> {
    let mut executable = start.executable.clone();
    if !executable.starts_with(b"/") {
        executable.insert(0, b'/');
    }
    let mut tree = MemoryFileSystem::new();
    for file in &start.files {
        let mut absolute = file.path.clone();
        if !absolute.starts_with(b"/") {
            absolute.insert(0, b'/');
        }
        let permissions = if absolute == executable { 0o555 } else { 0o444 };
        tree.add_file(file.clone(), permissions)
            .map_err(|source| StartError::File { path: file.path.clone(), source })?;
    }
    // A path that the user gave to something else keeps it; hence no errors from here on.
    for directory in [&b"/tmp"[..], b"/dev", b"/proc/self", b"/etc"] {
        tree.add_directory(directory).unwrap_or_default();
    }
    let devices = [
        (&b"/dev/null"[..], Device::Null),
        (b"/dev/zero", Device::Zero),
        (b"/dev/full", Device::Full),
        (b"/dev/random", Device::Random),
        (b"/dev/urandom", Device::UnlimitedRandom),
    ];
    for (path, device) in devices {
        tree.add_device(path, device).unwrap_or_default();
    }
    tree.add_descriptors(b"/proc/self/fd").unwrap_or_default();
    let links = [
        (&b"/dev/fd"[..], &b"/proc/self/fd"[..]),
        (b"/dev/stdin", b"/proc/self/fd/0"),
        (b"/dev/stdout", b"/proc/self/fd/1"),
        (b"/dev/stderr", b"/proc/self/fd/2"),
        (b"/proc/self/exe", &executable),
    ];
    for (path, target) in links {
        tree.add_link(path, target).unwrap_or_default();
    }
    let joined = |strings: &[Vec<u8>]| -> Vec<u8> {
        strings.iter().flat_map(|string| string.iter().copied().chain([0])).collect()
    };
    let kibibytes = capacity / 1024;
    let texts = [
        (&b"/proc/self/cmdline"[..], joined(&start.arguments)),
        (b"/proc/self/environ", joined(&start.environment)),
        (b"/proc/self/maps", maps_text(stack)),
        (b"/proc/cpuinfo", b"processor\t: 0\n\n".to_vec()),
        (
            b"/proc/meminfo",
            format!("MemTotal: {kibibytes:>15} kB\nMemAvailable: {kibibytes:>11} kB\n")
                .into_bytes(),
        ),
        (b"/sys/devices/system/cpu/online", b"0\n".to_vec()),
        (b"/sys/devices/system/cpu/possible", b"0\n".to_vec()),
        // So that the owner of everything has a name (`getpwuid`).
        (b"/etc/passwd", b"root:x:0:0:root:/:/bin/sh\n".to_vec()),
        (b"/etc/group", b"root:x:0:\n".to_vec()),
    ];
    for (path, text) in texts {
        let file = File { path: path.to_vec(), contents: text.into() };
        tree.add_file(file, 0o444).unwrap_or_default();
    }
    debug_assert_eq!(tree.parent(tree.root()), tree.root());
    Ok(tree)
}

/// The one line of `/proc/self/maps` that programs look for: glibc finds the initial thread's stack
/// by it (`pthread_getattr_np`).
fn maps_text(stack: &std::ops::Range<u64>) -> Vec<u8> {
    let (start, end) = (stack.start, stack.end);
    format!("{start:x}-{end:x} rw-p 00000000 00:00 0                          [stack]\n")
        .into_bytes()
}
