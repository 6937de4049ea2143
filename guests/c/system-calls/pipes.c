/* Pipes: their ends, their room, and what happens when an end is gone. */
#include "check.h"
#include <sys/ioctl.h>

static char buffer[200000];

static void making(void)
{
    int ends[2];
    CHECK(pipe, "two ends", ends);
    TELL(pipe, "their numbers", "%d %d", ends[0], ends[1]);
    CHECK(pipe, "nowhere", nowhere);
    CHECK(pipe, "half of nowhere", edge - 4);
    CHECK(dup, "a failed pipe takes no number", 0);
    CHECK(pipe2, "flags", ends, O_CLOEXEC | O_NONBLOCK);
    CHECK(fcntl, "closes on exec", ends[1], F_GETFD);
    CHECK(fcntl, "flags of the end that is read", ends[0], F_GETFL);
    CHECK(fcntl, "flags of the end that is written", ends[1], F_GETFL);
    CHECK(pipe2, "an unknown flag", ends, 1);
    CHECK(pipe2, "an unknown flag, nowhere", nowhere, 1);
    CHECK(pipe2, "O_DIRECT", ends, O_DIRECT | O_NONBLOCK);
    CHECK(fcntl, "flags of packets", ends[1], F_GETFL);
    CALL(write, ends[1], "abc", 3);
    CALL(write, ends[1], "defg", 4);
    CHECK(read, "one packet", ends[0], buffer, 100);
    CHECK(read, "a part of a packet", ends[0], buffer, 2);
    CHECK(read, "what is left of a packet", ends[0], buffer, 100);
}

static void moving(void)
{
    int ends[2], count = -1;
    piped(ends, O_NONBLOCK);
    CHECK(read, "an empty pipe", ends[0], buffer, 10);
    CHECK(read, "nothing of an empty pipe", ends[0], buffer, 0);
    CHECK(read, "an empty pipe into nowhere", ends[0], nowhere, 10);
    CHECK(write, "some", ends[1], "0123456789", 10);
    CHECK(ioctl, "FIONREAD of a pipe", ends[0], FIONREAD, &count);
    TELL(ioctl, "what waits", "%d", count);
    count = -1;
    CHECK(ioctl, "FIONREAD of the end that is written", ends[1], FIONREAD, &count);
    TELL(ioctl, "what waits for the other end", "%d", count);
    CHECK(read, "less than there is", ends[0], buffer, 4);
    CHECK(read, "more than there is", ends[0], buffer, 100);
    TELL(read, "what it was", "%.6s", buffer);
    CHECK(write, "from nowhere", ends[1], nowhere, 10);
    CHECK(write, "from half of nowhere", ends[1], edge - 4, 10);
    CHECK(read, "what came from half of nowhere", ends[0], buffer, 100);
    CALL(write, ends[1], "0123456789", 10);
    CHECK(read, "into nowhere", ends[0], nowhere, 10);
    CHECK(read, "what is kept of it", ends[0], buffer, 100);
    CALL(write, ends[1], "0123456789", 10);
    CHECK(read, "into half of nowhere", ends[0], edge - 4, 10);
    CHECK(read, "what is kept of half", ends[0], buffer, 100);
    CHECK(read, "the end that is written", ends[1], buffer, 1);
    CHECK(write, "the end that is read", ends[0], buffer, 1);
    CHECK(lseek, "a pipe", ends[0], 0, SEEK_CUR);
}

static void room(void)
{
    int ends[2];
    piped(ends, O_NONBLOCK);
    CHECK(fcntl, "F_GETPIPE_SZ", ends[0], F_GETPIPE_SZ);
    CHECK(fcntl, "F_GETPIPE_SZ of standard output", 1, F_GETPIPE_SZ);
    CHECK(write, "more than the room", ends[1], buffer, 70000);
    CHECK(write, "when it is full", ends[1], buffer, 1);
    CHECK(write, "nothing when it is full", ends[1], buffer, 0);
    CHECK(read, "a page", ends[0], buffer, 4096);
    CHECK(write, "a page", ends[1], buffer, 4096);
    CHECK(read, "less than a page", ends[0], buffer, 100);
    CHECK(write, "in pieces, what is more than the room", ends[1], buffer, 4097);
    CHECK(write, "at once, what is more than the room", ends[1], buffer, 4096);
    CHECK(read, "all of it", ends[0], buffer, 200000);
    CHECK(fcntl, "F_SETPIPE_SZ to a page", ends[1], F_SETPIPE_SZ, 4096);
    CHECK(fcntl, "the room of one page", ends[0], F_GETPIPE_SZ);
    CHECK(write, "more than one page", ends[1], buffer, 5000);
    CHECK(fcntl, "F_SETPIPE_SZ, rounded", ends[1], F_SETPIPE_SZ, 10000);
    CHECK(fcntl, "F_SETPIPE_SZ to nothing", ends[1], F_SETPIPE_SZ, 0);
    CHECK(fcntl, "F_SETPIPE_SZ to more than may be", ends[1], F_SETPIPE_SZ, 1 << 30);
    CHECK(fcntl, "F_SETPIPE_SZ to a negative size", ends[1], F_SETPIPE_SZ, -1);
    CHECK(fcntl, "F_SETPIPE_SZ to the largest", ends[1], F_SETPIPE_SZ, 1 << 20);
    CHECK(write, "into the largest", ends[1], buffer, 200000);
    CHECK(fcntl, "F_SETPIPE_SZ below what waits", ends[1], F_SETPIPE_SZ, 4096);
}

static void endings(void)
{
    int ends[2];
    struct {
        long handler, flags, restorer, mask;
    } ignored = {1, 0, 0, 0};
    piped(ends, 0);
    CALL(write, ends[1], "last", 4);
    CALL(close, ends[1]);
    CHECK(read, "what is left", ends[0], buffer, 3);
    CHECK(read, "the last of it", ends[0], buffer, 3);
    CHECK(read, "the end", ends[0], buffer, 3);
    CHECK(read, "the end, into nowhere", ends[0], nowhere, 3);
    CALL(close, ends[0]);
    piped(ends, 0);
    CALL(close, ends[0]);
    CHECK(rt_sigaction, "SIGPIPE is ignored", SIGPIPE, &ignored, 0, 8);
    CHECK(write, "when nobody reads", ends[1], "x", 1);
    CHECK(write, "nothing when nobody reads", ends[1], "x", 0);
    CHECK(write, "from nowhere when nobody reads", ends[1], nowhere, 1);
    CHECK(writev, "no buffers when nobody reads", ends[1], 0, 0);
    uint64_t blocked = 1 << (SIGPIPE - 1), pending = 0;
    memset(&ignored, 0, sizeof ignored);
    CALL(rt_sigaction, SIGPIPE, &ignored, 0, 8);
    CALL(rt_sigprocmask, 0, &blocked, 0, 8);
    CHECK(write, "when nobody reads, blocked", ends[1], "x", 1);
    CALL(rt_sigpending, &pending, 8);
    TELL(rt_sigpending, "a blocked SIGPIPE", "%lx", (long)pending);
    int copies = 0;
    CALL(close, ends[1]);
    piped(ends, O_NONBLOCK);
    copies = (int)CALL(dup, ends[1]);
    CALL(close, ends[1]);
    CHECK(read, "while a copy can write", ends[0], buffer, 1);
    CALL(close, copies);
    CHECK(read, "when no copy can write", ends[0], buffer, 1);
}

static void limits_of_pipes(void)
{
    CALL(close_range, 3, 2000, 0);
    int ends[2], made = 0;
    while (made < 100 && CALL(pipe, ends) == 0)
        made++;
    TELL(pipe, "a hundred", "%d", made);
    CALL(close_range, 3, 2000, 0);
}

void pipes(void)
{
    making();
    moving();
    room();
    endings();
    limits_of_pipes();
}
