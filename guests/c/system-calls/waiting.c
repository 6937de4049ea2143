/* Waiting for descriptors: poll, select and their relatives. */
#include "check.h"
#include <poll.h>
#include <sys/resource.h>
#include <sys/select.h>

static struct pollfd many[1100];
static int reader, writer, closed_reader, lone_writer, file, null;

/* The events of one descriptor, by a look that does not wait. */
static void events(const char *what, int descriptor, int wanted)
{
    struct pollfd one = {descriptor, (short)wanted, 0x5555};
    CHECK(poll, what, &one, 1, 0);
    tell("poll events", what, "%x", (unsigned short)one.revents);
}

static void polls(void)
{
    events("a file", file, 0xfff);
    events("a file for reading", file, POLLIN);
    events("a directory", opened("/data", O_RDONLY), POLLIN | POLLOUT);
    events("/dev/null", null, POLLIN | POLLOUT | POLLPRI);
    events("O_PATH", opened("/data/text", O_PATH), POLLIN);
    events("a closed one", 77, POLLIN);
    events("a negative one", -3, POLLIN);
    events("an empty pipe", reader, POLLIN | POLLOUT);
    events("a pipe with room", writer, POLLIN | POLLOUT);
    events("a pipe with room, all events", writer, 0xfff);
    CALL(write, writer, "abc", 3);
    events("a pipe with bytes", reader, 0xfff);
    events("a pipe with bytes, nothing asked", reader, 0);
    events("an ended pipe", closed_reader, POLLIN);
    events("an ended pipe, nothing asked", closed_reader, 0);
    events("a pipe that nobody reads", lone_writer, POLLOUT);
    events("standard output", 1, POLLIN | POLLOUT);
    static char much[65536];
    CALL(write, writer, much, sizeof much);
    events("a full pipe", writer, POLLOUT);
    CALL(read, reader, much, 4095);
    events("a pipe with less room than PIPE_BUF", writer, POLLOUT);
    CALL(read, reader, much, 1 << 16);
    CHECK(poll, "no descriptors", nowhere, 0, 0);
    CHECK(poll, "a bad pointer", nowhere, 1, 0);
    CHECK(poll, "half an array", edge - 8, 2, 0);
    CHECK(poll, "more than may be open", many, 1025, 0);
    CHECK(poll, "more than may be open, nowhere", nowhere, 1025, 0);
    for (int index = 0; index < 1024; index++)
        many[index] = (struct pollfd){-1, POLLIN, 7};
    CHECK(poll, "as many as may be open", many, 1024, 0);
    TELL(poll, "what a negative one gets", "%d", many[1023].revents);
    struct pollfd mixed[4] = {{77, POLLIN, 0}, {file, POLLIN, 0}, {reader, POLLIN, 9}, {file, 0, 0}};
    CHECK(poll, "some ready and some not", mixed, 4, -1);
    TELL(poll, "what stands there", "%x %x %x %x", mixed[0].revents, mixed[1].revents,
         mixed[2].revents, mixed[3].revents);
    struct pollfd quiet = {reader, POLLIN, 9};
    CHECK(poll, "a short wait", &quiet, 1, 10);
    TELL(poll, "what a short wait leaves", "%x", quiet.revents);
    struct timespec none = {0, 0}, senseless = {0, 1000000000}, negative = {-1, 0}, brief = {0, 5000000};
    CHECK(ppoll, "at once", &quiet, 1, &none, 0, 8);
    CHECK(ppoll, "a short wait", &quiet, 1, &brief, 0, 8);
    TELL(ppoll, "the time left", "%ld %ld", (long)brief.tv_sec, brief.tv_nsec);
    CHECK(ppoll, "senseless time", &quiet, 1, &senseless, 0, 8);
    CHECK(ppoll, "negative time", &quiet, 1, &negative, 0, 8);
    CHECK(ppoll, "time nowhere", &quiet, 1, nowhere, 0, 8);
    CHECK(ppoll, "time nowhere, too many", many, 1025, nowhere, 0, 8);
    CHECK(ppoll, "too many", many, 1025, &none, 0, 8);
    uint64_t mask = 0;
    CHECK(ppoll, "a mask", &quiet, 1, &none, &mask, 8);
    CHECK(ppoll, "a mask of another size", &quiet, 1, &none, &mask, 16);
    CHECK(ppoll, "a mask nowhere", &quiet, 1, &none, nowhere, 8);
    CHECK(ppoll, "no mask of another size", &quiet, 1, &none, 0, 16);
}

static void selects(void)
{
    fd_set read_set, write_set, except_set;
    struct timeval none = {0, 0}, negative = {-1, 0}, brief = {0, 5000}, far = {100, 2500000};
    FD_ZERO(&read_set);
    FD_SET(reader, &read_set);
    FD_SET(file, &read_set);
    CHECK(select, "a file and an empty pipe", 64, &read_set, 0, 0, &none);
    TELL(select, "what is kept", "%d %d", FD_ISSET(reader, &read_set), FD_ISSET(file, &read_set));
    FD_ZERO(&read_set);
    FD_ZERO(&write_set);
    FD_ZERO(&except_set);
    FD_SET(closed_reader, &read_set);
    FD_SET(lone_writer, &write_set);
    FD_SET(writer, &write_set);
    FD_SET(file, &except_set);
    FD_SET(closed_reader, &except_set);
    CHECK(select, "all three sets", 64, &read_set, &write_set, &except_set, &far);
    TELL(select, "what the three keep", "%lx %lx %lx", read_set.fds_bits[0], write_set.fds_bits[0],
         except_set.fds_bits[0]);
    FD_ZERO(&read_set);
    FD_SET(lone_writer, &read_set);
    CHECK(select, "a written end in the set to read", 64, &read_set, 0, 0, &none);
    FD_ZERO(&read_set);
    FD_SET(60, &read_set);
    CHECK(select, "a closed one", 64, &read_set, 0, 0, &none);
    CHECK(select, "a closed one beyond the count", 60, &read_set, 0, 0, &none);
    TELL(select, "a bit beyond the count", "%d", FD_ISSET(60, &read_set));
    CHECK(select, "a negative count", -1, &read_set, 0, 0, &none);
    CHECK(select, "a negative count, negative time", -1, 0, 0, 0, &negative);
    CHECK(select, "no sets", 0, 0, 0, 0, &none);
    CHECK(select, "no sets nowhere", 0, nowhere, 0, 0, &none);
    CHECK(select, "a bad set", 64, nowhere, 0, 0, &none);
    CHECK(select, "a huge count", 1000000, 0, 0, 0, &none);
    CHECK(select, "time nowhere", 0, 0, 0, 0, nowhere);
    CHECK(select, "negative time", 0, 0, 0, 0, &negative);
    CHECK(select, "a short wait", 0, 0, 0, 0, &brief);
    TELL(select, "the time left", "%ld %ld", (long)brief.tv_sec, (long)brief.tv_usec);
    FD_ZERO(&read_set);
    FD_SET(reader, &read_set);
    brief.tv_usec = 2000;
    CHECK(select, "a short wait for a pipe", 64, &read_set, 0, 0, &brief);
    TELL(select, "what a short wait leaves", "%lx", read_set.fds_bits[0]);
    far = (struct timeval){100, 0};
    FD_ZERO(&read_set);
    FD_SET(file, &read_set);
    CHECK(select, "what is ready, with time", 64, &read_set, 0, 0, &far);
    TELL(select, "most of the time is left", "%d", far.tv_sec >= 99 && far.tv_sec <= 100);
    memset(&read_set, 0xff, sizeof read_set);
    CHECK(select, "every bit below 3", 3, 0, &read_set, 0, &none);
    TELL(select, "what every bit leaves", "%lx", read_set.fds_bits[0]);

    struct timespec at_once = {0, 0}, senseless = {0, 1000000000};
    uint64_t mask = 0;
    struct {
        void *mask;
        size_t size;
    } masked = {&mask, 8}, odd = {&mask, 16}, unmasked = {0, 16}, wild = {nowhere, 8};
    CHECK(pselect6, "at once", 0, 0, 0, 0, &at_once, 0);
    CHECK(pselect6, "senseless time", 0, 0, 0, 0, &senseless, 0);
    CHECK(pselect6, "a negative count", -1, 0, 0, 0, &at_once, 0);
    CHECK(pselect6, "a mask", 0, 0, 0, 0, &at_once, &masked);
    CHECK(pselect6, "a mask of another size", 0, 0, 0, 0, &at_once, &odd);
    CHECK(pselect6, "no mask of another size", 0, 0, 0, 0, &at_once, &unmasked);
    CHECK(pselect6, "a mask nowhere", 0, 0, 0, 0, &at_once, &wild);
    CHECK(pselect6, "the mask's place nowhere", 0, 0, 0, 0, &at_once, nowhere);
    struct timespec little = {0, 3000000};
    CHECK(pselect6, "a short wait", 0, 0, 0, 0, &little, 0);
    TELL(pselect6, "the time left", "%ld %ld", (long)little.tv_sec, little.tv_nsec);
}

void waiting(void)
{
    int ends[2];
    piped(ends, O_NONBLOCK);
    reader = ends[0];
    writer = ends[1];
    piped(ends, O_NONBLOCK);
    closed_reader = ends[0];
    CALL(close, ends[1]);
    piped(ends, O_NONBLOCK);
    lone_writer = ends[1];
    CALL(close, ends[0]);
    file = opened("/data/text", O_RDONLY);
    null = opened("/dev/null", O_RDWR);
    polls();
    selects();
}
