/* Limits of resources. */
#include "check.h"
#include <sys/resource.h>

void limits(void)
{
    struct rlimit limit;
    /* Processes: one here, for there is never another. */
    for (int resource = 0; resource < 16; resource++) {
        char what[32];
        snprintf(what, sizeof what, "resource %d", resource);
        limit = (struct rlimit){5, 5};
        CHECK(getrlimit, what, resource, &limit);
        if (resource != RLIMIT_NPROC)
            tell("getrlimit values", what, "%lx %lx", limit.rlim_cur, limit.rlim_max);
    }
    CHECK(getrlimit, "an unknown one", 16, &limit);
    CHECK(getrlimit, "a negative one", -1, &limit);
    CHECK(getrlimit, "an unknown one nowhere", 16, nowhere);
    CHECK(getrlimit, "nowhere", RLIMIT_AS, nowhere);
    CHECK(getrlimit, "at null", RLIMIT_AS, 0);
    limit = (struct rlimit){100, 200};
    CHECK(setrlimit, "lower", RLIMIT_FSIZE, &limit);
    CHECK(getrlimit, "what was lowered", RLIMIT_FSIZE, &limit);
    TELL(getrlimit, "what is lower", "%lu %lu", limit.rlim_cur, limit.rlim_max);
    limit = (struct rlimit){200, 200};
    CHECK(setrlimit, "up to the hard limit", RLIMIT_FSIZE, &limit);
    limit = (struct rlimit){300, 200};
    CHECK(setrlimit, "above the hard limit", RLIMIT_FSIZE, &limit);
    limit = (struct rlimit){300, 300};
    CHECK(setrlimit, "raised", RLIMIT_FSIZE, &limit);
    CHECK(setrlimit, "an unknown one", 16, &limit);
    CHECK(setrlimit, "an unknown one nowhere", 16, nowhere);
    CHECK(setrlimit, "nowhere", RLIMIT_FSIZE, nowhere);
    CHECK(setrlimit, "at null", RLIMIT_FSIZE, 0);
    limit = (struct rlimit){1000, RLIM_INFINITY};
    CHECK(setrlimit, "processor time", RLIMIT_CPU, &limit);
    limit = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
    CALL(setrlimit, RLIMIT_CPU, &limit);
    limit = (struct rlimit){1025, 1025};
    CHECK(setrlimit, "more descriptors than there may be", RLIMIT_NOFILE, &limit);
    struct rlimit old = {1, 1};
    CHECK(prlimit64, "of itself", 0, RLIMIT_FSIZE, 0, &old);
    TELL(prlimit64, "what it was", "%lu %lu", old.rlim_cur, old.rlim_max);
    CHECK(prlimit64, "by its number", 2, RLIMIT_FSIZE, 0, &old);
    CHECK(prlimit64, "of nobody", 4711, RLIMIT_FSIZE, 0, &old);
    CHECK(prlimit64, "of a negative number", -1, RLIMIT_FSIZE, 0, &old);
    CHECK(prlimit64, "an unknown one of nobody", 4711, 99, 0, &old);
    CHECK(prlimit64, "nowhere, of nobody", 4711, RLIMIT_FSIZE, nowhere, &old);
    CHECK(prlimit64, "an unknown one", 0, 99, 0, &old);
    CHECK(prlimit64, "neither", 0, RLIMIT_FSIZE, 0, 0);
    limit = (struct rlimit){50, 150};
    CHECK(prlimit64, "new and old", 0, RLIMIT_FSIZE, &limit, &old);
    TELL(prlimit64, "what was old", "%lu %lu", old.rlim_cur, old.rlim_max);
    limit = (struct rlimit){40, 140};
    CHECK(prlimit64, "new, and the old nowhere", 0, RLIMIT_FSIZE, &limit, nowhere);
    CALL(getrlimit, RLIMIT_FSIZE, &old);
    TELL(prlimit64, "what is new nevertheless", "%lu %lu", old.rlim_cur, old.rlim_max);
    CHECK(prlimit64, "new nowhere", 0, RLIMIT_FSIZE, nowhere, 0);
}
