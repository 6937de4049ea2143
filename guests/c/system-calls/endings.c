/* Ways to end, by status or by signal. What prints a line behind the end did not end. */
#include "check.h"
#include <sys/resource.h>
#include <sys/time.h>

enum { SELF = 2 };

static void act(int signal, long handler)
{
    long action[4] = {handler, 0, 0, 0};
    CALL(rt_sigaction, signal, action, 0, 8);
}

static void blocked(int signal, int how)
{
    uint64_t mask = 1ul << (signal - 1);
    CALL(rt_sigprocmask, how, &mask, 0, 8);
}

static void soon(int which)
{
    struct itimerval timer = {{0, 0}, {0, 20000}};
    CALL(setitimer, which, &timer, 0);
}

/* Computes beyond a second of processor time. */
static void limited(rlim_t hard)
{
    struct rlimit limit = {1, hard};
    CALL(setrlimit, RLIMIT_CPU, &limit);
    for (;;)
        __asm__ volatile("");
}

static void write_to_nobody(void)
{
    int ends[2];
    piped(ends, 0);
    CALL(close, ends[0]);
    CHECK(write, "to nobody", ends[1], "x", 1);
}

/* With a handler for the signal. Natively it runs; a sandbox names the signal and stops. */
static int handled(const char *name)
{
    if (strcmp(name, "handled-raise") == 0) {
        act(SIGUSR1, (long)abort);
        raise(SIGUSR1);
    } else if (strcmp(name, "handled-kill") == 0) {
        act(SIGTERM, (long)abort);
        kill(getpid(), SIGTERM);
    } else if (strcmp(name, "handled-abort") == 0) {
        act(SIGABRT, (long)exit);
        abort();
    } else if (strcmp(name, "handled-pipe") == 0) {
        act(SIGPIPE, (long)abort);
        write_to_nobody();
    } else if (strcmp(name, "handled-alarm-asleep") == 0) {
        act(SIGALRM, (long)abort);
        soon(ITIMER_REAL);
        sleep(30);
    } else if (strcmp(name, "handled-alarm-at-work") == 0) {
        act(SIGALRM, (long)abort);
        soon(ITIMER_REAL);
        for (;;)
            __asm__ volatile("");
    } else if (strcmp(name, "handled-real-time") == 0) {
        act(40, (long)abort);
        blocked(40, SIG_BLOCK);
        raise(40);
        blocked(40, SIG_UNBLOCK);
    } else {
        return 0;
    }
    TELL(rt_sigaction, name, "goes on");
    return 1;
}

void ending(const char *name)
{
    uint64_t none = 0;
    if (handled(name)) {
        _exit(0);
    } else if (strcmp(name, "exit") == 0) {
        CHECK(exit, "with a status", 0x1234);
    } else if (strcmp(name, "exit_group") == 0) {
        CHECK(exit_group, "with a negative status", -1);
    } else if (strcmp(name, "kill") == 0) {
        CHECK(kill, "by its default", SELF, SIGTERM);
    } else if (strcmp(name, "kill-group") == 0) {
        CHECK(kill, "its group", 0, SIGHUP);
    } else if (strcmp(name, "kill-killed") == 0) {
        CHECK(kill, "SIGKILL", SELF, SIGKILL);
    } else if (strcmp(name, "tkill") == 0) {
        CHECK(tkill, "by its default", SELF, SIGUSR1);
    } else if (strcmp(name, "tgkill") == 0) {
        CHECK(tgkill, "one of real time", SELF, SELF, 64);
    } else if (strcmp(name, "abort") == 0) {
        abort();
    } else if (strcmp(name, "unblocked") == 0) {
        blocked(SIGUSR2, SIG_BLOCK);
        CHECK(kill, "blocked", SELF, SIGUSR2);
        blocked(SIGUSR2, SIG_UNBLOCK);
        TELL(rt_sigprocmask, "unblocked", "goes on");
    } else if (strcmp(name, "lowest-first") == 0) {
        uint64_t both = 1ul << (SIGUSR2 - 1) | 1ul << (SIGHUP - 1);
        CALL(rt_sigprocmask, SIG_BLOCK, &both, 0, 8);
        CALL(kill, SELF, SIGUSR2);
        CALL(kill, SELF, SIGHUP);
        CALL(rt_sigprocmask, SIG_UNBLOCK, &both, 0, 8);
    } else if (strcmp(name, "suspended") == 0) {
        blocked(SIGUSR1, SIG_BLOCK);
        CALL(kill, SELF, SIGUSR1);
        CHECK(rt_sigsuspend, "for one that is pending", &none, 8);
    } else if (strcmp(name, "suspended-for-a-timer") == 0) {
        soon(ITIMER_REAL);
        CHECK(rt_sigsuspend, "for a timer", &none, 8);
    } else if (strcmp(name, "pause") == 0) {
        soon(ITIMER_REAL);
        CHECK(pause, "for a timer");
    } else if (strcmp(name, "alarm-asleep") == 0) {
        soon(ITIMER_REAL);
        struct timespec nap = {30, 0};
        CHECK(nanosleep, "over a timer", &nap, 0);
    } else if (strcmp(name, "alarm-at-work") == 0) {
        soon(ITIMER_REAL);
        for (;;)
            __asm__ volatile("");
    } else if (strcmp(name, "virtual-alarm-at-work") == 0) {
        soon(ITIMER_VIRTUAL);
        for (;;)
            __asm__ volatile("");
    } else if (strcmp(name, "profiled") == 0) {
        soon(ITIMER_PROF);
        for (;;)
            CALL(getppid);
    } else if (strcmp(name, "limited") == 0) {
        limited(RLIM_INFINITY);
    } else if (strcmp(name, "limited-hard") == 0) {
        limited(1);
    } else if (strcmp(name, "alarm-while-reading") == 0) {
        int ends[2];
        char byte;
        piped(ends, 0);
        soon(ITIMER_REAL);
        CHECK(read, "a pipe that stays empty", ends[0], &byte, 1);
    } else if (strcmp(name, "alarm-while-polling") == 0) {
        soon(ITIMER_REAL);
        CHECK(poll, "nothing", 0, 0, -1);
    } else if (strcmp(name, "alarm-while-waiting") == 0) {
        static uint32_t word;
        soon(ITIMER_REAL);
        CHECK(futex, "that nobody wakes", &word, 0, 0, 0);
    } else if (strcmp(name, "broken-pipe") == 0) {
        write_to_nobody();
    } else if (strcmp(name, "ignored-then-default") == 0) {
        act(SIGTERM, 1);
        CHECK(kill, "ignored", SELF, SIGTERM);
        act(SIGTERM, 0);
        CHECK(kill, "by its default again", SELF, SIGTERM);
    } else if (strcmp(name, "rt_sigreturn") == 0) {
        /* Without a frame to return from: the stack pointer leads nowhere. */
        __asm__ volatile("mov $64, %%rsp; syscall" : : "a"(SYS_rt_sigreturn) : "memory");
    } else if (strcmp(name, "segmentation-fault") == 0) {
        *(volatile char *)nowhere = 1;
    } else {
        _exit(2);
    }
}
