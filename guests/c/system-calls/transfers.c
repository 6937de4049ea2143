/* Moving bytes: read, write and their relatives, by one buffer and by many. */
#include "check.h"
#include <sys/ioctl.h>
#include <sys/uio.h>

static char buffer[4096];

static void cleared(void)
{
    memset(buffer, 0, sizeof buffer);
}

static void reading(void)
{
    int file = opened("/data/text", O_RDONLY), null = opened("/dev/null", O_RDWR);
    int path = opened("/data/text", O_PATH), writer = opened("/dev/null", O_WRONLY);
    CHECK(read, "some", file, buffer, 5);
    TELL(read, "what it is", "%.5s", buffer);
    CHECK(read, "nothing", file, buffer, 0);
    CHECK(read, "nothing into nowhere", file, nowhere, 0);
    CHECK(read, "into nowhere", file, nowhere, 5);
    CHECK(read, "where it stayed", file, buffer, 1);
    TELL(read, "what stands there", "%c", buffer[0]);
    CHECK(read, "into half of nowhere", file, edge - 3, 6);
    TELL(read, "where the position is then", "%ld", CALL(lseek, file, 0, SEEK_CUR));
    CHECK(read, "to the end", file, buffer, 4096);
    CHECK(read, "at the end", file, buffer, 4096);
    CHECK(read, "at the end, into nowhere", file, nowhere, 4096);
    CHECK(read, "beyond the end", (CALL(lseek, file, 100, SEEK_SET), file), buffer, 10);
    CHECK(read, "into constants", (CALL(lseek, file, 0, SEEK_SET), file), constant, 4);
    CHECK(read, "a size with its sign set", file, buffer, -1);
    CHECK(read, "into the kernel", file, (char *)-4096, 4);
    CHECK(read, "a closed one", 77, buffer, 4);
    CHECK(read, "nothing of a closed one", 77, buffer, 0);
    CHECK(read, "a negative one", -1, buffer, 4);
    CHECK(read, "O_PATH", path, buffer, 4);
    CHECK(read, "nothing of O_PATH", path, buffer, 0);
    CHECK(read, "what is only written", writer, buffer, 4);
    CHECK(read, "nothing of what is only written", writer, buffer, 0);
    CHECK(read, "/dev/null", null, buffer, 4);
    CHECK(read, "/dev/null into nowhere", null, nowhere, 4);
    int zero = opened("/dev/zero", O_RDWR), full = opened("/dev/full", O_RDWR);
    buffer[0] = 'x';
    CHECK(read, "/dev/zero", zero, buffer, 4);
    TELL(read, "what a zero is", "%d", buffer[0]);
    CHECK(read, "/dev/zero into half of nowhere", zero, edge - 3, 8);
    CHECK(read, "/dev/zero into nowhere", zero, nowhere, 8);
    CHECK(read, "/dev/full", full, buffer, 4);
    CHECK(read, "/dev/urandom", opened("/dev/urandom", O_RDONLY), buffer, 16);
    CHECK(read, "/dev/urandom into nowhere", opened("/dev/urandom", O_RDONLY), nowhere, 16);
    CHECK(write, "/dev/null", null, buffer, 4);
    CHECK(write, "/dev/null from nowhere", null, nowhere, 4);
    CHECK(write, "/dev/zero", zero, buffer, 4);
    CHECK(write, "/dev/full", full, buffer, 4);
    CHECK(write, "nothing to /dev/full", full, buffer, 0);
    CHECK(write, "a file that is read", file, buffer, 4);
    CHECK(write, "a file that is read, from nowhere", file, nowhere, 4);
    CHECK(write, "nothing to a file that is read", file, buffer, 0);
    CHECK(write, "a directory", opened("/data", O_RDONLY), buffer, 4);
    CHECK(write, "standard input", 0, buffer, 4);
    CHECK(write, "O_PATH", path, buffer, 4);
    CHECK(write, "a closed one", 77, buffer, 4);
    CHECK(write, "a size with its sign set", null, buffer, -1);
    CHECK(write, "nothing to standard output", 1, nowhere, 0);
    CHECK(write, "standard output from nowhere", 1, nowhere, 4);
}

static void positioned(void)
{
    int file = opened("/data/text", O_RDONLY), null = opened("/dev/null", O_RDWR), ends[2];
    int path = opened("/data/text", O_PATH), directory = opened("/data", O_RDONLY);
    piped(ends, O_NONBLOCK);
    cleared();
    CHECK(pread64, "from a place", file, buffer, 5, 7);
    TELL(pread64, "what stands there", "%s", buffer);
    TELL(pread64, "the position is left", "%ld", CALL(lseek, file, 0, SEEK_CUR));
    CHECK(pread64, "from the end", file, buffer, 5, 13);
    CHECK(pread64, "from far beyond", file, buffer, 5, INT64_MAX);
    CHECK(pread64, "from before the start", file, buffer, 5, -1);
    CHECK(pread64, "from before the start, a closed one", 77, buffer, 5, -1);
    CHECK(pread64, "nothing from before the start", file, buffer, 0, -1);
    CHECK(pread64, "into nowhere", file, nowhere, 5, 0);
    CHECK(pread64, "a pipe", ends[0], buffer, 5, 0);
    CHECK(pread64, "the end that is written", ends[1], buffer, 5, 0);
    CHECK(pread64, "a pipe from before the start", ends[0], buffer, 5, -1);
    CHECK(pread64, "nothing of a pipe", ends[0], buffer, 0, 0);
    CHECK(pread64, "standard output", 1, buffer, 1, 0);
    CHECK(pread64, "standard input", 0, buffer, 1, 0);
    CHECK(pread64, "/dev/null", null, buffer, 1, 5);
    CHECK(pread64, "/dev/null at the largest position", null, buffer, 1, INT64_MAX);
    CHECK(pread64, "a directory at the largest position", directory, buffer, 1, INT64_MAX);
    CHECK(pwrite64, "/dev/null at the largest position", null, buffer, 1, INT64_MAX);
    int neither = opened("/dev/null", 3);
    CHECK(read, "what is opened for neither", neither, buffer, 1);
    CHECK(write, "what is opened for neither", neither, buffer, 1);
    CHECK(pread64, "O_PATH", path, buffer, 1, 0);
    CHECK(pread64, "what is only written", opened("/dev/null", O_WRONLY), buffer, 1, 0);
    CHECK(pwrite64, "a pipe", ends[1], buffer, 5, 0);
    CHECK(pwrite64, "the end that is read", ends[0], buffer, 5, 0);
    CHECK(pwrite64, "a file that is read", file, buffer, 5, 0);
    CHECK(pwrite64, "a file that is read, before the start", file, buffer, 5, -1);
    CHECK(pwrite64, "a directory", directory, buffer, 5, 0);
    CHECK(pwrite64, "standard output", 1, buffer, 5, 0);
    CHECK(pwrite64, "/dev/null", null, buffer, 5, 5);
    CHECK(pwrite64, "a closed one", 77, buffer, 5, 0);
    CHECK(pwrite64, "O_PATH", path, buffer, 5, 0);
}

static void vectors(void)
{
    int file = opened("/data/text", O_RDONLY), null = opened("/dev/null", O_RDWR), ends[2];
    int writer = opened("/dev/null", O_WRONLY), path = opened("/data/text", O_PATH);
    piped(ends, O_NONBLOCK);
    static struct iovec many[1100];
    struct iovec two[2] = {{buffer, 3}, {buffer + 10, 4}}, empty[2] = {{buffer, 0}, {nowhere, 0}};
    struct iovec senseless[2] = {{buffer, 3}, {buffer, -1}}, bad[2] = {{buffer, 3}, {nowhere, 4}};
    struct iovec bad_first[2] = {{nowhere, 3}, {buffer, 4}}, huge[2] = {{buffer, 4}, {buffer, INT64_MAX}};
    for (int index = 0; index < 1100; index++)
        many[index] = (struct iovec){buffer, 1};
    cleared();
    CHECK(readv, "two buffers", file, two, 2);
    TELL(readv, "what they hold", "%s %s", buffer, buffer + 10);
    CHECK(readv, "no buffers", file, two, 0);
    CHECK(readv, "no buffers at a bad pointer", file, nowhere, 0);
    CHECK(readv, "a bad pointer", file, nowhere, 1);
    CHECK(readv, "empty buffers", file, empty, 2);
    CHECK(readv, "a negative count", file, two, -1);
    CHECK(readv, "too many", file, many, 1025);
    CHECK(readv, "as many as may be", file, many, 1024);
    CHECK(readv, "too many of a closed one", 77, many, 1025);
    CHECK(readv, "too many of what is only written", writer, many, 1025);
    CHECK(readv, "a bad pointer of what is only written", writer, nowhere, 1);
    CHECK(readv, "a bad pointer of O_PATH", path, nowhere, 1);
    CALL(lseek, file, 0, SEEK_SET);
    CHECK(readv, "a negative length", file, senseless, 2);
    struct iovec both[2] = {{(char *)-4096, 1}, {buffer, -1}};
    CHECK(readv, "a negative length behind a bad buffer", file, both, 2);
    CHECK(readv, "a bad second buffer", file, bad, 2);
    CHECK(readv, "a bad first buffer", file, bad_first, 2);
    CALL(lseek, file, 0, SEEK_SET);
    CHECK(readv, "lengths that overflow together", file, huge, 2);
    CHECK(readv, "a vector at the edge", file, edge - 16, 2);
    CHECK(readv, "a directory", opened("/data", O_RDONLY), two, 2);
    CHECK(readv, "a directory, no buffers", opened("/data", O_RDONLY), two, 0);
    CHECK(readv, "an empty pipe, no buffers", ends[0], two, 0);
    CHECK(readv, "an empty pipe, empty buffers", ends[0], empty, 2);
    CHECK(writev, "two buffers", ends[1], two, 2);
    CHECK(writev, "no buffers", ends[1], two, 0);
    CHECK(writev, "empty buffers", ends[1], empty, 2);
    CHECK(writev, "the end that is read", ends[0], two, 2);
    CHECK(writev, "a negative length", ends[1], senseless, 2);
    CHECK(writev, "a bad second buffer", ends[1], bad, 2);
    CHECK(writev, "a bad first buffer", ends[1], bad_first, 2);
    CHECK(writev, "a bad pointer", ends[1], nowhere, 1);
    CHECK(writev, "too many", ends[1], many, 1025);
    CHECK(writev, "too many, a file that is read", file, many, 1025);
    CHECK(writev, "too many, a closed one", 77, many, 1025);
    CHECK(preadv, "from a place", file, two, 2, 7, 0);
    CHECK(preadv, "from before the start", file, two, 2, -1, 0);
    CHECK(preadv, "from before the start, a closed one", 77, two, 2, -1, 0);
    CHECK(preadv, "a pipe", ends[0], two, 2, 0, 0);
    CHECK(preadv, "the end that is written", ends[1], two, 2, 0, 0);
    CHECK(preadv, "a pipe, a bad pointer", ends[0], nowhere, 2, 0, 0);
    CHECK(preadv, "too many", file, many, 1025, 0, 0);
    CHECK(preadv, "no buffers of a pipe", ends[0], two, 0, 0, 0);
    CHECK(preadv, "O_PATH", path, two, 2, 0, 0);
    CHECK(preadv, "what is only written", writer, two, 2, 0, 0);
    CHECK(pwritev, "a pipe", ends[1], two, 2, 0, 0);
    CHECK(pwritev, "the end that is read", ends[0], two, 2, 0, 0);
    CHECK(pwritev, "a file that is read", file, two, 2, 0, 0);
    CHECK(pwritev, "/dev/null", null, two, 2, 5, 0);
    CHECK(pwritev, "from before the start", null, two, 2, -1, 0);
    CHECK(pwritev, "a closed one", 77, two, 2, 0, 0);
    CALL(lseek, file, 2, SEEK_SET);
    CHECK(preadv2, "from the position", file, two, 2, -1, 0, 0);
    TELL(preadv2, "moves the position", "%ld", CALL(lseek, file, 0, SEEK_CUR));
    CHECK(preadv2, "from a place", file, two, 2, 7, 0, 0);
    CHECK(preadv2, "from before the start", file, two, 2, -2, 0, 0);
    CHECK(preadv2, "an unknown flag", file, two, 2, 0, 0, 0x40000000);
    CHECK(preadv2, "an unknown flag of a closed one", 77, two, 2, 0, 0, 0x40000000);
    CHECK(preadv2, "an unknown flag of what is only written", writer, two, 2, 0, 0, 0x40000000);
    CHECK(preadv2, "an unknown flag, no buffers", file, two, 0, 0, 0, 0x40000000);
    CHECK(preadv2, "an unknown flag, a bad pointer", file, nowhere, 2, 0, 0, 0x40000000);
    CHECK(preadv2, "RWF_HIPRI", file, two, 2, 0, 0, 1);
    CHECK(preadv2, "RWF_NOWAIT", file, two, 2, 0, 0, 8);
    CHECK(preadv2, "RWF_NOWAIT of an empty pipe", ends[0], two, 2, -1, 0, 8);
    CHECK(preadv2, "a pipe from its position", ends[0], two, 2, -1, 0, 0);
    CHECK(preadv2, "a pipe from a place", ends[0], two, 2, 0, 0, 0);
    CHECK(pwritev2, "to the position", null, two, 2, -1, 0, 0);
    CHECK(pwritev2, "RWF_DSYNC", null, two, 2, -1, 0, 2);
    CHECK(pwritev2, "RWF_SYNC of a pipe", ends[1], two, 2, -1, 0, 4);
    CHECK(pwritev2, "RWF_APPEND", null, two, 2, 0, 0, 16);
    CHECK(pwritev2, "an unknown flag", null, two, 2, -1, 0, 0x40000000);
    CHECK(pwritev2, "a file that is read", file, two, 2, -1, 0, 0);
    CHECK(pwritev2, "a closed one", 77, two, 2, -1, 0, 0);
    CHECK(pwritev2, "a pipe to a place", ends[1], two, 2, 0, 0, 0);
}

static void input(void)
{
    /* The test gives "input\n" and ends it. */
    int count = -1;
    cleared();
    CHECK(ioctl, "FIONREAD of standard input", 0, FIONREAD, &count);
    TELL(ioctl, "what waits in standard input", "%d", count);
    CHECK(read, "standard input", 0, buffer, 3);
    TELL(read, "its start", "%s", buffer);
    CHECK(read, "standard input into nowhere", 0, nowhere, 1);
    CHECK(read, "the rest of standard input", 0, buffer, 100);
    CHECK(read, "the end of standard input", 0, buffer, 100);
    CALL(ioctl, 0, FIONREAD, &count);
    TELL(ioctl, "what waits at its end", "%d", count);
    CHECK(read, "the end of standard input, nothing", 0, buffer, 0);
}

void transfers(void)
{
    reading();
    positioned();
    vectors();
    input();
}
