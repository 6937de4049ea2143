/* Calls that would change the tree, which is read-only: the order of what is wrong. */
#include "check.h"

/* Newer than the headers of some distributions. */
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static void names(void)
{
    int data = opened("/data", O_RDONLY), file = opened("/data/text", O_RDONLY);
    CHECK(rename, "a file", "/data/text", "/data/other");
    CHECK(rename, "nothing", "/none", "/other");
    CHECK(rename, "onto itself", "/data/text", "/data/text");
    CHECK(rename, "into nothing", "/data/text", "/none/other");
    CHECK(rename, "below a file", "/data/text", "/data/text/other");
    CHECK(rename, "no name", "", "/other");
    CHECK(rename, "to no name", "/data/text", "");
    CHECK(rename, "a bad pointer", nowhere, "/other");
    CHECK(rename, "to a bad pointer", "/data/text", nowhere);
    CHECK(rename, "a dot", "/data/.", "/other");
    CHECK(rename, "to dots", "/data/text", "/data/..");
    CHECK(rename, "the root", "/", "/other");
    CHECK(rename, "a directory into itself", "/data", "/data/deep/more");
    CHECK(rename, "a file to a name with a slash", "/data/text", "/other/");
    CHECK(rename, "into another file system", "/data/text", "/proc/self/fd/new");
    CHECK(rename, "below nothing, to below a closed one", "/none/x", "");
    CHECK(renameat, "below nothing, to below a closed one", data, "none/x", 77, "y");
    CHECK(renameat, "below a directory", data, "text", data, "other");
    CHECK(renameat, "below a closed one", 77, "text", data, "other");
    CHECK(renameat, "to below a closed one", data, "text", 77, "other");
    CHECK(renameat, "below a file", file, "text", data, "other");
    CHECK(renameat2, "not onto what exists", data, "text", data, "empty", 1);
    CHECK(renameat2, "exchange with nothing", data, "text", data, "other", 2);
    CHECK(renameat2, "an unknown flag", data, "text", data, "other", 64);
    CHECK(renameat2, "an unknown flag, bad pointers", 77, nowhere, 77, nowhere, 64);
    CHECK(renameat2, "two flags that exclude each other", data, "text", data, "other", 3);
    CHECK(mkdir, "new", "/new", 0755);
    CHECK(mkdir, "with a slash", "/new/", 0755);
    CHECK(mkdir, "a directory", "/data", 0755);
    CHECK(mkdir, "a file", "/data/text", 0755);
    CHECK(mkdir, "a file with a slash", "/data/text/", 0755);
    CHECK(mkdir, "the root", "/", 0755);
    CHECK(mkdir, "a dot", "/data/.", 0755);
    CHECK(mkdir, "dots", "/data/..", 0755);
    CHECK(mkdir, "below nothing", "/none/new", 0755);
    CHECK(mkdir, "below a file", "/data/text/new", 0755);
    CHECK(mkdir, "no name", "", 0755);
    CHECK(mkdir, "a bad pointer", nowhere, 0755);
    CHECK(mkdir, "a link", "/dev/stdin", 0755);
    CHECK(mkdirat, "below a directory", data, "new", 0755);
    CHECK(mkdirat, "below a closed one", 77, "new", 0755);
    CHECK(mkdirat, "below a file", file, "new", 0755);
    CHECK(rmdir, "a directory", "/data/deep");
    CHECK(rmdir, "a file", "/data/text");
    CHECK(rmdir, "nothing", "/none");
    CHECK(rmdir, "the root", "/");
    CHECK(rmdir, "a dot", "/data/.");
    CHECK(rmdir, "dots", "/data/..");
    CHECK(rmdir, "no name", "");
    CHECK(rmdir, "below a file", "/data/text/x");
    CHECK(unlink, "a file", "/data/text");
    CHECK(unlink, "a directory", "/data");
    CHECK(unlink, "a directory with a slash", "/data/");
    CHECK(unlink, "a file with a slash", "/data/text/");
    CHECK(unlink, "nothing", "/none");
    CHECK(unlink, "nothing with a slash", "/none/");
    CHECK(unlink, "the root", "/");
    CHECK(unlink, "a dot", "/data/.");
    CHECK(unlink, "no name", "");
    CHECK(unlink, "a bad pointer", nowhere);
    CHECK(unlinkat, "a file", data, "text", 0);
    CHECK(unlinkat, "a directory, as one", data, "deep", AT_REMOVEDIR);
    CHECK(unlinkat, "an unknown flag", data, "text", 1);
    CHECK(unlinkat, "an unknown flag, a bad pointer", 77, nowhere, 1);
    CHECK(unlinkat, "below a closed one", 77, "text", 0);
    CHECK(link, "a file", "/data/text", "/data/other");
    CHECK(link, "onto what exists", "/data/text", "/data/empty");
    CHECK(link, "nothing", "/none", "/other");
    CHECK(link, "nothing onto what exists", "/none", "/data/empty");
    CHECK(link, "into nothing", "/data/text", "/none/other");
    CHECK(link, "a directory", "/data", "/other");
    CHECK(link, "with a slash", "/data/text", "/other/");
    CHECK(link, "no name", "", "/other");
    CHECK(link, "to no name", "/data/text", "");
    CHECK(linkat, "an unknown flag", AT_FDCWD, "/data/text", AT_FDCWD, "/other", 1);
    CHECK(linkat, "an unknown flag, bad pointers", 77, nowhere, 77, nowhere, 1);
    CHECK(linkat, "below a closed one", 77, "text", data, "other", 0);
    CHECK(linkat, "to below a closed one", data, "text", 77, "other", 0);
    CHECK(symlink, "new", "/data/text", "/other");
    CHECK(symlink, "onto what exists", "/none", "/data/text");
    CHECK(symlink, "to no name", "", "/other");
    CHECK(symlink, "to no name, onto what exists", "", "/data/text");
    CHECK(symlink, "no name", "/data/text", "");
    CHECK(symlink, "with a slash", "/data/text", "/other/");
    CHECK(symlink, "a bad pointer", nowhere, "/other");
    CHECK(symlink, "at a bad pointer", "/data", nowhere);
    CHECK(symlinkat, "below a directory", "x", data, "other");
    CHECK(symlinkat, "below a closed one", "x", 77, "other");
    CHECK(symlinkat, "a bad pointer below a closed one", nowhere, 77, "other");
    CHECK(mknod, "a pipe", "/new", S_IFIFO | 0600, 0);
    CHECK(mknod, "a file", "/new", S_IFREG | 0600, 0);
    CHECK(mknod, "a file that exists", "/data/text", S_IFREG | 0600, 0);
    CHECK(mknod, "a directory", "/new", S_IFDIR | 0600, 0);
    CHECK(mknod, "an unknown kind", "/new", 0150000 | 0600, 0);
    CHECK(mknod, "a device", "/new", S_IFCHR | 0600, 0x103);
    CHECK(mknod, "below nothing", "/none/new", S_IFREG | 0600, 0);
    CHECK(mknod, "with a slash", "/new/", S_IFREG | 0600, 0);
    CHECK(mknodat, "below a directory", data, "new", S_IFIFO | 0600, 0);
    CHECK(mknodat, "below a closed one", 77, "new", S_IFIFO | 0600, 0);
}

static void attributes(void)
{
    int data = opened("/data", O_RDONLY), file = opened("/data/text", O_RDONLY);
    struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}}, omitted[2], senseless[2];
    omitted[0] = omitted[1] = (struct timespec){0, UTIME_OMIT};
    senseless[0] = senseless[1] = (struct timespec){0, 1000000000};
    CHECK(truncate, "a file", "/data/text", 0);
    CHECK(truncate, "a negative length", "/data/text", -1);
    CHECK(truncate, "a negative length of nothing", "/none", -1);
    CHECK(truncate, "a directory", "/data", 0);
    CHECK(truncate, "a device", "/dev/null", 0);
    CHECK(truncate, "nothing", "/none", 0);
    CHECK(truncate, "standard output", "/dev/stdout", 0);
    CHECK(truncate, "a bad pointer", nowhere, 0);
    CHECK(chmod, "a file", "/data/text", 0644);
    CHECK(chmod, "a directory", "/data", 0755);
    CHECK(chmod, "nothing", "/none", 0644);
    CHECK(chmod, "no name", "", 0644);
    CHECK(chmod, "through a link", "/dev/fd/", 0500);
    CHECK(chmod, "a bad pointer", nowhere, 0644);
    CHECK(fchmodat, "below a directory", data, "text", 0644);
    CHECK(fchmodat, "below a closed one", 77, "text", 0644);
    CHECK(fchmodat, "below a file", file, "text", 0644);
    CHECK(fchmodat2, "no name, AT_EMPTY_PATH", file, "", 0644, AT_EMPTY_PATH);
    CHECK(fchmodat2, "a link itself", AT_FDCWD, "/dev/stdin", 0644, AT_SYMLINK_NOFOLLOW);
    CHECK(fchmodat2, "an unknown flag", data, "text", 0644, 1);
    CHECK(fchmodat2, "an unknown flag, a bad pointer", 77, nowhere, 0644, 1);
    CHECK(chown, "a file", "/data/text", 0, 0);
    CHECK(chown, "a file, unchanged", "/data/text", -1, -1);
    CHECK(chown, "nothing", "/none", 0, 0);
    CHECK(lchown, "a link", "/dev/stdin", 0, 0);
    CHECK(lchown, "nothing", "/none", 0, 0);
    CHECK(fchownat, "no name, AT_EMPTY_PATH", file, "", 0, 0, AT_EMPTY_PATH);
    CHECK(fchownat, "no name", file, "", 0, 0, 0);
    CHECK(fchownat, "an unknown flag", file, "", 0, 0, 1);
    CHECK(fchownat, "an unknown flag, a bad pointer", 77, nowhere, 0, 0, 1);
    CHECK(fchownat, "below a closed one", 77, "text", 0, 0, 0);
    CHECK(fchownat, "a link itself", AT_FDCWD, "/dev/stdin", 0, 0, AT_SYMLINK_NOFOLLOW);
    CHECK(utime, "now", "/data/text", 0);
    CHECK(utime, "nothing", "/none", 0);
    CHECK(utime, "by bad times", "/data/text", nowhere);
    CHECK(utime, "nothing, by bad times", "/none", nowhere);
    CHECK(utimes, "now", "/data/text", 0);
    CHECK(utimes, "senseless times", "/data/text", senseless);
    CHECK(utimes, "senseless times of nothing", "/none", senseless);
    CHECK(utimes, "bad times of nothing", "/none", nowhere);
    CHECK(futimesat, "below a directory", data, "text", 0);
    CHECK(futimesat, "below a closed one", 77, "text", 0);
    CHECK(futimesat, "the descriptor", file, 0, 0);
    CHECK(futimesat, "senseless times of a closed one", 77, "text", senseless);
    CHECK(utimensat, "now", data, "text", now, 0);
    CHECK(utimensat, "omitted", data, "text", omitted, 0);
    CHECK(utimensat, "omitted of nothing", data, "none", omitted, 0);
    CHECK(utimensat, "omitted of a closed one", 77, "none", omitted, 0);
    CHECK(utimensat, "the descriptor", file, 0, 0, 0);
    CHECK(utimensat, "the descriptor, a flag", file, 0, 0, AT_SYMLINK_NOFOLLOW);
    CHECK(utimensat, "a closed descriptor", 77, 0, 0, 0);
    CHECK(utimensat, "the descriptor here", AT_FDCWD, 0, 0, 0);
    CHECK(utimensat, "senseless times", data, "text", senseless, 0);
    CHECK(utimensat, "senseless times of nothing", data, "none", senseless, 0);
    CHECK(utimensat, "bad times", data, "text", nowhere, 0);
    CHECK(utimensat, "an unknown flag", data, "text", 0, 1);
    CHECK(utimensat, "an unknown flag of nothing", data, "none", 0, 1);
    CHECK(utimensat, "an unknown flag of a closed one", 77, "none", 0, 1);
    CHECK(utimensat, "no name, AT_EMPTY_PATH", file, "", 0, AT_EMPTY_PATH);
    CHECK(utimensat, "no name", file, "", 0, 0);
    CHECK(utimensat, "a link itself", AT_FDCWD, "/dev/stdin", 0, AT_SYMLINK_NOFOLLOW);
}

void changes(void)
{
    names();
    attributes();
}
