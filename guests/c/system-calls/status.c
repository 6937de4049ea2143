/* What files are told to be: the stat family, statfs. */
#include "check.h"
#include <sys/statfs.h>
#include <sys/sysmacros.h>

static void shown(const char *call, const char *what, const struct stat *status)
{
    int directory = S_ISDIR(status->st_mode), link = S_ISLNK(status->st_mode);
    /* A directory's size and links count what the file system keeps in it. */
    tell(call, what, "%o %u %u %ld %ld %ld %x", status->st_mode, status->st_uid, status->st_gid,
         directory || link ? 0L : (long)status->st_nlink, directory || link ? 0L : (long)status->st_size,
         (long)status->st_blksize, (unsigned)status->st_rdev);
}

static void one(const char *path)
{
    struct stat status;
    memset(&status, 0x55, sizeof status);
    if (CHECK(stat, path, path, &status) == 0)
        shown("stat facts", path, &status);
    memset(&status, 0x55, sizeof status);
    if (CHECK(lstat, path, path, &status) == 0)
        shown("lstat facts", path, &status);
}

static void stats(void)
{
    static const char *const all[] = {
        "/",          "/data",       "/data/",     "/data/text", "/data/text/", "/data/empty",
        "/data/large", "/bin/system-calls", "/dev/null", "/dev/zero",  "/dev/full",   "/dev/random",
        "/dev/urandom", "/none",       "",           "/dev/stdin", "/data/text/x", "/proc/self/fd",
        "/proc/self/fd/1", "/proc/self/fd/77", "/tmp",
    };
    for (size_t index = 0; index < sizeof all / sizeof *all; index++)
        one(all[index]);
    struct stat status, other;
    int file = opened("/data/text", O_RDONLY), ends[2];
    int link = opened("/dev/stdin", O_PATH | O_NOFOLLOW);
    piped(ends, 0);
    CHECK(stat, "a bad pointer", nowhere, &status);
    CHECK(stat, "into nowhere", "/data/text", nowhere);
    CHECK(stat, "nothing, into nowhere", "/none", nowhere);
    CHECK(stat, "into half of nowhere", "/data/text", edge - 100);
    CHECK(lstat, "a bad pointer", nowhere, &status);
    CHECK(fstat, "a file", file, &status);
    shown("fstat facts", "a file", &status);
    TELL(fstat, "blocks", "%ld", (long)status.st_blocks);
    TELL(fstat, "times", "%d", status.st_mtime == status.st_ctime);
    CALL(stat, "/data/text", &other);
    TELL(fstat, "is the file that stat finds", "%d",
         status.st_ino == other.st_ino && status.st_dev == other.st_dev);
    CALL(stat, "/data/empty", &other);
    TELL(fstat, "is another file than the one beside", "%d", status.st_ino != other.st_ino);
    CHECK(fstat, "a link itself", link, &status);
    shown("fstat facts", "a link itself", &status);
    CHECK(fstat, "a pipe", ends[0], &status);
    shown("fstat facts", "a pipe", &status);
    CALL(fstat, ends[1], &other);
    TELL(fstat, "both ends are one", "%d", status.st_ino == other.st_ino);
    CALL(fstat, 0, &other);
    TELL(fstat, "standard input is another", "%d", status.st_ino != other.st_ino);
    CHECK(fstat, "a closed one", 77, nowhere);
    CHECK(fstat, "into nowhere", file, nowhere);
    CHECK(fstat, "O_PATH", opened("/data", O_PATH), &status);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    CHECK(stat, "a pipe by its name", path, &status);
    shown("stat facts", "a pipe by its name", &status);
    CHECK(lstat, "the name of a pipe", path, &status);
    TELL(lstat, "what the name of a reading end is", "%o", status.st_mode);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[1]);
    CALL(lstat, path, &status);
    TELL(lstat, "what the name of a writing end is", "%o", status.st_mode);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    CALL(lstat, path, &status);
    TELL(lstat, "what the name of a file is", "%o %ld", status.st_mode, (long)status.st_size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", opened("/dev/null", O_RDWR));
    CALL(lstat, path, &status);
    TELL(lstat, "what the name of a device for both is", "%o", status.st_mode);
    snprintf(path, sizeof path, "/proc/self/fd/%d", link);
    CALL(lstat, path, &status);
    TELL(lstat, "what the name of O_PATH is", "%o", status.st_mode);
    CALL(lstat, "/dev/stdin", &status);
    TELL(lstat, "the size of a link", "%ld", (long)status.st_size);
}

static void relative(void)
{
    struct stat status;
    int data = opened("/data", O_RDONLY), file = opened("/data/text", O_RDONLY);
    CHECK(newfstatat, "below a directory", data, "text", &status, 0);
    CHECK(newfstatat, "below a file", file, "text", &status, 0);
    CHECK(newfstatat, "below a closed one", 77, "text", &status, 0);
    CHECK(newfstatat, "absolute, with a closed one", 77, "/data/text", &status, 0);
    CHECK(newfstatat, "no name", file, "", &status, 0);
    CHECK(newfstatat, "no name, AT_EMPTY_PATH", file, "", &status, AT_EMPTY_PATH);
    CHECK(newfstatat, "no name, here", AT_FDCWD, "", &status, AT_EMPTY_PATH);
    TELL(newfstatat, "here is a directory", "%o", status.st_mode);
    CHECK(newfstatat, "no name, a closed one", 77, "", &status, AT_EMPTY_PATH);
    CHECK(newfstatat, "a name, AT_EMPTY_PATH", data, "text", &status, AT_EMPTY_PATH);
    CHECK(newfstatat, "an unknown flag", data, "text", &status, 1);
    CHECK(newfstatat, "an unknown flag of nothing", 77, "none", &status, 1);
    CHECK(newfstatat, "AT_NO_AUTOMOUNT", data, "text", &status, AT_NO_AUTOMOUNT);
    CHECK(newfstatat, "AT_STATX_DONT_SYNC", data, "text", &status, AT_STATX_DONT_SYNC);
    CHECK(newfstatat, "a link itself", AT_FDCWD, "/dev/stdin", &status, AT_SYMLINK_NOFOLLOW);
    TELL(newfstatat, "what a link is", "%o", status.st_mode);
    CHECK(newfstatat, "a pipe by no name", 1, "", &status, AT_EMPTY_PATH);
    CHECK(newfstatat, "into nowhere", data, "text", nowhere, 0);
}

static void extended(void)
{
    struct statx status;
    int data = opened("/data", O_RDONLY), file = opened("/data/text", O_RDONLY);
    memset(&status, 0x55, sizeof status);
    CHECK(statx, "a file", AT_FDCWD, "/data/text", 0, STATX_BASIC_STATS, &status);
    TELL(statx, "the basic fields", "%x %o %u %u %u %ld %ld %u", status.stx_mask & STATX_BASIC_STATS,
         status.stx_mode, status.stx_nlink, status.stx_uid, status.stx_gid, (long)status.stx_size,
         (long)status.stx_blocks, status.stx_blksize);
    CHECK(statx, "no fields", AT_FDCWD, "/data/text", 0, 0, &status);
    /* Newer kernels leave out times that nobody asks for. */
    TELL(statx, "the basic fields, unasked", "%x %ld", status.stx_mask & 0x73f,
         (long)status.stx_size);
    CHECK(statx, "all fields", AT_FDCWD, "/data/text", 0, 0x7fffffff, &status);
    CHECK(statx, "the reserved field", AT_FDCWD, "/data/text", 0, 0x80000000, &status);
    CHECK(statx, "the reserved field of nothing", 77, "none", 0, 0x80000000, &status);
    CHECK(statx, "both kinds of synchronising", data, "text", AT_STATX_SYNC_TYPE, 0, &status);
    CHECK(statx, "forced synchronising", data, "text", AT_STATX_FORCE_SYNC, 0, &status);
    CHECK(statx, "an unknown flag", data, "text", 1, 0, &status);
    CHECK(statx, "below a closed one", 77, "text", 0, 0, &status);
    CHECK(statx, "no name", file, "", 0, 0, &status);
    CHECK(statx, "no name, AT_EMPTY_PATH", file, "", AT_EMPTY_PATH, 0, &status);
    CHECK(statx, "a pipe", 1, "", AT_EMPTY_PATH, 0, &status);
    TELL(statx, "a pipe's mode", "%o", status.stx_mode);
    CHECK(statx, "a device", AT_FDCWD, "/dev/zero", 0, 0, &status);
    TELL(statx, "a device's number", "%o %u %u", status.stx_mode, status.stx_rdev_major,
         status.stx_rdev_minor);
    CHECK(statx, "nothing", AT_FDCWD, "/none", 0, 0, &status);
    CHECK(statx, "into nowhere", AT_FDCWD, "/data/text", 0, 0, nowhere);
    CHECK(statx, "nothing, into nowhere", AT_FDCWD, "/none", 0, 0, nowhere);
}

static void systems(void)
{
    struct statfs status;
    memset(&status, 0x55, sizeof status);
    CHECK(statfs, "the tree", "/data/text", &status);
    TELL(statfs, "what it is", "%lx %ld %ld %d", (long)status.f_type, (long)status.f_bsize,
         (long)status.f_namelen, (status.f_flags & 0x21) == 0x21);
    CHECK(statfs, "nothing", "/none", &status);
    CHECK(statfs, "no name", "", &status);
    CHECK(statfs, "below a file", "/data/text/x", &status);
    CHECK(statfs, "a bad pointer", nowhere, &status);
    CHECK(statfs, "into nowhere", "/data/text", nowhere);
    CHECK(fstatfs, "a file", opened("/data/text", O_RDONLY), &status);
    TELL(fstatfs, "what it is", "%lx", (long)status.f_type);
    CHECK(fstatfs, "O_PATH", opened("/data/text", O_PATH), &status);
    CHECK(fstatfs, "a closed one", 77, &status);
    CHECK(fstatfs, "a pipe", 1, &status);
    TELL(fstatfs, "what a pipe is", "%lx %ld", (long)status.f_type, (long)status.f_namelen);
    CHECK(statfs, "a pipe by its name", "/proc/self/fd/1", &status);
    TELL(statfs, "what a pipe's name leads to", "%lx", (long)status.f_type);
    CHECK(statfs, "descriptors", "/proc/self/fd", &status);
    TELL(statfs, "what descriptors are", "%lx", (long)status.f_type);
}

void status(void)
{
    stats();
    relative();
    extended();
    systems();
}
