/* Descriptors: copying, closing, flags, positions, and what files are told. */
#include "check.h"
#include <sys/ioctl.h>
#include <sys/resource.h>

#define WHERE(descriptor) CALL(lseek, descriptor, 0, SEEK_CUR)

static void copies(void)
{
    int file = opened("/data/text", O_RDONLY);
    CHECK(dup, "the lowest free number", file);
    CHECK(dup, "a closed one", 77);
    CHECK(dup, "a negative one", -1);
    CHECK(dup, "the upper half is not looked at", 0x500000000 | file);
    CHECK(dup2, "onto itself", file, file);
    CHECK(dup2, "a closed one onto itself", 77, 77);
    CHECK(dup2, "a closed one", 77, 5);
    CHECK(dup2, "onto a number beyond the limit", file, 1024);
    CHECK(dup2, "onto a negative number", file, -1);
    CHECK(dup2, "the highest number", file, 1023);
    CHECK(dup3, "onto itself", file, file, 0);
    CHECK(dup3, "closed onto itself", 77, 77, 0);
    CHECK(dup3, "an unknown flag before a closed one", 77, 5, 1);
    CHECK(dup3, "beyond the limit before a closed one", 77, 5000, 0);
    CHECK(dup3, "closes on exec", file, 9, O_CLOEXEC);
    CHECK(fcntl, "flags of such a copy", 9, F_GETFD);
    CHECK(dup2, "the copy of a copy", 9, 10);
    CHECK(fcntl, "flags are not copied", 10, F_GETFD);
    CALL(lseek, file, 4, SEEK_SET);
    TELL(dup, "copies share the position", "%ld", WHERE(10));
    CHECK(fcntl, "F_DUPFD from a number", file, F_DUPFD, 20);
    CHECK(fcntl, "F_DUPFD from a taken number", file, F_DUPFD, 20);
    CHECK(fcntl, "F_DUPFD from the limit", file, F_DUPFD, 1024);
    CHECK(fcntl, "F_DUPFD from a negative number", file, F_DUPFD, -1);
    CHECK(fcntl, "F_DUPFD of a closed one", 77, F_DUPFD, -1);
    CHECK(fcntl, "F_DUPFD from the last number, which is taken", file, F_DUPFD, 1023);
    CHECK(fcntl, "F_DUPFD_CLOEXEC", file, F_DUPFD_CLOEXEC, 30);
    CHECK(fcntl, "its flag", 30, F_GETFD);
}

static void full(void)
{
    int file = opened("/data/text", O_RDONLY);
    struct rlimit all, few = {file + 2, 1024};
    CALL(getrlimit, RLIMIT_NOFILE, &all);
    CALL(close_range, file + 1, 2000, 0);
    CHECK(setrlimit, "two descriptors more", RLIMIT_NOFILE, &few);
    CHECK(dup, "the last free number", file);
    CHECK(dup, "when all are taken", file);
    CHECK(dup2, "one that is open, when all are taken", file, file + 1);
    CHECK(dup3, "one that is open, with a full table", file, file + 1, O_CLOEXEC);
    CHECK(dup2, "the limit itself", file, file + 2);
    CHECK(open, "when all are taken", "/data/text", O_RDONLY);
    CHECK(open, "what does not exist, when all are taken", "/none", O_RDONLY);
    int ends[2] = {-7, -7};
    CHECK(pipe, "when all are taken", ends);
    CALL(close, file + 1);
    CHECK(pipe, "when one is free", ends);
    TELL(pipe, "what stands in the array then", "%d %d", ends[0], ends[1]);
    CHECK(dup, "the failed pipe took none", file);
    CHECK(fcntl, "F_DUPFD when all are taken", file, F_DUPFD, 0);
    struct rlimit none = {0, 1024};
    CHECK(setrlimit, "no descriptors at all", RLIMIT_NOFILE, &none);
    CHECK(dup2, "onto itself beyond the limit", file, file);
    CHECK(read, "open ones stay usable", file, edge - 4, 4);
    CALL(setrlimit, RLIMIT_NOFILE, &all);
    CHECK(close, "the copy", file + 1);
}

static void closing(void)
{
    int file = opened("/data/text", O_RDONLY);
    CHECK(close, "an open one", file);
    CHECK(close, "a closed one", file);
    CHECK(close, "a negative one", -1);
    CHECK(close, "beyond the table", 100000);
    int first = opened("/data/text", O_RDONLY);
    for (int more = 0; more < 4; more++)
        CALL(dup, first);
    CHECK(close_range, "marked, not closed", first, first + 1, 4);
    CHECK(fcntl, "a marked one", first + 1, F_GETFD);
    CHECK(fcntl, "the one behind", first + 2, F_GETFD);
    CHECK(close_range, "an unknown flag", first, first + 1, 8);
    CHECK(close_range, "the wrong way round", first + 1, first, 0);
    CHECK(close_range, "with an own table", first + 3, first + 3, 2);
    CHECK(close_range, "none of them open", 500, 600, 0);
    CHECK(close_range, "to the end", first + 1, -1, 0);
    CHECK(fcntl, "below the range", first, F_GETFD);
    CHECK(fcntl, "within the range", first + 4, F_GETFD);
}

static void flags(void)
{
    int file = opened("/data/text", O_RDONLY | O_CLOEXEC);
    CHECK(fcntl, "F_GETFL of a file", file, F_GETFL);
    CHECK(fcntl, "F_SETFL", file, F_SETFL, O_NONBLOCK | O_APPEND | O_WRONLY | O_CREAT);
    CHECK(fcntl, "F_GETFL then", file, F_GETFL);
    CHECK(fcntl, "F_SETFL to none", file, F_SETFL, 0);
    CHECK(fcntl, "F_GETFL after none", file, F_GETFL);
    CHECK(fcntl, "F_GETFD", file, F_GETFD);
    CHECK(fcntl, "F_SETFD of other bits", file, F_SETFD, 6);
    CHECK(fcntl, "F_GETFD after other bits", file, F_GETFD);
    CHECK(fcntl, "F_SETFD", file, F_SETFD, 7);
    CHECK(fcntl, "F_GETFD then", file, F_GETFD);
    CHECK(fcntl, "an unknown command", file, 999, 0);
    CHECK(fcntl, "an unknown command of a closed one", 77, 999, 0);
    CHECK(fcntl, "F_GETPIPE_SZ of a file", file, F_GETPIPE_SZ);
    CHECK(fcntl, "F_SETPIPE_SZ of a file", file, F_SETPIPE_SZ, 4096);
    CHECK(fcntl, "F_GETOWN", file, F_GETOWN);
    CHECK(fcntl, "F_SETOWN to nobody", file, F_SETOWN, 0);
    CHECK(fcntl, "F_GETSIG", file, F_GETSIG);
    CHECK(fcntl, "F_GETLEASE", file, F_GETLEASE);
    CHECK(fcntl, "F_GET_SEALS", file, 1034);
    int directory = opened("/data", O_RDONLY | O_DIRECTORY);
    CHECK(fcntl, "F_GETFL of a directory", directory, F_GETFL);
    int path = opened("/data/text", O_PATH);
    CHECK(fcntl, "F_GETFL of O_PATH", path, F_GETFL);
    CHECK(fcntl, "F_SETFL of O_PATH", path, F_SETFL, O_NONBLOCK);
    CHECK(fcntl, "F_GETFD of O_PATH", path, F_GETFD);
    CHECK(fcntl, "F_SETFD of O_PATH", path, F_SETFD, 1);
    CHECK_OK(fcntl, "F_DUPFD of O_PATH", path, F_DUPFD, 0);
    CHECK(fcntl, "F_GETLK of O_PATH", path, F_GETLK, edge - 32);
    CHECK(fcntl, "an unknown command of O_PATH", path, 999);
    CHECK(fcntl, "F_GETFL of standard input", 0, F_GETFL);
    CHECK(fcntl, "F_GETFL of standard output", 1, F_GETFL);
}

static void locks(void)
{
    int file = opened("/data/text", O_RDONLY), null = opened("/dev/null", O_RDWR);
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 2};
    CHECK(fcntl, "F_SETLK for reading", file, F_SETLK, &lock);
    lock.l_type = F_WRLCK;
    CHECK(fcntl, "F_SETLK for writing, of what is read", file, F_SETLK, &lock);
    CHECK(fcntl, "F_SETLKW for writing, of what is read", file, F_SETLKW, &lock);
    CHECK(fcntl, "F_GETLK", file, F_GETLK, &lock);
    TELL(fcntl, "what F_GETLK leaves", "%d %d %ld %ld %d", lock.l_type, lock.l_whence,
         (long)lock.l_start, (long)lock.l_len, lock.l_pid);
    lock.l_type = F_WRLCK;
    CHECK(fcntl, "F_SETLK for writing, of a device", null, F_SETLK, &lock);
    lock.l_type = F_UNLCK;
    CHECK(fcntl, "F_SETLK to unlock", file, F_SETLK, &lock);
    CHECK(fcntl, "F_GETLK of an unlock", file, F_GETLK, &lock);
    lock.l_type = 9;
    CHECK(fcntl, "F_SETLK of an unknown type", file, F_SETLK, &lock);
    lock.l_type = F_RDLCK;
    lock.l_whence = 9;
    CHECK(fcntl, "F_SETLK from nowhere", file, F_SETLK, &lock);
    lock.l_whence = SEEK_SET;
    lock.l_start = -1;
    CHECK(fcntl, "F_SETLK before the file", file, F_SETLK, &lock);
    CHECK(fcntl, "F_SETLK by a bad pointer", file, F_SETLK, nowhere);
    CHECK(fcntl, "F_GETLK by a bad pointer", file, F_GETLK, nowhere);
    lock = (struct flock){.l_type = F_RDLCK};
    CHECK(fcntl, "F_OFD_SETLK", file, F_OFD_SETLK, &lock);
    CHECK(fcntl, "F_OFD_GETLK", file, F_OFD_GETLK, &lock);
    lock.l_pid = 5;
    CHECK(fcntl, "F_OFD_SETLK with a process", file, F_OFD_SETLK, &lock);
    CHECK(fcntl, "F_OFD_GETLK with a process", file, F_OFD_GETLK, &lock);
    CHECK(flock, "shared", file, 1);
    CHECK(flock, "exclusive", file, 2 | 4);
    CHECK(flock, "unlocked", file, 8);
    CHECK(flock, "no operation", file, 0);
    CHECK(flock, "an unknown operation of a closed one", 77, 3);
    CHECK(flock, "two operations", file, 1 | 2);
    CHECK(flock, "of a closed one", 77, 1);
    CHECK(flock, "a kind of the past", file, 32 | 1);
    CHECK(flock, "of what is opened for neither", opened("/dev/null", 3), 1);
    CHECK(flock, "of O_PATH", opened("/data/text", O_PATH), 1);
    CHECK(flock, "of standard output", 1, 1);
}

static void controls(void)
{
    int file = opened("/data/text", O_RDONLY), number = -1;
    CHECK(ioctl, "FIONREAD of a file", file, FIONREAD, &number);
    TELL(ioctl, "bytes to read", "%d", number);
    CALL(lseek, file, 10, SEEK_SET);
    CALL(ioctl, file, FIONREAD, &number);
    TELL(ioctl, "bytes to read further on", "%d", number);
    CALL(lseek, file, 20, SEEK_SET);
    CALL(ioctl, file, FIONREAD, &number);
    TELL(ioctl, "bytes to read beyond the end", "%d", number);
    CHECK(ioctl, "FIONREAD by a bad pointer", file, FIONREAD, nowhere);
    CHECK(ioctl, "FIONREAD of a closed one", 77, FIONREAD, nowhere);
    CHECK(ioctl, "FIONREAD of a directory", opened("/data", O_RDONLY), FIONREAD, &number);
    CHECK(ioctl, "FIONREAD of /dev/null", opened("/dev/null", O_RDONLY), FIONREAD, &number);
    CHECK(ioctl, "FIONREAD of /dev/zero", opened("/dev/zero", O_RDONLY), FIONREAD, &number);
    CHECK(ioctl, "TCGETS of a file", file, TCGETS, edge - 100);
    CHECK(ioctl, "TCGETS of a pipe", 1, TCGETS, edge - 100);
    CHECK(ioctl, "TIOCGWINSZ of a pipe", 1, TIOCGWINSZ, edge - 100);
    CHECK(ioctl, "TCGETS of O_PATH", opened("/data/text", O_PATH), TCGETS, edge - 100);
    CHECK(ioctl, "FIOCLEX", file, FIOCLEX);
    CHECK(fcntl, "after FIOCLEX", file, F_GETFD);
    CHECK(ioctl, "FIONCLEX", file, FIONCLEX);
    CHECK(fcntl, "after FIONCLEX", file, F_GETFD);
    CHECK(ioctl, "FIOCLEX of O_PATH", opened("/data/text", O_PATH), FIOCLEX);
    number = 1;
    CHECK(ioctl, "FIONBIO", file, FIONBIO, &number);
    CHECK(fcntl, "after FIONBIO", file, F_GETFL);
    CHECK(ioctl, "FIONBIO by a bad pointer", file, FIONBIO, nowhere);
    CHECK(ioctl, "an unknown request", file, 0x12345678, 0);
    struct stat status;
    CALL(fstat, file, &status);
    number = -1;
    CHECK(ioctl, "FIGETBSZ", file, 2, &number);
    TELL(ioctl, "its block size", "%d", number);
    CHECK(ioctl, "FIOQSIZE of a file", file, 0x5460, edge - 8);
    CHECK(ioctl, "FIOASYNC off", file, FIOASYNC, edge - 8);
}

static void positions(void)
{
    int file = opened("/data/text", O_RDONLY);
    CHECK(lseek, "from the start", file, 5, SEEK_SET);
    CHECK(lseek, "from here", file, -2, SEEK_CUR);
    CHECK(lseek, "from the end", file, -3, SEEK_END);
    CHECK(lseek, "beyond the end", file, 1000, SEEK_SET);
    CHECK(lseek, "before the start", file, -1, SEEK_SET);
    CHECK(lseek, "before the start, from here", file, -1001, SEEK_CUR);
    CHECK(lseek, "where it stayed", file, 0, SEEK_CUR);
    CHECK(lseek, "an unknown origin", file, 0, 9);
    CHECK(lseek, "an unknown origin of a closed one", 77, 0, 9);
    CHECK(lseek, "the largest position", file, INT64_MAX, SEEK_SET);
    CHECK(lseek, "past the largest position", file, 1, SEEK_CUR);
    CHECK(lseek, "data at the start", file, 0, SEEK_DATA);
    CHECK(lseek, "data at the last byte", file, 12, SEEK_DATA);
    CHECK(lseek, "data at the end", file, 13, SEEK_DATA);
    CHECK(lseek, "data before the start", file, -1, SEEK_DATA);
    CHECK(lseek, "a hole from the start", file, 0, SEEK_HOLE);
    CHECK(lseek, "where a hole leads to", file, 0, SEEK_CUR);
    CHECK(lseek, "a hole at the end", file, 13, SEEK_HOLE);
    CHECK(lseek, "a hole in an empty file", opened("/data/empty", O_RDONLY), 0, SEEK_HOLE);
    int directory = opened("/data", O_RDONLY);
    CHECK(lseek, "a directory to its start", directory, 0, SEEK_SET);
    CHECK(lseek, "a directory before its start", directory, -1, SEEK_SET);
    CHECK(lseek, "a directory by an unknown origin", directory, 0, 9);
    CHECK(lseek, "a directory from its end", directory, 0, SEEK_END);
    CHECK(lseek, "a directory's data", directory, 0, SEEK_DATA);
    int list = opened("/proc/self/fd", O_RDONLY);
    CHECK(lseek, "the list of descriptors from its end", list, 5, SEEK_END);
    CHECK(lseek, "the list of descriptors far behind", list, INT64_MAX, SEEK_SET);
    int null = opened("/dev/null", O_RDONLY), zero = opened("/dev/zero", O_RDONLY);
    CHECK(lseek, "/dev/null", null, 100, SEEK_SET);
    CHECK(lseek, "/dev/null by an unknown origin", null, 100, 9);
    CHECK(lseek, "/dev/zero from here", zero, -5, SEEK_CUR);
    CHECK(lseek, "/dev/full from the end", opened("/dev/full", O_RDONLY), 5, SEEK_END);
    CHECK(lseek, "/dev/urandom", opened("/dev/urandom", O_RDONLY), 5, SEEK_SET);
    CHECK(lseek, "/dev/urandom by an unknown origin", opened("/dev/urandom", O_RDONLY), 5, 9);
    CHECK(lseek, "standard output", 1, 0, SEEK_CUR);
    CHECK(lseek, "standard output by an unknown origin", 1, 0, 9);
    CHECK(lseek, "O_PATH", opened("/data/text", O_PATH), 0, SEEK_CUR);
}

static void syncs(void)
{
    int file = opened("/data/text", O_RDONLY), path = opened("/data/text", O_PATH);
    int directory = opened("/data", O_RDONLY), null = opened("/dev/null", O_RDWR), ends[2];
    piped(ends, 0);
    CHECK(sync, "everything");
    CHECK(fsync, "a file", file);
    CHECK(fsync, "a directory", directory);
    CHECK(fsync, "a device", null);
    CHECK(fsync, "a pipe", ends[0]);
    CHECK(fsync, "O_PATH", path);
    CHECK(fsync, "a closed one", 77);
    CHECK(fdatasync, "a file", file);
    CHECK(fdatasync, "a pipe", ends[1]);
    CHECK(fdatasync, "a closed one", 77);
    CHECK(syncfs, "a file", file);
    CHECK(syncfs, "O_PATH", path);
    CHECK(syncfs, "a pipe", ends[0]);
    CHECK(syncfs, "a closed one", -1);
    CHECK(sync_file_range, "a file", file, 0, 0, 7);
    CHECK(sync_file_range, "an unknown flag", file, 0, 0, 8);
    CHECK(sync_file_range, "an unknown flag of a closed one", 77, 0, 0, 8);
    CHECK(sync_file_range, "a negative place", file, -1, 0, 0);
    CHECK(sync_file_range, "a negative length", file, 0, -1, 0);
    CHECK(sync_file_range, "a pipe", ends[0], 0, 0, 0);
    CHECK(sync_file_range, "a device", null, 0, 0, 0);
    CHECK(sync_file_range, "a directory", directory, 0, 0, 0);
    CHECK(sync_file_range, "O_PATH", path, 0, 0, 0);
    CHECK(readahead, "a file", file, 0, 4096);
    CHECK(readahead, "a negative length", file, 0, -1);
    CHECK(readahead, "a directory", directory, 0, 4096);
    CHECK(readahead, "a pipe", ends[0], 0, 4096);
    CHECK(readahead, "the end that is written", ends[1], 0, 4096);
    CHECK(readahead, "a device", null, 0, 4096);
    CHECK(readahead, "O_PATH", path, 0, 4096);
    CHECK(readahead, "a closed one", 77, 0, 4096);
    CHECK(fadvise64, "a file", file, 0, 0, 0);
    CHECK(fadvise64, "the last advice", file, 0, 0, 5);
    CHECK(fadvise64, "unknown advice", file, 0, 0, 6);
    CHECK(fadvise64, "a negative length", file, 0, -1, 0);
    CHECK(fadvise64, "a negative place", file, -1, 5, 0);
    CHECK(fadvise64, "a pipe, unknown advice", ends[0], 0, 0, 6);
    CHECK(fadvise64, "a device", null, 0, 0, 0);
    CHECK(fadvise64, "a device, unknown advice", null, 0, 0, 6);
    CHECK(fadvise64, "a directory", directory, 0, 0, 0);
    CHECK(fadvise64, "O_PATH", path, 0, 0, 0);
    CHECK(fadvise64, "a closed one, unknown advice", 77, 0, 0, 6);
    CHECK(ftruncate, "a file that is read", file, 0);
    CHECK(ftruncate, "a negative length", file, -1);
    CHECK(ftruncate, "a negative length of a closed one", 77, -1);
    CHECK(ftruncate, "a closed one", 77, 0);
    CHECK(ftruncate, "a pipe", ends[1], 0);
    CHECK(ftruncate, "a device", null, 0);
    CHECK(ftruncate, "a directory", directory, 0);
    CHECK(ftruncate, "O_PATH", path, 0);
    CHECK(fchmod, "a file", file, 0444);
    CHECK(fchmod, "a directory", directory, 0755);
    CHECK(fchmod, "a closed one", 77, 0);
    CHECK(fchmod, "O_PATH", path, 0444);
    CHECK(fchmod, "a pipe", ends[0], 0600);
    CHECK(fchown, "a file", file, 0, 0);
    CHECK(fchown, "a closed one", 77, 0, 0);
    CHECK(fchown, "O_PATH", path, 0, 0);
    CHECK(fchown, "a pipe, unchanged", ends[0], -1, -1);
}

void descriptors(void)
{
    copies();
    full();
    CALL(close_range, 3, 2000, 0);
    closing();
    flags();
    locks();
    controls();
    positions();
    syncs();
}
