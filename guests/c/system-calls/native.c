/*
 * The world in which the checks run natively. Everything in it is what a guest has: a read-only
 * tree of a few files on a tmpfs, devices, /proc, process number 2 with parent 1, one processor, and
 * root without a single capability. It needs namespaces: root's, or those of an ordinary user where
 * the machine lets him have them.
 */
#include "check.h"
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* The test takes this status for "this machine cannot make such a world". */
enum { NO_WORLD = 77 };

static void needs(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "native world: %s: %s\n", what, strerror(errno));
    _exit(NO_WORLD);
}

static void put(const char *path, const char *text, size_t count)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    needs(file >= 0 && write(file, text, count) == (ssize_t)count && close(file) == 0, path);
}

static void write_map(const char *path, unsigned id)
{
    char map[64];
    int length = snprintf(map, sizeof map, "0 %u 1", id);
    int file = open(path, O_WRONLY);
    needs(file >= 0 && write(file, map, (size_t)length) == length && close(file) == 0, path);
}

static void own_namespaces(void)
{
    unsigned user = geteuid(), group = getegid();
    int wanted = CLONE_NEWNS | CLONE_NEWPID;
    if (user == 0 && unshare(wanted) == 0)
        return;
    needs(unshare(wanted | CLONE_NEWUSER) == 0, "unshare");
    put("/proc/self/setgroups", "deny", 4);
    write_map("/proc/self/uid_map", user);
    write_map("/proc/self/gid_map", group);
}

/* Waits for a child and ends as it did, in the way in which a shell says so. */
static void end_as(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) != child)
        ;
    _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

static void fork_below(void)
{
    pid_t child = fork();
    needs(child >= 0, "fork");
    if (child > 0)
        end_as(child);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void device(const char *name)
{
    char from[64], to[64];
    snprintf(from, sizeof from, "/dev/%s", name);
    snprintf(to, sizeof to, "dev/%s", name);
    put(to, "", 0);
    needs(mount(from, to, 0, MS_BIND, 0) == 0, from);
    needs(mount(0, to, 0, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, 0) == 0, to);
}

/* The files that the test gives to the guest, and those that every guest has. */
static void fill_tree(void)
{
    static char large[100000];
    for (size_t at = 0; at < sizeof large; at++)
        large[at] = (char)('a' + at % 26);
    static const char *const directories[] = {
        "bin", "data", "data/deep", "dev", "etc", "proc", "sys", "tmp",
    };
    for (size_t index = 0; index < sizeof directories / sizeof *directories; index++)
        needs(mkdir(directories[index], 0755) == 0, directories[index]);
    put("bin/system-calls", "program", 7);
    needs(chmod("bin/system-calls", 0555) == 0, "chmod");
    put("data/empty", "", 0);
    put("data/large", large, sizeof large);
    put("data/text", "hello, world\n", 13);
    put("data/deep/file", "contents", 8);
    static const char *const files[] = {"data/empty", "data/large", "data/text", "data/deep/file"};
    for (size_t index = 0; index < sizeof files / sizeof *files; index++)
        needs(chmod(files[index], 0444) == 0, files[index]);
    static const char *const names[] = {"full", "null", "random", "urandom", "zero"};
    for (size_t index = 0; index < sizeof names / sizeof *names; index++)
        device(names[index]);
    static const char *const links[][2] = {
        {"/proc/self/fd", "dev/fd"},
        {"/proc/self/fd/0", "dev/stdin"},
        {"/proc/self/fd/1", "dev/stdout"},
        {"/proc/self/fd/2", "dev/stderr"},
    };
    for (size_t index = 0; index < sizeof links / sizeof *links; index++)
        needs(symlink(links[index][0], links[index][1]) == 0, links[index][1]);
}

static void enter_tree(void)
{
    needs(mount(0, "/", 0, MS_REC | MS_PRIVATE, 0) == 0, "make mounts private");
    needs(mount("tmpfs", "/tmp", "tmpfs", 0, "mode=755") == 0, "mount a tmpfs");
    needs(chdir("/tmp") == 0, "chdir");
    fill_tree();
    needs(mount("proc", "proc", "proc", MS_RDONLY, 0) == 0, "mount /proc");
    needs(mount(0, "/tmp", 0, MS_REMOUNT | MS_RDONLY, 0) == 0, "make the tmpfs read-only");
    needs(chroot(".") == 0 && chdir("/") == 0, "chroot");
}

static void same_limits(void)
{
    const rlim_t any = RLIM_INFINITY, stack = 8 << 20;
    const rlim_t limits[] = {
        any, any, any, stack, 0, any, any, 1024, stack, any, any, 64, 819200, 0, 0, any,
    };
    for (int index = 0; index < (int)(sizeof limits / sizeof *limits); index++) {
        struct rlimit limit = {limits[index], limits[index]};
        /* One that is lower already cannot be raised everywhere; checks do not ask for it. */
        setrlimit(index, &limit);
    }
}

static void one_processor(void)
{
    cpu_set_t set;
    needs(sched_getaffinity(0, sizeof set, &set) == 0, "sched_getaffinity");
    int first = 0;
    while (!CPU_ISSET(first, &set))
        first++;
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    needs(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
}

static void drop_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {0};
    needs(syscall(SYS_capset, &header, none) == 0, "capset");
}

void enter_native_world(void)
{
    /* A check that waits in vain ends the whole world instead of the test's patience. */
    alarm(60);
    /* What whoever started this left open is nothing to the checks. */
    close_range(3, ~0u, 0);
    own_namespaces();
    fork_below(); /* process 1 */
    enter_tree();
    fork_below(); /* process 2 */
    needs(setsid() >= 0, "setsid");
    umask(022);
    setpriority(PRIO_PROCESS, 0, 0);
    prctl(PR_SET_NAME, "system-calls");
    same_limits();
    one_processor();
    drop_capabilities();
}
