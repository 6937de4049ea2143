/* Signals that a program sends to itself: blocked, ignored, pending, waited for. */
#include "check.h"

struct action {
    long handler;
    long flags;
    long restorer;
    uint64_t mask;
};

enum { SELF = 2 };

static uint64_t bit(int signal)
{
    return 1ul << (signal - 1);
}

static void pending(const char *what)
{
    uint64_t mask = 0;
    CALL(rt_sigpending, &mask, 8);
    TELL(rt_sigpending, what, "%lx", (long)mask);
}

static void dispositions(void)
{
    struct action action = {0x1234000, 0x04000000, 0x5678, ~0ul}, old;
    memset(&old, 0x55, sizeof old);
    CHECK(rt_sigaction, "a handler", SIGUSR1, &action, &old, 8);
    TELL(rt_sigaction, "what was before", "%lx %lx %lx", old.handler, old.flags, (long)old.mask);
    CHECK(rt_sigaction, "reads it back", SIGUSR1, 0, &old, 8);
    TELL(rt_sigaction, "what is read back", "%lx %lx %lx %lx", old.handler, old.flags, old.restorer,
         (long)old.mask);
    action.flags = 0x7fff0fff;
    CHECK(rt_sigaction, "flags that are none", SIGUSR1, &action, 0, 8);
    CALL(rt_sigaction, SIGUSR1, 0, &old, 8);
    TELL(rt_sigaction, "what is kept of flags", "%lx", old.flags);
    CHECK(rt_sigaction, "another size", SIGUSR1, &action, 0, 16);
    CHECK(rt_sigaction, "another size, an unknown signal", 65, &action, 0, 16);
    CHECK(rt_sigaction, "an unknown signal", 65, &action, 0, 8);
    CHECK(rt_sigaction, "no signal", 0, &action, 0, 8);
    CHECK(rt_sigaction, "a negative signal", -1, 0, &old, 8);
    CHECK(rt_sigaction, "an unknown signal nowhere", 65, nowhere, 0, 8);
    CHECK(rt_sigaction, "SIGKILL", SIGKILL, &action, 0, 8);
    CHECK(rt_sigaction, "SIGKILL nowhere", SIGKILL, nowhere, 0, 8);
    CHECK(rt_sigaction, "SIGSTOP", SIGSTOP, &action, 0, 8);
    CHECK(rt_sigaction, "SIGKILL is read", SIGKILL, 0, &old, 8);
    CHECK(rt_sigaction, "nowhere", SIGUSR1, nowhere, 0, 8);
    CHECK(rt_sigaction, "the old one nowhere", SIGUSR1, 0, nowhere, 8);
    action = (struct action){1, 0, 0, 0};
    CHECK(rt_sigaction, "new, and the old one nowhere", SIGUSR1, &action, nowhere, 8);
    CALL(rt_sigaction, SIGUSR1, 0, &old, 8);
    TELL(rt_sigaction, "what is new nevertheless", "%lx", old.handler);
    CHECK(rt_sigaction, "neither", SIGUSR1, 0, 0, 8);
    CHECK(rt_sigaction, "the last signal", 64, &action, 0, 8);
}

static void masks(void)
{
    uint64_t set = bit(SIGUSR1) | bit(SIGKILL) | bit(SIGSTOP) | bit(64), old = 5;
    CHECK(rt_sigprocmask, "blocks", 0, &set, &old, 8);
    TELL(rt_sigprocmask, "what was blocked", "%lx", (long)old);
    CHECK(rt_sigprocmask, "reads", 0, 0, &old, 8);
    TELL(rt_sigprocmask, "what is blocked", "%lx", (long)old);
    CHECK(rt_sigprocmask, "an unknown way to read", 9, 0, &old, 8);
    CHECK(rt_sigprocmask, "an unknown way", 3, &set, 0, 8);
    CHECK(rt_sigprocmask, "an unknown way nowhere", 3, nowhere, 0, 8);
    CHECK(rt_sigprocmask, "an unknown way, the old one nowhere", 3, &set, nowhere, 8);
    CHECK(rt_sigprocmask, "another size", 0, &set, 0, 4);
    CHECK(rt_sigprocmask, "another size nowhere", 0, nowhere, 0, 16);
    CHECK(rt_sigprocmask, "nowhere", 0, nowhere, 0, 8);
    uint64_t more = bit(SIGUSR2);
    CHECK(rt_sigprocmask, "blocks, and the old one nowhere", 0, &more, nowhere, 8);
    CALL(rt_sigprocmask, 0, 0, &old, 8);
    TELL(rt_sigprocmask, "what is blocked nevertheless", "%lx", (long)old);
    CHECK(rt_sigprocmask, "unblocks", 1, &set, 0, 8);
    CHECK(rt_sigprocmask, "sets", 2, &more, &old, 8);
    more = 0;
    CHECK(rt_sigprocmask, "sets to none", 2, &more, &old, 8);
    CHECK(rt_sigpending, "half a set", &old, 4);
    CHECK(rt_sigpending, "more than a set", &old, 9);
    CHECK(rt_sigpending, "no set", &old, 0);
    CHECK(rt_sigpending, "no set nowhere", nowhere, 0);
    CHECK(rt_sigpending, "nowhere", nowhere, 8);
}

static void sending(void)
{
    struct action by_default = {0}, ignored = {1, 0, 0, 0};
    uint64_t all = ~0ul, none = 0;
    CHECK(kill, "nothing to itself", SELF, 0);
    CHECK(kill, "nothing to its group", 0, 0);
    CHECK(kill, "nothing to its group by number", -SELF, 0);
    CHECK(kill, "nothing to nobody", 4711, 0);
    CHECK(kill, "nothing to no group", -4711, 0);
    CHECK(kill, "an unknown signal", SELF, 65);
    CHECK(kill, "an unknown signal to nobody", 4711, 65);
    CHECK(kill, "a negative signal", SELF, -1);
    CHECK(kill, "the smallest number", INT32_MIN, 0);
    CHECK(kill, "nothing to the parent", 1, 0);
    CHECK(kill, "the parent, which does not mind", 1, SIGTERM);
    CHECK(kill, "an unknown signal to the parent", 1, 65);
    CHECK(tkill, "nothing to itself", SELF, 0);
    CHECK(tkill, "no thread", 0, 0);
    CHECK(tkill, "a negative thread", -1, 0);
    CHECK(tkill, "nobody", 4711, 0);
    CHECK(tkill, "an unknown signal", SELF, 65);
    CHECK(tkill, "an unknown signal to nobody", 4711, 65);
    CHECK(tgkill, "nothing to itself", SELF, SELF, 0);
    CHECK(tgkill, "no group", 0, SELF, 0);
    CHECK(tgkill, "no thread", SELF, 0, 0);
    CHECK(tgkill, "another's thread", 4711, SELF, 0);
    CHECK(tgkill, "nobody", SELF, 4711, 0);
    CHECK(tgkill, "an unknown signal", SELF, SELF, 65);
    CHECK(tgkill, "any group", -1, SELF, 0);
    CHECK(kill, "ignored by default", SELF, SIGCHLD);
    CHECK(kill, "SIGURG", SELF, SIGURG);
    CHECK(kill, "SIGWINCH", SELF, SIGWINCH);
    CHECK(kill, "SIGCONT", SELF, SIGCONT);
    CALL(rt_sigaction, SIGTERM, &ignored, 0, 8);
    CHECK(kill, "ignored", SELF, SIGTERM);
    CALL(rt_sigprocmask, 2, &all, 0, 8);
    CHECK(kill, "ignored and blocked", SELF, SIGTERM);
    pending("an ignored and blocked one");
    CALL(rt_sigaction, SIGTERM, &by_default, 0, 8);
    CHECK(kill, "blocked", SELF, SIGTERM);
    CHECK(kill, "blocked, twice", SELF, SIGTERM);
    CHECK(tgkill, "blocked", SELF, SELF, SIGUSR1);
    CHECK(kill, "ignored by default, blocked", SELF, SIGCHLD);
    CHECK(kill, "SIGCONT, blocked", SELF, SIGCONT);
    CHECK(kill, "one of real time", SELF, 40);
    pending("blocked ones");
    CALL(rt_sigaction, SIGTERM, &ignored, 0, 8);
    pending("after one is ignored");
    CALL(rt_sigaction, SIGCHLD, &by_default, 0, 8);
    pending("after the default ignores one");

    siginfo_t info;
    struct timespec at_once = {0, 0}, brief = {0, 5000000}, senseless = {0, -1};
    uint64_t usr1 = bit(SIGUSR1), usr2 = bit(SIGUSR2), both = usr1 | usr2;
    memset(&info, 0x55, sizeof info);
    CHECK(rt_sigtimedwait, "one that is pending", &usr1, &info, &at_once, 8);
    TELL(rt_sigtimedwait, "who sent it", "%d %d %d %d %d", info.si_signo, info.si_errno, info.si_code,
         info.si_pid, info.si_uid);
    CHECK(rt_sigtimedwait, "none pending", &usr1, &info, &at_once, 8);
    CHECK(rt_sigtimedwait, "none for a while", &both, &info, &brief, 8);
    CHECK(rt_sigtimedwait, "senseless time", &usr1, &info, &senseless, 8);
    CHECK(rt_sigtimedwait, "another size", &usr1, &info, &at_once, 4);
    CHECK(rt_sigtimedwait, "no set", nowhere, &info, &at_once, 8);
    CHECK(rt_sigtimedwait, "time nowhere", &usr1, &info, nowhere, 8);
    CALL(kill, SELF, SIGUSR2);
    CALL(kill, SELF, SIGUSR1);
    memset(&info, 0x55, sizeof info);
    CHECK(rt_sigtimedwait, "the lower one first", &both, &info, 0, 8);
    TELL(rt_sigtimedwait, "kill's code", "%d", info.si_code);
    CHECK(rt_sigtimedwait, "then the other, nowhere", &both, nowhere, 0, 8);
    pending("after it was taken nowhere");
    CALL(rt_sigtimedwait, &both, 0, &at_once, 8);
    uint64_t real_time = bit(40);
    CALL(kill, SELF, 40);
    CHECK(rt_sigtimedwait, "the first of two of real time", &real_time, 0, &at_once, 8);
    CHECK(rt_sigtimedwait, "the second of two of real time", &real_time, 0, &at_once, 8);
    CHECK(rt_sigtimedwait, "no third of real time", &real_time, 0, &at_once, 8);
    uint64_t unblockable = bit(SIGKILL) | bit(SIGSTOP);
    CHECK(rt_sigtimedwait, "what cannot be blocked", &unblockable, 0, &at_once, 8);

    siginfo_t queued = {.si_code = SI_QUEUE};
    queued.si_value.sival_int = 77;
    CHECK(rt_sigqueueinfo, "to itself", SELF, SIGUSR1, &queued);
    memset(&info, 0, sizeof info);
    CHECK(rt_sigtimedwait, "what was queued", &usr1, &info, &at_once, 8);
    TELL(rt_sigtimedwait, "the value that was queued", "%d %d", info.si_code, info.si_value.sival_int);
    CHECK(rt_sigqueueinfo, "nowhere", SELF, SIGUSR1, nowhere);
    CHECK(rt_sigqueueinfo, "nowhere, to nobody", 4711, SIGUSR1, nowhere);
    CHECK(rt_sigqueueinfo, "to nobody", 4711, SIGUSR1, &queued);
    CHECK(rt_sigqueueinfo, "an unknown signal", SELF, 65, &queued);
    CHECK(rt_sigqueueinfo, "no signal", SELF, 0, &queued);
    queued.si_code = SI_USER;
    CHECK(rt_sigqueueinfo, "as the kernel, to itself", SELF, 0, &queued);
    CHECK(rt_sigqueueinfo, "as the kernel, to nobody", 4711, 0, &queued);
    queued.si_code = SI_QUEUE;
    CHECK(rt_tgsigqueueinfo, "to itself", SELF, SELF, SIGUSR1, &queued);
    CHECK(rt_sigtimedwait, "what was queued for a thread", &usr1, 0, &at_once, 8);
    CHECK(rt_tgsigqueueinfo, "no thread", SELF, 0, SIGUSR1, &queued);
    CHECK(rt_tgsigqueueinfo, "nowhere", SELF, SELF, SIGUSR1, nowhere);
    CHECK(rt_tgsigqueueinfo, "nobody", SELF, 4711, SIGUSR1, &queued);

    CHECK(rt_sigsuspend, "another size", &none, 4);
    CHECK(rt_sigsuspend, "nowhere", nowhere, 8);
    CALL(rt_sigtimedwait, &all, 0, &at_once, 8);
    while (CALL(rt_sigtimedwait, &all, 0, &at_once, 8) > 0)
        ;
    pending("after all were taken");
    CALL(rt_sigprocmask, 2, &none, 0, 8);
}

static stack_t *alternate(char *start, int flags, size_t size)
{
    static stack_t stack;
    stack = (stack_t){start, flags, size};
    return &stack;
}

static void stacks(void)
{
    stack_t stack = {edge - PAGE, 0, PAGE}, old;
    memset(&old, 0x55, sizeof old);
    CHECK(sigaltstack, "reads", 0, &old);
    TELL(sigaltstack, "what it is at first", "%d %d %d", old.ss_sp == 0, old.ss_flags, (int)old.ss_size);
    CHECK(sigaltstack, "sets", &stack, 0);
    CHECK(sigaltstack, "reads and disables", alternate(nowhere, SS_DISABLE, 5), &old);
    TELL(sigaltstack, "what it was", "%d %d %d", old.ss_sp == stack.ss_sp, old.ss_flags, (int)old.ss_size);
    CHECK(sigaltstack, "reads a disabled one", 0, &old);
    TELL(sigaltstack, "what a disabled one is", "%d %d %d", old.ss_sp == 0, old.ss_flags, (int)old.ss_size);
    CHECK(sigaltstack, "SS_ONSTACK", alternate(edge - PAGE, SS_ONSTACK, PAGE), 0);
    CHECK(sigaltstack, "SS_AUTODISARM", alternate(edge - PAGE, (int)(1u << 31), PAGE), 0);
    CALL(sigaltstack, 0, &old);
    TELL(sigaltstack, "what SS_AUTODISARM is", "%x", (unsigned)old.ss_flags);
    CHECK(sigaltstack, "too small", alternate(edge - PAGE, 0, 100), 0);
    CHECK(sigaltstack, "an unknown flag", alternate(edge - PAGE, 64, PAGE), 0);
    CHECK(sigaltstack, "an unknown flag, too small", alternate(edge - PAGE, 64, 100), 0);
    CHECK(sigaltstack, "nowhere", nowhere, 0);
    CHECK(sigaltstack, "the old one nowhere", 0, nowhere);
    CHECK(sigaltstack, "neither", 0, 0);
}

void signals(void)
{
    dispositions();
    masks();
    sending();
    stacks();
}
