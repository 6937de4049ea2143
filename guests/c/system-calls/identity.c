/* Who the program is: numbers of processes and users, names, the machine. */
#include "check.h"
#include <asm/prctl.h>
#include <sys/prctl.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

/* Another's number is refused as not allowed or, in a namespace of users, as unknown. */
#define REFUSED(call, what, ...) TELL(call, what, "%s", refusal(CALL(call, __VA_ARGS__)))

static const char *refusal(long result)
{
    return result == -EPERM || result == -EINVAL ? "refused" : "not refused";
}

static void numbers(void)
{
    CHECK(getpid, "the process");
    CHECK(gettid, "the thread");
    CHECK(getppid, "the parent");
    CHECK(getpgrp, "the group");
    CHECK(getpgid, "of itself", 0);
    CHECK(getpgid, "by its number", 2);
    CHECK(getpgid, "of nobody", 4711);
    CHECK(getpgid, "of a negative number", -1);
    CHECK(getsid, "of itself", 0);
    CHECK(getsid, "of nobody", 4711);
    CHECK(setpgid, "itself", 0, 0);
    CHECK(setpgid, "nobody", 4711, 0);
    CHECK(setpgid, "a negative group", 0, -1);
    CHECK(setpgid, "another group", 0, 4711);
    CHECK(setpgid, "a negative process", -1, 0);
    CHECK(setsid, "which it leads");
    CHECK(set_tid_address, "nowhere", nowhere);
    CHECK(getuid, "the user");
    CHECK(geteuid, "the effective user");
    CHECK(getgid, "the group");
    CHECK(getegid, "the effective group");
    CHECK(setuid, "to itself", 0);
    REFUSED(setuid, "to another", 1);
    CHECK(setuid, "to nobody", -1);
    CHECK(setgid, "to itself", 0);
    REFUSED(setgid, "to another", 1);
    CHECK(setgid, "to nobody", -1);
    CHECK(setreuid, "unchanged", -1, -1);
    CHECK(setreuid, "to itself", 0, 0);
    REFUSED(setreuid, "to another", 0, 1);
    CHECK(setregid, "unchanged", -1, -1);
    REFUSED(setregid, "to another", 1, -1);
    CHECK(setresuid, "unchanged", -1, -1, -1);
    REFUSED(setresuid, "to another", -1, 1, -1);
    CHECK(setresgid, "to itself", 0, 0, 0);
    REFUSED(setresgid, "to another", 0, 0, 5);
    unsigned ids[3] = {9, 9, 9};
    CHECK(getresuid, "all three", &ids[0], &ids[1], &ids[2]);
    TELL(getresuid, "what they are", "%u %u %u", ids[0], ids[1], ids[2]);
    CHECK(getresuid, "the last nowhere", &ids[0], &ids[1], nowhere);
    CHECK(getresgid, "all three", &ids[0], &ids[1], &ids[2]);
    CHECK(getresgid, "the first nowhere", nowhere, &ids[1], &ids[2]);
    CHECK(setfsuid, "to itself", 0);
    CHECK(setfsuid, "to another", 1);
    CHECK(setfsuid, "what it is", -1);
    CHECK(setfsgid, "to another", 1);
    CHECK(setfsgid, "what it is", -1);
    CHECK(getgroups, "a negative size", -1, ids);
    CHECK_OK(getgroups, "how many", 0, 0);
    CHECK(umask, "before", 077);
    CHECK(umask, "more bits than there are", 07777);
    CHECK(umask, "what is kept of them", 022);
}

static void names(void)
{
    struct utsname name;
    memset(&name, 0x55, sizeof name);
    CHECK(uname, "the machine", &name);
    TELL(uname, "what it runs", "%s %s", name.sysname, name.machine);
    TELL(uname, "names end within their fields", "%d",
         memchr(name.nodename, 0, 65) && memchr(name.release, 0, 65) && memchr(name.version, 0, 65));
    CHECK(uname, "nowhere", nowhere);
    CHECK(uname, "half of nowhere", edge - 100);
    struct sysinfo info;
    memset(&info, 0x55, sizeof info);
    CHECK(sysinfo, "the machine", &info);
    TELL(sysinfo, "sums are sensible", "%d %d", info.freeram <= info.totalram, info.mem_unit == 1);
    TELL(sysinfo, "there are processes", "%d", info.procs > 0);
    CHECK(sysinfo, "nowhere", nowhere);
    CHECK(personality, "what it is", 0xffffffff);
    CHECK(personality, "another", 0x0040000);
    CHECK(personality, "what it is then", 0xffffffff);
    CHECK(personality, "back", 0);
    unsigned cpu = 99, node = 99;
    CHECK(getcpu, "both", &cpu, &node, 0);
    TELL(getcpu, "the node", "%u", node);
    CHECK(getcpu, "neither", 0, 0, 0);
    CHECK(getcpu, "nowhere", nowhere, 0, 0);
    CHECK(getcpu, "the node nowhere", 0, nowhere, 0);
    CHECK(getcpu, "the cache is not looked at", &cpu, &node, nowhere);
}

static void process_controls(void)
{
    char name[32] = "";
    CHECK(prctl, "PR_GET_NAME", PR_GET_NAME, name);
    TELL(prctl, "the name", "%s", name);
    CHECK(prctl, "PR_SET_NAME", PR_SET_NAME, "a name that is too long");
    CALL(prctl, PR_GET_NAME, name);
    TELL(prctl, "the name then", "%s", name);
    CHECK(prctl, "PR_SET_NAME nowhere", PR_SET_NAME, nowhere);
    CHECK(prctl, "PR_SET_NAME up to nowhere", PR_SET_NAME, edge - 3);
    memset(edge - 15, 'e', 15);
    CHECK(prctl, "PR_SET_NAME of all that counts", PR_SET_NAME, edge - 15);
    CHECK(prctl, "PR_GET_NAME nowhere", PR_GET_NAME, nowhere);
    CHECK(prctl, "PR_GET_DUMPABLE", PR_GET_DUMPABLE);
    CHECK(prctl, "PR_SET_DUMPABLE to 0", PR_SET_DUMPABLE, 0);
    CHECK(prctl, "PR_GET_DUMPABLE then", PR_GET_DUMPABLE);
    CHECK(prctl, "PR_SET_DUMPABLE to 2", PR_SET_DUMPABLE, 2);
    CHECK(prctl, "PR_SET_DUMPABLE to 1", PR_SET_DUMPABLE, 1);
    CHECK(prctl, "PR_GET_TIMERSLACK", PR_GET_TIMERSLACK);
    CHECK(prctl, "PR_SET_TIMERSLACK", PR_SET_TIMERSLACK, 1234);
    CHECK(prctl, "PR_GET_TIMERSLACK then", PR_GET_TIMERSLACK);
    CHECK(prctl, "PR_SET_TIMERSLACK to the default", PR_SET_TIMERSLACK, 0);
    CHECK(prctl, "PR_GET_TIMERSLACK of the default", PR_GET_TIMERSLACK);
    CHECK(prctl, "PR_GET_NO_NEW_PRIVS", PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    CHECK(prctl, "PR_GET_NO_NEW_PRIVS with more", PR_GET_NO_NEW_PRIVS, 0, 1, 0, 0);
    CHECK(prctl, "PR_SET_NO_NEW_PRIVS to 0", PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
    CHECK(prctl, "PR_SET_NO_NEW_PRIVS with more", PR_SET_NO_NEW_PRIVS, 1, 0, 1, 0);
    CHECK(prctl, "PR_SET_NO_NEW_PRIVS", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    CHECK(prctl, "PR_GET_NO_NEW_PRIVS then", PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    int signal = 99;
    CHECK(prctl, "PR_GET_PDEATHSIG nowhere", PR_GET_PDEATHSIG, nowhere);
    CHECK(prctl, "PR_SET_PDEATHSIG of an unknown one", PR_SET_PDEATHSIG, 65);
    CHECK(prctl, "PR_SET_PDEATHSIG to none", PR_SET_PDEATHSIG, 0);
    CHECK(prctl, "PR_GET_PDEATHSIG", PR_GET_PDEATHSIG, &signal);
    TELL(prctl, "the parent's last signal", "%d", signal);
    CHECK(prctl, "PR_GET_KEEPCAPS", PR_GET_KEEPCAPS);
    CHECK(prctl, "PR_GET_SECCOMP", PR_GET_SECCOMP);
    CHECK(prctl, "PR_CAPBSET_READ of an unknown one", PR_CAPBSET_READ, 1000);
    CHECK(prctl, "an unknown option", 99999);
    CHECK(prctl, "a negative option", -1);
    unsigned long base = 0;
    CHECK(arch_prctl, "ARCH_GET_FS", ARCH_GET_FS, &base);
    TELL(arch_prctl, "there is thread-local storage", "%d", base != 0);
    CHECK(arch_prctl, "ARCH_SET_FS as it is", ARCH_SET_FS, base);
    CHECK(arch_prctl, "ARCH_GET_FS nowhere", ARCH_GET_FS, nowhere);
    CHECK(arch_prctl, "ARCH_SET_FS beyond the user's half", ARCH_SET_FS, 1L << 62);
    CHECK(arch_prctl, "ARCH_SET_FS into the kernel", ARCH_SET_FS, -4096);
    CHECK(arch_prctl, "ARCH_GET_GS", ARCH_GET_GS, &base);
    CHECK(arch_prctl, "ARCH_SET_GS to 0", ARCH_SET_GS, 0);
    CHECK(arch_prctl, "an unknown code", 0x9999, 0);
}

void identity(void)
{
    numbers();
    names();
    process_controls();
}
