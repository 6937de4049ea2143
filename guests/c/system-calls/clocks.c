/* Clocks, sleeping, and the time that a program used. */
#include "check.h"
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>

static double seconds(clockid_t clock)
{
    struct timespec now;
    CALL(clock_gettime, clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double used(void)
{
    struct rusage usage;
    CALL(getrusage, RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static long ticks(void)
{
    struct tms tms;
    CALL(times, &tms);
    return tms.tms_utime + tms.tms_stime;
}

static void reading(void)
{
    struct timespec now;
    /* The process's and the thread's clocks, its own by number, those of nobody; a file's; numbers
       that are none. */
    static const int all[] = {
        0, 1, 2, 3, 4, 5, 6, 7, 10, 12, 15, 16, 100, -1, -2, -3, -4, -5, -6, -7, -8, -9, -10,
        -8 * 3 + 2, -8 * 3 + 6, -8 * 3, -8 * 3 + 1, -8 * 3 + 3, -8 * 100 + 2, -8 * 100 + 6, INT32_MIN,
        INT32_MIN + 2,
    };
    for (size_t index = 0; index < sizeof all / sizeof *all; index++) {
        char what[32];
        snprintf(what, sizeof what, "clock %d", all[index]);
        CHECK(clock_gettime, what, all[index], &now);
        CHECK(clock_getres, what, all[index], &now);
        if (all[index] >= 0 && all[index] < 5)
            tell("clock_getres resolution", what, "%ld %ld", (long)now.tv_sec, now.tv_nsec);
        struct timespec none = {0, 0};
        CHECK(clock_nanosleep, what, all[index], 0, &none, 0);
    }
    /* Coarse clocks are as fine here as the others; programs only expect them not to be finer. */
    CHECK(clock_getres, "no place for it", CLOCK_MONOTONIC, 0);
    CHECK(clock_getres, "nowhere", CLOCK_MONOTONIC, nowhere);
    CHECK(clock_getres, "an unknown clock nowhere", 99, nowhere);
    CHECK(clock_gettime, "nowhere", CLOCK_MONOTONIC, nowhere);
    CHECK(clock_gettime, "at null", CLOCK_REALTIME, 0);
    CHECK(clock_gettime, "an unknown clock nowhere", 99, nowhere);
    double before = seconds(CLOCK_MONOTONIC);
    TELL(clock_gettime, "goes on", "%d", seconds(CLOCK_MONOTONIC) >= before);
    TELL(clock_gettime, "is finer than a microsecond", "%d",
         (CALL(clock_gettime, 1, &now), now.tv_nsec % 1000) ||
             (CALL(clock_gettime, 1, &now), now.tv_nsec % 1000) ||
             (CALL(clock_gettime, 1, &now), now.tv_nsec % 1000));
    struct timeval day;
    struct timezone zone = {5, 5};
    CHECK(gettimeofday, "time and zone", &day, &zone);
    TELL(gettimeofday, "the zone", "%d %d", zone.tz_minuteswest, zone.tz_dsttime);
    TELL(gettimeofday, "is the real time", "%d",
         (double)day.tv_sec - seconds(CLOCK_REALTIME) < 60 && day.tv_usec < 1000000);
    CHECK(gettimeofday, "neither", 0, 0);
    CHECK(gettimeofday, "nowhere", nowhere, 0);
    CHECK(gettimeofday, "the zone nowhere", &day, nowhere);
    long moment = 0;
    TELL(time, "is what it stores", "%d", CALL(time, &moment) == moment);
    TELL(time, "without a place", "%d", CALL(time, 0) - moment < 60);
    CHECK(time, "nowhere", nowhere);
    struct tms tms;
    CHECK_OK(times, "a place", &tms);
    TELL(times, "of children", "%ld %ld", (long)tms.tms_cutime, (long)tms.tms_cstime);
    CHECK_OK(times, "no place", 0);
    CHECK(times, "nowhere", nowhere);
    TELL(times, "advances by hundredths", "%d", CALL(times, 0) >= (CALL(times, 0), 1));
}

static void sleeping(void)
{
    struct timespec none = {0, 0}, brief = {0, 2000000}, rest = {7, 7}, past = {1, 0};
    struct timespec senseless = {0, 1000000000}, negative = {-1, 0}, negative_part = {0, -1};
    CHECK(nanosleep, "not at all", &none, 0);
    CHECK(nanosleep, "a little", &brief, &rest);
    TELL(nanosleep, "the rest is not written", "%ld %ld", (long)rest.tv_sec, rest.tv_nsec);
    CHECK(nanosleep, "a little, the rest nowhere", &brief, nowhere);
    CHECK(nanosleep, "a whole second of nanoseconds", &senseless, 0);
    CHECK(nanosleep, "negative", &negative, 0);
    CHECK(nanosleep, "negative nanoseconds", &negative_part, 0);
    CHECK(nanosleep, "nowhere", nowhere, 0);
    CHECK(nanosleep, "at null", 0, 0);
    CHECK(clock_nanosleep, "a little", CLOCK_MONOTONIC, 0, &brief, 0);
    CHECK(clock_nanosleep, "until the past", CLOCK_MONOTONIC, TIMER_ABSTIME, &past, 0);
    CHECK(clock_nanosleep, "until the past, really", CLOCK_REALTIME, TIMER_ABSTIME, &past, 0);
    CHECK(clock_nanosleep, "an unknown clock", 99, 0, &brief, 0);
    CHECK(clock_nanosleep, "an unknown clock, nowhere", 99, 0, nowhere, 0);
    CHECK(clock_nanosleep, "nowhere", CLOCK_MONOTONIC, 0, nowhere, 0);
    CHECK(clock_nanosleep, "senseless", CLOCK_MONOTONIC, 0, &senseless, 0);
    CHECK(clock_nanosleep, "a raw clock, nowhere", CLOCK_MONOTONIC_RAW, 0, nowhere, 0);
    CHECK(clock_nanosleep, "the thread's clock, nowhere", CLOCK_THREAD_CPUTIME_ID, 0, nowhere, 0);
    CHECK(clock_nanosleep, "unknown flags", CLOCK_MONOTONIC, 0x7e, &brief, 0);
    struct timespec now;
    CALL(clock_gettime, CLOCK_MONOTONIC, &now);
    now.tv_nsec += 3000000;
    if (now.tv_nsec >= 1000000000) {
        now.tv_sec++;
        now.tv_nsec -= 1000000000;
    }
    double until = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    CHECK(clock_nanosleep, "until a moment", CLOCK_MONOTONIC, TIMER_ABSTIME, &now, 0);
    TELL(clock_nanosleep, "the moment has come", "%d", seconds(CLOCK_MONOTONIC) >= until);
    double before = seconds(CLOCK_MONOTONIC);
    struct timespec longer = {0, 30000000};
    CALL(nanosleep, &longer, 0);
    TELL(nanosleep, "lasts as long as it was told", "%d", seconds(CLOCK_MONOTONIC) - before >= 0.03);
}

/* Waiting is no work, and work is. Bounds are wide: the machine may be busy with something else. */
static void working(void)
{
    struct timespec nap = {0, 300000000};
    double process = seconds(CLOCK_PROCESS_CPUTIME_ID), thread = seconds(CLOCK_THREAD_CPUTIME_ID);
    double usage = used();
    long tick = ticks();
    clock_t libc = clock();
    CALL(nanosleep, &nap, 0);
    TELL(clock_gettime, "the process slept", "%d", seconds(CLOCK_PROCESS_CPUTIME_ID) - process < 0.1);
    TELL(clock_gettime, "the thread slept", "%d", seconds(CLOCK_THREAD_CPUTIME_ID) - thread < 0.1);
    TELL(clock_gettime, "as libc tells it", "%d", clock() - libc < CLOCKS_PER_SEC / 10);
    TELL(getrusage, "slept", "%d", used() - usage < 0.1);
    TELL(times, "slept", "%d", ticks() - tick < 10);
    CALL(poll, 0, 0, 200);
    TELL(clock_gettime, "the process polled", "%d", seconds(CLOCK_PROCESS_CPUTIME_ID) - process < 0.1);
    process = seconds(CLOCK_PROCESS_CPUTIME_ID);
    thread = seconds(CLOCK_THREAD_CPUTIME_ID);
    usage = used();
    tick = ticks();
    volatile unsigned long sum = 0;
    while (seconds(CLOCK_PROCESS_CPUTIME_ID) - process < 0.1)
        for (int step = 0; step < 100000; step++)
            sum += (unsigned long)step;
    TELL(clock_gettime, "the thread computed", "%d", seconds(CLOCK_THREAD_CPUTIME_ID) - thread > 0.09);
    TELL(getrusage, "computed", "%d", used() - usage > 0.08);
    TELL(times, "computed", "%d", ticks() - tick > 7);
    static char random[1 << 20];
    struct tms before, after;
    CALL(times, &before);
    process = seconds(CLOCK_PROCESS_CPUTIME_ID);
    double start = seconds(CLOCK_MONOTONIC);
    while (seconds(CLOCK_PROCESS_CPUTIME_ID) - process < 0.06 && seconds(CLOCK_MONOTONIC) - start < 5)
        CALL(getrandom, random, sizeof random, 0);
    CALL(times, &after);
    TELL(clock_gettime, "system calls count", "%d", seconds(CLOCK_PROCESS_CPUTIME_ID) - process > 0.05);
    TELL(times, "system calls count as the system's", "%d", after.tms_stime - before.tms_stime > 3);
    struct timespec computed = {0, 20000000};
    CHECK(clock_nanosleep, "until the past of the process's clock", CLOCK_PROCESS_CPUTIME_ID,
          TIMER_ABSTIME, &computed, 0);
}

static void usage(void)
{
    struct rusage usage;
    memset(&usage, 0x55, sizeof usage);
    CHECK(getrusage, "of the process", RUSAGE_SELF, &usage);
    TELL(getrusage, "microseconds are below a second", "%d", usage.ru_utime.tv_usec < 1000000);
    TELL(getrusage, "memory was used", "%d", usage.ru_maxrss > 0);
    char *area = mmap(0, 1 << 24, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(area, 1, 1 << 24);
    CALL(getppid);
    CALL(madvise, area, 1 << 24, MADV_DONTNEED);
    CALL(getrusage, RUSAGE_SELF, &usage);
    TELL(getrusage, "memory that was given back counts", "%d", usage.ru_maxrss >= 1 << 14);
    CHECK(getrusage, "of the thread", RUSAGE_THREAD, &usage);
    CHECK(getrusage, "of children", RUSAGE_CHILDREN, &usage);
    TELL(getrusage, "what children used", "%ld %ld %ld", (long)usage.ru_utime.tv_sec,
         (long)usage.ru_utime.tv_usec, usage.ru_maxrss);
    CHECK(getrusage, "of nobody", 5, &usage);
    CHECK(getrusage, "of both", -2, &usage);
    CHECK(getrusage, "of nobody, nowhere", 5, nowhere);
    CHECK(getrusage, "nowhere", RUSAGE_SELF, nowhere);
}

void clocks(void)
{
    reading();
    sleeping();
    usage();
    working();
}
