/* alarm and interval timers, by their signals: blocked, ignored, and waited for. */
#include "check.h"
#include <sys/time.h>

static const uint64_t alarm_bit = 1 << (SIGALRM - 1);

static long pending(void)
{
    uint64_t mask = 0;
    CALL(rt_sigpending, &mask, 8);
    return (long)mask;
}

static void wait_a_little(long milliseconds)
{
    struct timespec nap = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    CALL(nanosleep, &nap, 0);
}

void timers(void)
{
    struct itimerval timer = {{0, 0}, {0, 0}}, old;
    memset(&old, 0x55, sizeof old);
    CHECK(getitimer, "at first", ITIMER_REAL, &old);
    TELL(getitimer, "what is left at first", "%ld %ld %ld %ld", (long)old.it_interval.tv_sec,
         (long)old.it_interval.tv_usec, (long)old.it_value.tv_sec, (long)old.it_value.tv_usec);
    CHECK(getitimer, "an unknown one", 3, &old);
    CHECK(getitimer, "an unknown one nowhere", 3, nowhere);
    CHECK(getitimer, "nowhere", ITIMER_REAL, nowhere);
    CHECK(getitimer, "a negative one", -1, &old);
    CHECK(setitimer, "an unknown one", 3, &timer, 0);
    CHECK(setitimer, "an unknown one nowhere", 3, nowhere, 0);
    CHECK(setitimer, "nowhere", ITIMER_REAL, nowhere, 0);
    CHECK(setitimer, "to nothing", ITIMER_REAL, &timer, &old);
    CHECK(setitimer, "without a value", ITIMER_REAL, 0, &old);
    timer.it_value.tv_usec = 1000000;
    CHECK(setitimer, "senseless", ITIMER_REAL, &timer, 0);
    timer.it_value.tv_usec = -1;
    CHECK(setitimer, "negative", ITIMER_REAL, &timer, 0);
    timer = (struct itimerval){{0, 1000000}, {0, 0}};
    CHECK(setitimer, "a senseless interval", ITIMER_REAL, &timer, 0);
    CHECK(setitimer, "a senseless interval of an unknown one", 3, &timer, 0);

    CHECK(alarm, "a first one", 100);
    CHECK(alarm, "instead of the first", 50);
    CALL(getitimer, ITIMER_REAL, &old);
    TELL(getitimer, "what is left of it", "%ld %d", (long)old.it_interval.tv_sec,
         old.it_value.tv_sec >= 48 && old.it_value.tv_sec <= 50);
    timer = (struct itimerval){{7, 8}, {40, 0}};
    CHECK(setitimer, "instead of the alarm", ITIMER_REAL, &timer, &old);
    TELL(setitimer, "what was left of the alarm", "%d", old.it_value.tv_sec >= 48);
    CALL(getitimer, ITIMER_REAL, &old);
    TELL(getitimer, "its interval", "%ld %ld", (long)old.it_interval.tv_sec,
         (long)old.it_interval.tv_usec);
    TELL(alarm, "none, instead of the timer", "%d", CALL(alarm, 0) >= 39);
    CHECK(alarm, "none, instead of none", 0);

    CALL(rt_sigprocmask, 0, &alarm_bit, 0, 8);
    timer = (struct itimerval){{0, 0}, {0, 5000}};
    CHECK(setitimer, "soon, blocked", ITIMER_REAL, &timer, 0);
    wait_a_little(30);
    TELL(rt_sigpending, "when it has come", "%lx", pending());
    CALL(getitimer, ITIMER_REAL, &old);
    TELL(getitimer, "after it has come", "%ld %ld", (long)old.it_value.tv_sec,
         (long)old.it_value.tv_usec);
    siginfo_t info;
    memset(&info, 0x55, sizeof info);
    struct timespec none = {0, 0};
    CHECK(rt_sigtimedwait, "takes the alarm", &alarm_bit, &info, &none, 8);
    TELL(rt_sigtimedwait, "who sent the alarm", "%d %d %d", info.si_signo, info.si_errno, info.si_code);
    CHECK(setitimer, "soon, waited for", ITIMER_REAL, &timer, 0);
    CHECK(rt_sigtimedwait, "waits for the alarm", &alarm_bit, 0, 0, 8);
    timer = (struct itimerval){{0, 3000}, {0, 1000}};
    CHECK(setitimer, "again and again", ITIMER_REAL, &timer, 0);
    CHECK(rt_sigtimedwait, "the first time", &alarm_bit, 0, 0, 8);
    CHECK(rt_sigtimedwait, "the second time", &alarm_bit, 0, 0, 8);
    CALL(alarm, 0);
    CALL(rt_sigtimedwait, &alarm_bit, 0, &none, 8);
    TELL(rt_sigpending, "when it is stopped", "%lx", pending());
    struct {
        long handler, flags, restorer, mask;
    } ignored = {1, 0, 0, 0};
    CALL(rt_sigaction, SIGALRM, &ignored, 0, 8);
    uint64_t nothing = 0;
    CALL(rt_sigprocmask, 2, &nothing, 0, 8);
    CHECK(setitimer, "soon, ignored", ITIMER_REAL, &timer, 0);
    wait_a_little(20);
    CALL(alarm, 0);
    TELL(rt_sigpending, "what an ignored one leaves", "%lx", pending());
    timer = (struct itimerval){{0, 0}, {100, 0}};
    CHECK(setitimer, "the virtual one", ITIMER_VIRTUAL, &timer, 0);
    CHECK(setitimer, "the profiling one", ITIMER_PROF, &timer, 0);
    wait_a_little(20);
    CALL(getitimer, ITIMER_VIRTUAL, &old);
    TELL(getitimer, "the virtual one does not run while waiting", "%d", old.it_value.tv_sec >= 99);
    uint64_t virtual_bit = 1 << (SIGVTALRM - 1);
    CALL(rt_sigprocmask, 0, &virtual_bit, 0, 8);
    timer = (struct itimerval){{0, 0}, {0, 20000}};
    CHECK(setitimer, "the virtual one, soon", ITIMER_VIRTUAL, &timer, 0);
    volatile unsigned long sum = 0;
    for (int round = 0; round < 1000 && !pending(); round++)
        for (int step = 0; step < 1000000; step++)
            sum += (unsigned long)step;
    TELL(rt_sigpending, "when it was computed for", "%lx", pending());
}
