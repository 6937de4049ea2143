/* What threads use, in a program with one: futex, robust lists, membarrier; and random bytes. */
#include "check.h"
#include <linux/futex.h>

static void futexes(void)
{
    static uint32_t word = 7, other = 9;
    struct timespec none = {0, 0}, brief = {0, 3000000}, senseless = {0, 1000000000}, past = {1, 0};
    CHECK(futex, "wakes nobody", &word, FUTEX_WAKE, 1);
    CHECK(futex, "wakes nobody, privately", &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX);
    CHECK(futex, "wakes at an odd place", (char *)&word + 1, FUTEX_WAKE, 1);
    CHECK(futex, "wakes privately at nowhere", nowhere, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
    CHECK(futex, "wakes at nowhere", nowhere, FUTEX_WAKE, 1);
    CHECK(futex, "wakes in the kernel", -4096, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
    CHECK(futex, "waits for another value", &word, FUTEX_WAIT, 8, 0);
    CHECK(futex, "waits for another value, with time", &word, FUTEX_WAIT, 8, &brief);
    CHECK(futex, "waits a while", &word, FUTEX_WAIT, 7, &brief);
    CHECK(futex, "waits no time", &word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 7, &none);
    CHECK(futex, "waits a senseless time", &word, FUTEX_WAIT, 7, &senseless);
    CHECK(futex, "waits a senseless time for another value", &word, FUTEX_WAIT, 8, &senseless);
    CHECK(futex, "waits with time nowhere", &word, FUTEX_WAIT, 7, nowhere);
    CHECK(futex, "waits at an odd place, time nowhere", (char *)&word + 1, FUTEX_WAIT, 7, nowhere);
    CHECK(futex, "waits at an odd place", (char *)&word + 1, FUTEX_WAIT, 7, &brief);
    CHECK(futex, "waits at nowhere", nowhere, FUTEX_WAIT, 7, &brief);
    CHECK(futex, "waits by the real clock", &word, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 7, &past);
    CHECK(futex, "waits by a set, until the past", &word, FUTEX_WAIT_BITSET, 7, &past, 0, -1);
    CHECK(futex, "waits by a set, until the real past", &word,
          FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 7, &past, 0, -1);
    CHECK(futex, "waits by an empty set", &word, FUTEX_WAIT_BITSET, 7, &past, 0, 0);
    CHECK(futex, "waits by a set for another value", &word, FUTEX_WAIT_BITSET, 8, &past, 0, 1);
    CHECK(futex, "wakes by an empty set", &word, FUTEX_WAKE_BITSET, 1, 0, 0, 0);
    CHECK(futex, "wakes by a set", &word, FUTEX_WAKE_BITSET, 1, 0, 0, -1);
    CHECK(futex, "wakes by the real clock", &word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1);
    CHECK(futex, "requeues nobody", &word, FUTEX_REQUEUE, 1, 1, &other);
    CHECK(futex, "requeues to an odd place", &word, FUTEX_REQUEUE, 1, 1, (char *)&other + 1);
    CHECK(futex, "requeues a negative number", &word, FUTEX_REQUEUE, 1, -1, &other);
    CHECK(futex, "requeues by another value", &word, FUTEX_CMP_REQUEUE, 1, 1, &other, 8);
    CHECK(futex, "requeues by its value", &word, FUTEX_CMP_REQUEUE, 1, 1, &other, 7);
    CHECK(futex, "requeues at nowhere", nowhere, FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG, 1, 1, &other, 8);
    CHECK(futex, "wakes two", &word, FUTEX_WAKE_OP, 1, 1, &other, FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 9));
    TELL(futex, "what the operation leaves", "%u", other);
    CHECK(futex, "wakes two, the second nowhere", &word, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, 1, nowhere,
          FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 9));
    CHECK(futex, "an unknown operation", &word, 99, 1);
    CHECK(futex, "an operation of the past", &word, 2, 1);
    CHECK(futex, "an unknown operation at an odd place", (char *)&word + 1, 99, 1);
}

static void others(void)
{
    static char list[24];
    CHECK(set_robust_list, "a list", list, 24);
    CHECK(set_robust_list, "a list of another size", list, 16);
    CHECK(set_robust_list, "a list nowhere", nowhere, 24);
    CHECK_OK(membarrier, "asks what there is", 0, 0, 0);
    CHECK(membarrier, "asks with a flag", 0, 1, 0);
    CHECK(membarrier, "an unknown command", 1 << 20, 0, 0);
    CHECK(membarrier, "a negative command", -1, 0, 0);
}

static void randomness(void)
{
    unsigned char bytes[64] = {0};
    CHECK(getrandom, "some", bytes, 64, 0);
    int any = 0;
    for (int index = 0; index < 64; index++)
        any |= bytes[index];
    TELL(getrandom, "not all are zero", "%d", any != 0);
    CHECK(getrandom, "none", bytes, 0, 0);
    CHECK(getrandom, "none nowhere", nowhere, 0, 0);
    CHECK(getrandom, "nowhere", nowhere, 16, 0);
    CHECK(getrandom, "half of nowhere", edge - 5, 16, 0);
    CHECK(getrandom, "without waiting", bytes, 16, 1);
    CHECK(getrandom, "the blocking source", bytes, 16, 2);
    CHECK(getrandom, "insecure", bytes, 16, 4);
    CHECK(getrandom, "both sources", bytes, 16, 6);
    CHECK(getrandom, "an unknown flag", bytes, 16, 8);
    CHECK(getrandom, "an unknown flag, none, nowhere", nowhere, 0, 8);
    CHECK(getrandom, "a size with its sign set, at the edge", edge - 5, -1, 0);
}

static void programs(void)
{
    char *arguments[] = {"x", 0};
    CHECK(execve, "nothing", "/none", arguments, 0);
    CHECK(execve, "no name", "", arguments, 0);
    CHECK(execve, "a directory", "/data", arguments, 0);
    CHECK(execve, "a file that may not be run", "/data/text", arguments, 0);
    CHECK(execve, "below a file", "/data/text/x", arguments, 0);
    CHECK(execve, "a program with a slash", "/bin/system-calls/", arguments, 0);
    CHECK(execve, "a bad pointer", nowhere, arguments, 0);
    CHECK(execve, "a device", "/dev/null", arguments, 0);
}

void threads(void)
{
    futexes();
    others();
    randomness();
    programs();
}
