/* Scheduling: priorities, policies and processors, of which there is one. */
#include "check.h"
#include <sched.h>
#include <sys/resource.h>

void scheduling(void)
{
    uint64_t mask[128] = {0};
    CHECK(sched_yield, "to nobody");
    CHECK(getpriority, "of itself", PRIO_PROCESS, 0);
    CHECK(getpriority, "by its number", PRIO_PROCESS, 2);
    CHECK(getpriority, "of nobody", PRIO_PROCESS, 4711);
    CHECK(getpriority, "of the group", PRIO_PGRP, 0);
    CHECK(getpriority, "of no group", PRIO_PGRP, 4711);
    CHECK(getpriority, "of the user", PRIO_USER, 0);
    CHECK(getpriority, "of no user", PRIO_USER, 4711);
    CHECK(getpriority, "of something else", 3, 0);
    CHECK(setpriority, "as it is", PRIO_PROCESS, 0, 0);
    CHECK(setpriority, "of nobody", PRIO_PROCESS, 4711, 0);
    CHECK(setpriority, "of something else", 3, 0, 0);
    CHECK(setpriority, "more important", PRIO_PROCESS, 0, -5);
    CHECK(getpriority, "after more important", PRIO_PROCESS, 0);
    CHECK(setpriority, "less important", PRIO_PROCESS, 0, 5);
    CHECK(getpriority, "after less important", PRIO_PROCESS, 0);
    CHECK(setpriority, "back", PRIO_PROCESS, 0, 0);
    CHECK(setpriority, "least important", PRIO_PROCESS, 0, 100);
    CHECK(getpriority, "after least important", PRIO_PROCESS, 0);
    CHECK(ioprio_get, "of itself", 1, 0);
    CHECK(ioprio_get, "of nobody", 1, 4711);
    CHECK(ioprio_get, "of something else", 9, 0);
    CHECK(sched_getscheduler, "of itself", 0);
    CHECK(sched_getscheduler, "of nobody", 4711);
    CHECK(sched_getscheduler, "of a negative number", -1);
    struct sched_param parameter = {7}, real_time = {50};
    CHECK(sched_getparam, "of itself", 0, &parameter);
    TELL(sched_getparam, "what it is", "%d", parameter.sched_priority);
    CHECK(sched_getparam, "of nobody", 4711, &parameter);
    CHECK(sched_getparam, "of a negative number", -1, &parameter);
    CHECK(sched_getparam, "at null", 0, 0);
    CHECK(sched_getparam, "nowhere", 0, nowhere);
    CHECK(sched_getparam, "nowhere, of nobody", 4711, nowhere);
    CHECK(sched_setparam, "as it is", 0, &parameter);
    CHECK(sched_setparam, "of nobody", 4711, &parameter);
    CHECK(sched_setparam, "nowhere", 0, nowhere);
    CHECK(sched_setparam, "at null", 0, 0);
    CHECK(sched_setparam, "real time", 0, &real_time);
    CHECK(sched_setparam, "of a negative number", -1, &parameter);
    static const int policies[] = {0, 1, 2, 3, 4, 5, 6, 8, -1};
    for (size_t index = 0; index < sizeof policies / sizeof *policies; index++) {
        char what[32];
        snprintf(what, sizeof what, "policy %d", policies[index]);
        CHECK(sched_get_priority_max, what, policies[index]);
        CHECK(sched_get_priority_min, what, policies[index]);
    }
    CHECK_OK(sched_getaffinity, "a word", 0, 8, mask);
    TELL(sched_getaffinity, "one processor", "%d", __builtin_popcountl(mask[0]));
    CHECK_OK(sched_getaffinity, "more than there is", 0, sizeof mask, mask);
    CHECK(sched_getaffinity, "less than a word", 0, 4, mask);
    CHECK(sched_getaffinity, "no whole words", 0, 12, mask);
    CHECK(sched_getaffinity, "nothing", 0, 0, mask);
    CHECK(sched_getaffinity, "of nobody", 4711, 8, mask);
    CHECK(sched_getaffinity, "less than a word, of nobody", 4711, 4, mask);
    CHECK(sched_getaffinity, "nowhere", 0, 8, nowhere);
    CHECK(sched_getaffinity, "nowhere, of nobody", 4711, 8, nowhere);
    CHECK(sched_setaffinity, "as it is", 0, 8, mask);
    CHECK(sched_setaffinity, "nothing", 0, 0, mask);
    CHECK(sched_setaffinity, "nowhere", 0, 8, nowhere);
    CHECK(sched_setaffinity, "nowhere, of nobody", 4711, 8, nowhere);
    CHECK(sched_setaffinity, "of nobody", 4711, 8, mask);
    uint64_t none = 0, all = ~0ul;
    CHECK(sched_setaffinity, "no processor", 0, 8, &none);
    CHECK(sched_setaffinity, "all processors", 0, 8, &all);
}
