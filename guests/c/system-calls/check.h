/*
 * What every family of checks shares. A check makes one system call, without libc in between, and
 * prints one line: `call: what = result`. The same program runs natively and in a sandbox, and
 * crates/sandbox/tests/system_calls.rs compares what it prints.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096 };

/* Every argument as the whole register that the kernel sees. */
#define LONGS_0()
#define LONGS_1(a) (long)(a)
#define LONGS_2(a, ...) (long)(a), LONGS_1(__VA_ARGS__)
#define LONGS_3(a, ...) (long)(a), LONGS_2(__VA_ARGS__)
#define LONGS_4(a, ...) (long)(a), LONGS_3(__VA_ARGS__)
#define LONGS_5(a, ...) (long)(a), LONGS_4(__VA_ARGS__)
#define LONGS_6(a, ...) (long)(a), LONGS_5(__VA_ARGS__)
#define PICK(a, b, c, d, e, f, n, ...) LONGS_##n
#define LONGS(...) __VA_OPT__(PICK(__VA_ARGS__, 6, 5, 4, 3, 2, 1)(__VA_ARGS__))
#define REGISTERS(...) (const long[6]){LONGS(__VA_ARGS__)}

/* The result as the kernel leaves it: a value, or the negative of an error number. */
#define CALL(call, ...) raw(SYS_##call, REGISTERS(__VA_ARGS__))
/* Prints the result itself. */
#define CHECK(call, what, ...) told(#call, what, CALL(call __VA_OPT__(, ) __VA_ARGS__), 1)
/* Prints `ok` for any result that is no error: for addresses and other numbers that may differ. */
#define CHECK_OK(call, what, ...) told(#call, what, CALL(call __VA_OPT__(, ) __VA_ARGS__), 0)
/* Prints something that a call left behind. */
#define TELL(call, what, ...) tell(#call, what, __VA_ARGS__)

long raw(long number, const long *arguments);
long told(const char *call, const char *what, long result, int exact);
void tell(const char *call, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* An address at which nothing can be read or written. */
extern char *const nowhere;
/* The first byte that cannot be read, behind a page that can be read and written. */
extern char *edge;
/* A page of read-only memory that holds text. */
extern const char *constant;

/* Opens a path; what cannot be opened ends the program, for the checks that need it mean nothing. */
int opened(const char *path, int flags);
/* Two ends of a new pipe. */
void piped(int ends[2], int flags);

struct family {
    const char *name;
    void (*checks)(void);
};

void descriptors(void);
void paths(void);
void changes(void);
void status(void);
void directories(void);
void transfers(void);
void pipes(void);
void waiting(void);
void clocks(void);
void timers(void);
void identity(void);
void limits(void);
void scheduling(void);
void signals(void);
void memory(void);
void threads(void);

/* Calls by chance, from a seed. */
void chance(const char *seed);

/* Ways to end; each is a program run of its own. */
void ending(const char *name);

/* Goes into a world like the one inside: the same files, read-only, processes, limits and rights. */
void enter_native_world(void);

#endif
