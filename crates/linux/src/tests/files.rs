//! The file tree and its devices.

use super::{Guest, NOWHERE, negative};
use crate::{Errno, File, Personality, PlaceError, Start, StartError};
use ampoule_memory::AddressSpace;

const AT_FDCWD: i64 = -100;
const O_WRONLY: u64 = 1;
const O_RDWR: u64 = 2;
const O_CREAT: u64 = 0o100;
const O_EXCL: u64 = 0o200;
const O_DIRECTORY: u64 = 0o200_000;
const O_NOFOLLOW: u64 = 0o400_000;
const O_PATH: u64 = 0o10_000_000;

fn sample() -> Guest {
    Guest::with_files(&[("/etc/app.json", "{\"a\":1}"), ("data/deep/file", "contents"), ("/x", "")])
}

#[test]
fn files_read_as_given() {
    let mut guest = sample();
    assert_eq!(guest.contents("/etc/app.json"), b"{\"a\":1}");
    assert_eq!(guest.contents("data/deep/file"), b"contents");
    assert_eq!(guest.contents("//data/./deep/../deep//file"), b"contents");
    assert_eq!(guest.contents("/../x"), b"");
    let file = guest.open("/data/deep/file");
    assert_eq!(file, 3);
    let out = guest.room(16);
    assert_eq!(guest.ok("pread64", [file, out, 4, 4]), 4);
    assert_eq!(guest.bytes(out, 4), b"ents");
    assert_eq!(guest.ok("lseek", [file, negative(-2), 2]), 6);
    assert_eq!(guest.ok("read", [file, out, 16]), 2);
    assert_eq!(guest.ok("lseek", [file, 0, 1]), 8);
    assert_eq!(guest.ok("lseek", [file, 100, 0]), 100);
    assert_eq!(guest.ok("read", [file, out, 16]), 0);
    guest.fails("lseek", [file, negative(-1), 0], Errno::EINVAL);
    guest.fails("lseek", [file, 0, 9], Errno::EINVAL);
    guest.fails("lseek", [file, 8, 3], Errno::ENXIO);
    assert_eq!(guest.ok("lseek", [file, 3, 4]), 8);
    guest.fails("write", [file, out, 1], Errno::EBADF);
}

#[test]
fn duplicates_share_the_offset_and_reopening_does_not() {
    let mut guest = sample();
    let file = guest.open("/data/deep/file");
    let copy = guest.ok("dup", [file]);
    let again = guest.open(&format!("/proc/self/fd/{file}"));
    let out = guest.room(16);
    guest.ok("read", [file, out, 3]);
    assert_eq!(guest.ok("lseek", [copy, 0, 1]), 3);
    assert_eq!(guest.ok("lseek", [again, 0, 1]), 0);
}

#[test]
fn opening_fails_as_in_linux() {
    let mut guest = sample();
    let cases: &[(&str, u64, Errno)] = &[
        ("", 0, Errno::ENOENT),
        ("/nothing", 0, Errno::ENOENT),
        ("/x/y", 0, Errno::ENOTDIR),
        ("/x/", 0, Errno::ENOTDIR),
        ("/x", O_DIRECTORY, Errno::ENOTDIR),
        ("/x", O_WRONLY, Errno::EROFS),
        ("/x", O_RDWR, Errno::EROFS),
        ("/x", O_CREAT | O_EXCL, Errno::EEXIST),
        ("/new", O_CREAT | O_WRONLY, Errno::EROFS),
        ("/nowhere/new", O_CREAT | O_WRONLY, Errno::ENOENT),
        ("/etc", O_WRONLY, Errno::EISDIR),
        ("/dev/stdin", O_NOFOLLOW, Errno::ELOOP),
        ("/proc/self/fd/9", 0, Errno::ENOENT),
        ("/proc/self/fd/01", 0, Errno::ENOENT),
    ];
    for &(path, flags, errno) in cases {
        let path = guest.text(path);
        guest.fails("open", [path, flags, 0], errno);
        guest.fails("openat", [negative(AT_FDCWD), path, flags, 0], errno);
    }
    let long = guest.text(&"a".repeat(256));
    guest.fails("open", [long, 0], Errno::ENAMETOOLONG);
    let longer = guest.text(&"a/".repeat(2048));
    guest.fails("open", [longer, 0], Errno::ENAMETOOLONG);
    guest.fails("open", [NOWHERE, 0], Errno::EFAULT);
    let name = guest.text("x");
    guest.fails("openat", [55, name, 0], Errno::EBADF);
    guest.fails("openat", [1, name, 0], Errno::ENOTDIR);
    let existing = guest.text("/x");
    assert_eq!(guest.ok("open", [existing, O_CREAT]), 3);
}

#[test]
fn directories_are_listed_and_walked() {
    let mut guest = sample();
    let root = guest.open("/");
    let names = list(&mut guest, root, 4096);
    assert_eq!(names, [".", "..", "data", "dev", "etc", "proc", "sys", "tmp", "x"]);
    guest.ok("lseek", [root, 0, 0]);
    assert_eq!(list(&mut guest, root, 40), names, "in small pieces, too");
    let out = guest.room(64);
    guest.ok("lseek", [root, 0, 0]);
    guest.fails("getdents64", [root, out, 20], Errno::EINVAL);
    guest.fails("getdents64", [0, out, 64], Errno::ENOTDIR);
    guest.fails("read", [root, out, 64], Errno::EISDIR);

    assert_eq!(guest.ok("getcwd", [out, 64]), 2);
    let deep = guest.text("data/deep");
    guest.ok("chdir", [deep]);
    assert_eq!(guest.ok("getcwd", [out, 64]), 11);
    assert_eq!(guest.bytes(out, 11), b"/data/deep\0");
    guest.fails("getcwd", [out, 10], Errno::ERANGE);
    assert_eq!(guest.contents("file"), b"contents");
    assert_eq!(guest.contents("../../etc/app.json"), b"{\"a\":1}");
    let name = guest.text("etc/app.json");
    guest.ok("openat", [root, name, 0]);
    guest.ok("fchdir", [root]);
    let file = guest.text("/x");
    guest.fails("chdir", [file], Errno::ENOTDIR);
}

fn list(guest: &mut Guest, directory: u64, size: u64) -> Vec<String> {
    let out = guest.room(4096);
    let mut names = Vec::new();
    loop {
        let count = guest.ok("getdents64", [directory, out, size]);
        if count == 0 {
            return names;
        }
        let bytes = guest.bytes(out, count);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let length = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
            let name = rest[19..length].split(|&byte| byte == 0).next().unwrap();
            names.push(String::from_utf8(name.to_vec()).unwrap());
            rest = &rest[length..];
        }
    }
}

#[test]
fn status_tells_kind_and_size() {
    let mut guest = sample();
    let out = guest.room(256);
    let cases = [
        ("/data/deep/file", 0o100_444, 8),
        ("/data", 0o040_755, 0),
        ("/dev/null", 0o020_666, 0),
        ("/dev/stdin", 0o010_600, 0),
        ("/proc/self/fd", 0o040_500, 0),
    ];
    for (path, mode, size) in cases {
        let path = guest.text(path);
        guest.ok("stat", [path, out]);
        assert_eq!((guest.u32_at(out + 24), guest.u64_at(out + 48)), (mode, size));
        guest.ok("newfstatat", [negative(AT_FDCWD), path, out, 0]);
        assert_eq!((guest.u32_at(out + 24), guest.u64_at(out + 48)), (mode, size));
        guest.ok("statx", [negative(AT_FDCWD), path, 0, 0x7ff, out]);
        assert_eq!((guest.u32_at(out + 28) & 0xffff, guest.u64_at(out + 40)), (mode, size));
    }
    let link = guest.text("/dev/stdin");
    guest.ok("lstat", [link, out]);
    assert_eq!(guest.u32_at(out + 24), 0o120_777);
    let empty = guest.text("");
    guest.ok("newfstatat", [1, empty, out, 0x1000]);
    assert_eq!(guest.u32_at(out + 24), 0o010_600);
    guest.fails("newfstatat", [1, empty, out, 0], Errno::ENOENT);
    guest.fails("newfstatat", [1, empty, out, 1], Errno::EINVAL);
    guest.fails("stat", [link, NOWHERE], Errno::EFAULT);
    let full = guest.text("/dev/full");
    guest.ok("stat", [full, out]);
    assert_eq!(guest.u64_at(out + 40), 0x107);
}

#[test]
fn access_follows_the_rights() {
    let mut guest = Guest::with(Start {
        executable: b"/bin/tool".to_vec(),
        files: vec![
            File { path: b"/bin/tool".to_vec(), contents: b"\x7fELF".as_slice().into() },
            File { path: b"/etc/conf".to_vec(), contents: b"".as_slice().into() },
        ],
        ..Start::default()
    });
    let (tool, conf) = (guest.text("/bin/tool"), guest.text("/etc/conf"));
    let (null, none) = (guest.text("/dev/null"), guest.text("/none"));
    guest.ok("access", [conf, 0]);
    guest.ok("access", [conf, 4]);
    guest.fails("access", [conf, 2], Errno::EROFS);
    guest.fails("access", [conf, 1], Errno::EACCES);
    guest.ok("access", [tool, 5]);
    guest.ok("faccessat", [negative(AT_FDCWD), null, 6]);
    guest.fails("faccessat2", [negative(AT_FDCWD), none, 0, 0], Errno::ENOENT);
    guest.fails("access", [conf, 8], Errno::EINVAL);
    guest.fails("execve", [none], Errno::ENOENT);
    guest.fails("execve", [conf], Errno::EACCES);
    guest.fails("execve", [tool], Errno::ENOSYS);
    assert_eq!(guest.contents("/proc/self/exe"), b"\x7fELF");
}

#[test]
fn links_are_read() {
    let mut guest = sample();
    let out = guest.room(64);
    let mut read = |path: &str, size: u64| {
        let path = guest.text(path);
        let count = guest.ok("readlink", [path, out, size]);
        String::from_utf8(guest.bytes(out, count)).unwrap()
    };
    assert_eq!(read("/proc/self/exe", 64), "/bin/program");
    assert_eq!(read("/proc/self/exe", 4), "/bin");
    assert_eq!(read("/proc/self/fd/0", 64), "pipe:[1]");
    assert_eq!(read("/dev/stdout", 64), "/proc/self/fd/1");
    let (file, none) = (guest.text("/x"), guest.text("/none"));
    guest.fails("readlink", [file, out, 64], Errno::EINVAL);
    guest.fails("readlink", [none, out, 64], Errno::ENOENT);
    guest.fails("readlink", [file, out, 0], Errno::EINVAL);
    let directory = guest.open("/data");
    let link = guest.text(&format!("/proc/self/fd/{directory}"));
    assert_eq!(guest.ok("readlinkat", [negative(AT_FDCWD), link, out, 64]), 5);
    assert_eq!(guest.contents(&format!("/dev/fd/{directory}/deep/file")), b"contents");
}

#[test]
fn devices_behave() {
    let mut guest = Guest::new();
    let out = guest.put([7; 64]);
    let path = guest.text("/dev/null");
    let null = guest.ok("open", [path, O_RDWR]);
    assert_eq!(guest.ok("read", [null, out, 64]), 0);
    assert_eq!(guest.ok("write", [null, NOWHERE, 1 << 40]), 0x7fff_f000);
    let zero = guest.open("/dev/zero");
    assert_eq!(guest.ok("read", [zero, out, 8]), 8);
    assert_eq!(guest.bytes(out, 9), [0, 0, 0, 0, 0, 0, 0, 0, 7]);
    guest.fails("write", [zero, out, 1], Errno::EBADF);
    let path = guest.text("/dev/full");
    let full = guest.ok("open", [path, O_WRONLY]);
    guest.fails("write", [full, out, 1], Errno::ENOSPC);
    let random = guest.open("/dev/urandom");
    assert_eq!(guest.ok("read", [random, out, 32]), 32);
    assert_ne!(guest.bytes(out, 32), [0; 32]);
    let named = guest.text("/dev/zero");
    let unread = guest.ok("open", [named, O_PATH]);
    guest.fails("read", [unread, out, 8], Errno::EBADF);
}

#[test]
fn standard_streams_have_names() {
    let mut guest = Guest::new();
    guest.personality.provide_input(b"in".to_vec());
    guest.personality.end_input();
    let input = guest.open("/dev/stdin");
    let out = guest.room(8);
    assert_eq!(guest.ok("read", [input, out, 8]), 2);
    let path = guest.text("/dev/fd/1");
    let output = guest.ok("open", [path, O_WRONLY | O_CREAT]);
    assert_eq!(guest.ok("write", [output, out, 2]), 2);
    assert_eq!(guest.personality.pending_output(), 2);
    let descriptors = guest.open("/dev/fd");
    assert_eq!(list(&mut guest, descriptors, 4096), [".", "..", "0", "1", "2", "3", "4", "5"]);
}

#[test]
fn nothing_can_be_changed() {
    let mut guest = sample();
    let (file, fresh) = (guest.text("/x"), guest.text("/new"));
    let (missing, fd) = (guest.text("/no/where"), guest.open("/x"));
    for name in ["unlink", "chmod", "chown", "truncate", "rename", "rmdir", "utimes"] {
        guest.fails(name, [file, fresh], Errno::EROFS);
        guest.fails(name, [missing, fresh], Errno::ENOENT);
    }
    guest.fails("mkdir", [fresh, 0o755], Errno::EROFS);
    guest.fails("mkdir", [file, 0o755], Errno::EEXIST);
    guest.fails("mkdirat", [negative(AT_FDCWD), missing, 0o755], Errno::ENOENT);
    guest.fails("symlink", [file, fresh], Errno::EROFS);
    guest.fails("utimensat", [fd, 0, 0, 0], Errno::EROFS);
    guest.fails("ftruncate", [fd, 0], Errno::EINVAL);
    guest.fails("fchmod", [fd, 0], Errno::EROFS);
    guest.fails("creat", [fresh, 0], Errno::EROFS);
}

#[test]
fn misplaced_files_are_refused() {
    let file = |path: &[u8]| File { path: path.to_vec(), contents: b"".as_slice().into() };
    let cases: &[(&[&[u8]], PlaceError)] = &[
        (&[b""], PlaceError::NotAFileName),
        (&[b"/"], PlaceError::NotAFileName),
        (&[b"/a/"], PlaceError::NotAFileName),
        (&[b"/a/../b"], PlaceError::NotAFileName),
        (&[b"/a\0b"], PlaceError::BadName),
        (&[b"/a", b"a"], PlaceError::Occupied),
        (&[b"/a", b"/a/b"], PlaceError::Occupied),
        (&[b"/a/b", b"/a"], PlaceError::Occupied),
    ];
    for (paths, expected) in cases {
        let mut space = AddressSpace::new(1 << 24).unwrap();
        let files = paths.iter().map(|path| file(path)).collect();
        let start = Start { stack_bytes: 1 << 16, files, ..Start::default() };
        match Personality::start(&mut space, start) {
            Err(StartError::File { source, .. }) => assert_eq!(source, *expected),
            other => panic!("{paths:?}: {other:?}"),
        }
    }
}

#[test]
fn the_users_files_win_over_synthetic_ones() {
    let mut guest = Guest::with_files(&[("/proc/meminfo", "mine"), ("/dev/null", "mine, too")]);
    assert_eq!(guest.contents("/proc/meminfo"), b"mine");
    assert_eq!(guest.contents("/dev/null"), b"mine, too");
    assert!(guest.contents("/proc/self/maps").ends_with(b"[stack]\n"));
    assert_eq!(guest.contents("/sys/devices/system/cpu/online"), b"0\n");
    assert!(guest.contents("/etc/passwd").starts_with(b"root:"));
}
