/*
 * system-calls [native] <family>: the checks of one family.
 * system-calls [native] chance <seed>: calls by chance.
 * system-calls [native] ends <way>: a way to end.
 */
#include "check.h"
#include <stdarg.h>

char *const nowhere = (char *)16;
char *edge;
const char *constant;

static const struct family families[] = {
    {"descriptors", descriptors}, {"paths", paths},           {"changes", changes},
    {"status", status},           {"directories", directories}, {"transfers", transfers},
    {"pipes", pipes},             {"waiting", waiting},       {"clocks", clocks},
    {"timers", timers},           {"identity", identity},     {"limits", limits},
    {"scheduling", scheduling},   {"signals", signals},       {"memory", memory},
    {"threads", threads},
};

long raw(long number, const long *a)
{
    register long r10 __asm__("r10") = a[3];
    register long r8 __asm__("r8") = a[4];
    register long r9 __asm__("r9") = a[5];
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* One write a line, so that whatever ends the program loses none. */
static void line(const char *text, int length)
{
    CALL(write, 1, text, length);
}

void tell(const char *call, const char *what, const char *format, ...)
{
    char text[1024];
    int length = snprintf(text, sizeof text, "%s: %s = ", call, what);
    va_list values;
    va_start(values, format);
    length += vsnprintf(text + length, sizeof text - (size_t)length - 1, format, values);
    va_end(values);
    text[length++] = '\n';
    line(text, length);
}

long told(const char *call, const char *what, long result, int exact)
{
    if (result < 0 && result > -4096) {
        const char *name = strerrorname_np((int)-result);
        tell(call, what, "%s", name ? name : "?");
    } else if (exact) {
        tell(call, what, "%ld", result);
    } else {
        tell(call, what, "ok");
    }
    return result;
}

int opened(const char *path, int flags)
{
    long descriptor = CALL(openat, AT_FDCWD, path, flags, 0);
    if (descriptor < 0) {
        tell("opened", path, "%ld", descriptor);
        exit(3);
    }
    return (int)descriptor;
}

void piped(int ends[2], int flags)
{
    long result = CALL(pipe2, ends, flags);
    if (result < 0) {
        tell("piped", "two ends", "%ld", result);
        exit(3);
    }
}

int main(int count, char **arguments)
{
    if (count > 1 && strcmp(arguments[1], "native") == 0) {
        enter_native_world();
        arguments++;
        count--;
    }
    char *area = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED || mprotect(area + PAGE, PAGE, PROT_NONE) != 0 ||
        mprotect(area + 3 * PAGE, PAGE, PROT_NONE) != 0)
        return 2;
    edge = area + PAGE;
    strcpy(area + 2 * PAGE, "constant");
    if (mprotect(area + 2 * PAGE, PAGE, PROT_READ) != 0)
        return 2;
    constant = area + 2 * PAGE;
    if (count == 3 && strcmp(arguments[1], "ends") == 0) {
        ending(arguments[2]);
        return 0;
    }
    if (count == 3 && strcmp(arguments[1], "chance") == 0) {
        chance(arguments[2]);
        return 0;
    }
    for (size_t index = 0; index < sizeof families / sizeof *families; index++)
        if (count == 2 && strcmp(arguments[1], families[index].name) == 0) {
            families[index].checks();
            return 0;
        }
    return 2;
}
