/*
 * Calls by chance, with arguments that are likely to be wrong in more than one way: what nobody thought of
 * writing a check for. The numbers come from a seed, so that both worlds make the same calls. Files are
 * opened anew every few calls, so that one difference does not bring others about.
 */
#include "check.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static uint64_t state;
/* With nothing behind it, so that a call which moves too much ends there. */
static char *buffer;
static char second[256];
static struct iovec vectors[3];
static struct pollfd polled[4];

static unsigned drawn(unsigned below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % below;
}

#define ONE_OF(list) list[drawn(sizeof list / sizeof *list)]

static long descriptor(void)
{
    static const long odd[] = {77, -1, AT_FDCWD, 1023, 1024, INT32_MIN};
    return drawn(8) ? (long)(3 + drawn(12)) : ONE_OF(odd);
}

static const char *const places[] = {
    "/", "//", ".", "..", "", "/.", "/..", "/data", "/data/", "/data//", "/data/.", "/data/..",
    "data", "data/text", "./data/../data/deep", "text", "deep/file", "/data/text", "/data/text/",
    "/data/text/.", "/data/text/..", "/data/text/x", "/data/empty", "/data/large", "/data/deep",
    "/data/deep/", "/none", "/none/", "/none/x", "/none/x/", "/data/none", "/data/none/", "none",
    "/dev/null", "/dev/null/", "/dev/zero", "/dev/full", "/dev/fd", "/dev/fd/", "/dev/fd/3",
    "/dev/fd/4/", "/dev/fd/5", "/dev/fd/6", "/dev/fd/8", "/dev/fd/9", "/dev/fd/77", "/proc/self/fd/3",
    "/proc/self/fd/4", "/proc/self/fd/7", "/proc/self/fd/8", "/proc/self/fd/x", "/proc/self/fd/10",
    "/bin/system-calls", "/tmp", "/tmp/new", "/tmp/new/",
};

static long path(void)
{
    static char long_name[300], long_path[5000];
    memset(long_name, 'n', 256);
    memset(long_path, '/', 4999);
    switch (drawn(40)) {
    case 0: return (long)nowhere;
    case 1: memset(edge - 3, 'e', 3); return (long)(edge - 3);
    case 2: return (long)long_name;
    case 3: return (long)long_path;
    default: return (long)ONE_OF(places);
    }
}

static long place(void)
{
    switch (drawn(12)) {
    case 0: return (long)nowhere;
    case 1: return (long)(edge - 3);
    case 2: return (long)constant;
    case 3: return -4096;
    case 4: return (long)(edge - 4099);
    default: return (long)buffer;
    }
}

static long size(void)
{
    static const long sizes[] = {0, 1, 3, 5, 13, 100, 4095, 4096, 4097, 65536, 70000, -1, INT64_MAX, 1L << 31};
    return ONE_OF(sizes);
}

static long position(void)
{
    static const long positions[] = {0, 1, 5, 12, 13, 14, 4096, 99999, 100000, -1, -2, INT64_MAX, INT64_MIN};
    return ONE_OF(positions);
}

static long bits(long mask)
{
    long chosen = 0;
    for (long bit = 1; bit && bit <= mask; bit <<= 1)
        if (mask & bit && drawn(4) == 0)
            chosen |= bit;
    return chosen;
}

static long odd_bits(long mask)
{
    return bits(mask) | (drawn(12) == 0 ? 1L << drawn(31) : 0);
}

static long vector(void)
{
    for (int index = 0; index < 3; index++)
        vectors[index] = (struct iovec){(void *)place(), (size_t)(drawn(3) ? (long)drawn(50) : size())};
    memset(edge - 20, 0, 20);
    return drawn(15) ? (long)vectors : (long)(edge - 20);
}

static long count(void)
{
    static const long counts[] = {0, 1, 1, 2, 3, 3, -1, 1025};
    return ONE_OF(counts);
}

static long open_flags(void)
{
    long flags = bits(O_WRONLY | O_RDWR) | O_NONBLOCK |
                 bits(O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_PATH |
                      020000000);
    /* The name of a descriptor cannot itself be opened here, only what it leads to. */
    return flags & O_PATH ? flags & ~O_NOFOLLOW : flags;
}

static void opened_anew(void)
{
    int ends[2];
    CALL(close_range, 3, 2000, 0);
    opened("/data/text", O_RDONLY);
    opened("/data", O_RDONLY | O_DIRECTORY);
    opened("/data/large", O_RDONLY);
    piped(ends, O_NONBLOCK);
    CALL(write, ends[1], "in the pipe", 11);
    opened("/dev/null", O_RDWR);
    opened("/data/text", O_PATH);
    opened("/dev/zero", O_RDONLY);
    opened("/dev/full", O_WRONLY);
    opened("/dev/fd", O_RDONLY | O_DIRECTORY);
    CALL(chdir, drawn(2) ? "/" : "/data");
    memset(buffer, 'b', 200);
}

/* A call of the chosen number: its name, and its arguments in order. */
struct attempt {
    const char *name;
    long number;
    long a[6];
};

#define MAKES(call, ...) (struct attempt){#call, SYS_##call, {LONGS(__VA_ARGS__)}}

static struct attempt chosen(void)
{
    static const long fcntls[] = {F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC, F_GETPIPE_SZ, 99};
    static const long ioctls[] = {FIONREAD, FIOCLEX, FIONCLEX, TCGETS, 2, 99};
    static const long kinds[] = {S_IFREG, S_IFIFO, S_IFDIR, S_IFCHR, 0150000, 0};
    long descriptor_flag = drawn(2) ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH;
    switch (drawn(48)) {
    case 0: return MAKES(read, descriptor(), place(), size());
    case 1: return MAKES(write, descriptor(), place(), size());
    case 2: return MAKES(pread64, descriptor(), place(), size(), position());
    case 3: return MAKES(pwrite64, descriptor(), place(), size(), position());
    case 4: return MAKES(readv, descriptor(), vector(), count());
    case 5: return MAKES(writev, descriptor(), vector(), count());
    case 6: return MAKES(preadv, descriptor(), vector(), count(), position(), 0);
    case 7: return MAKES(pwritev, descriptor(), vector(), count(), position(), 0);
    case 8: return MAKES(preadv2, descriptor(), vector(), count(), position(), 0, bits(0x17));
    case 9: return MAKES(lseek, descriptor(), position(), drawn(6));
    case 10: return MAKES(close, descriptor());
    case 11: return MAKES(dup, descriptor());
    case 12: return MAKES(dup2, descriptor(), descriptor());
    case 13: return MAKES(dup3, descriptor(), descriptor(), odd_bits(O_CLOEXEC));
    case 14: return MAKES(fcntl, descriptor(), ONE_OF(fcntls), drawn(40));
    case 15: return MAKES(ioctl, descriptor(), ONE_OF(ioctls), second);
    case 16: return MAKES(fstat, descriptor(), place());
    case 17: return MAKES(stat, path(), place());
    case 18: return MAKES(lstat, path(), place());
    case 19: return MAKES(newfstatat, descriptor(), path(), place(), bits(0x1900) | bits(descriptor_flag));
    case 20: return MAKES(statx, descriptor(), path(), bits(0x7900), drawn(0x1000), place());
    case 21: return MAKES(faccessat2, descriptor(), path(), odd_bits(7), odd_bits(0x1300));
    case 22: return MAKES(access, path(), odd_bits(7));
    case 23: case 24: case 25: return MAKES(open, path(), open_flags(), 0600);
    case 26: case 27: return MAKES(openat, descriptor(), path(), open_flags(), 0600);
    case 28: return MAKES(getdents64, descriptor(), place(), 4096);
    case 29: return MAKES(readlinkat, descriptor(), path(), drawn(6) ? buffer : nowhere, drawn(30));
    case 30: return MAKES(readlink, path(), drawn(6) ? buffer : nowhere, drawn(30));
    case 31: return MAKES(chdir, path());
    case 32: return MAKES(fchdir, descriptor());
    case 33: return MAKES(flock, descriptor(), drawn(4) ? 8 : 9 + drawn(3));
    case 34: return MAKES(mkdirat, descriptor(), path(), 0700);
    case 35: return MAKES(unlinkat, descriptor(), path(), odd_bits(AT_REMOVEDIR));
    case 36: return MAKES(renameat2, descriptor(), path(), descriptor(), path(), odd_bits(3));
    case 37: return MAKES(linkat, descriptor(), path(), descriptor(), path(), odd_bits(AT_SYMLINK_FOLLOW));
    case 38: return MAKES(symlinkat, path(), descriptor(), path());
    case 39: return MAKES(mknodat, descriptor(), path(), ONE_OF(kinds) | 0600, 0);
    case 40: return MAKES(truncate, path(), position());
    case 41: return MAKES(ftruncate, descriptor(), position());
    case 42: return MAKES(utimensat, descriptor(), path(), 0, odd_bits(0x1100));
    case 43: return MAKES(fchownat, descriptor(), path(), 0, 0, odd_bits(0x1100));
    case 44: return MAKES(fadvise64, descriptor(), position(), position(), drawn(8));
    case 45: return MAKES(sync_file_range, descriptor(), position(), position(), odd_bits(7));
    case 46: return MAKES(readahead, descriptor(), position(), size());
    default:
        for (int index = 0; index < 4; index++)
            polled[index] = (struct pollfd){(int)descriptor(), (short)bits(0x7ff), 0};
        return MAKES(poll, drawn(10) ? (long)polled : (long)nowhere, drawn(5), 0);
    }
}

/* A path as text, for whoever looks for the cause of a difference; other arguments as numbers. */
static const char *shown(long value)
{
    static char texts[6][80];
    static int next;
    char *text = texts[next++ % 6];
    if (value == (long)nowhere)
        return "nowhere";
    if (value > (long)edge - 5000 && value < (long)edge)
        return "edge";
    if (value == (long)constant)
        return "constant";
    if (value == (long)buffer || value == (long)second || value == (long)vectors || value == (long)polled)
        return "memory";
    for (size_t index = 0; index < sizeof places / sizeof *places; index++)
        if (value == (long)places[index]) {
            snprintf(text, 80, "'%s'", places[index]);
            return text;
        }
    /* The names that are too long stand where the linker put them. */
    snprintf(text, 80, "%ld", value);
    return text;
}

void chance(const char *seed)
{
    state = strtoul(seed, 0, 10) * 2654435761u + 1;
    enum { ROOM = 1 << 17 };
    char *room = (char *)CALL(mmap, 0, ROOM + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CALL(mprotect, room, ROOM, PROT_READ | PROT_WRITE);
    buffer = room + ROOM - 100000;
    long ignored[4] = {1, 0, 0, 0};
    CALL(rt_sigaction, SIGPIPE, ignored, 0, 8);
    for (int number = 0; number < 3000; number++) {
        if (number % 12 == 0)
            opened_anew();
        struct attempt call = chosen();
        long result = raw(call.number, call.a);
        int is_link = call.number == SYS_readlink || call.number == SYS_readlinkat;
        /* A pipe's number is anybody's, and here a process has one name only. */
        if (is_link && result > 0 && (*buffer == 'p' || strncmp(buffer, "/proc", result < 5 ? (size_t)result : 5) == 0))
            result = 0;
        /* What lies behind a place in a directory is the file system's to say. */
        if (call.number == SYS_getdents64 && result > 0)
            result = 0;
        char what[400];
        snprintf(what, sizeof what, "%s %d %s %s %s %s %s %s", seed, number, shown(call.a[0]),
                 shown(call.a[1]), shown(call.a[2]), shown(call.a[3]), shown(call.a[4]), shown(call.a[5]));
        told(call.name, what, result, 1);
        if (call.number == SYS_poll)
            TELL(revents, what, "%x %x %x %x", polled[0].revents, polled[1].revents, polled[2].revents,
                 polled[3].revents);
        if (is_link && result > 0)
            TELL(target, what, "%.*s", (int)result, buffer);
    }
}
