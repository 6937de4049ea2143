/* Paths: opening, asking for access, the current directory, links. */
#include "check.h"

static char long_name[300], long_path[5000];

static void opening(void)
{
    int data = opened("/data", O_RDONLY), file = opened("/data/text", O_RDONLY);
    int only_path = opened("/data", O_PATH);
    CHECK_OK(open, "a file", "/data/text", O_RDONLY);
    CHECK_OK(open, "repeated slashes", "//data///text", O_RDONLY);
    CHECK_OK(open, "dots", "/./data/../data/./text", O_RDONLY);
    CHECK_OK(open, "above the root", "/../../data/text", O_RDONLY);
    CHECK(open, "nothing", "/none", O_RDONLY);
    CHECK(open, "no name", "", O_RDONLY);
    CHECK(open, "below a file", "/data/text/more", O_RDONLY);
    CHECK(open, "a file as a directory", "/data/text/", O_RDONLY);
    CHECK(open, "a file as a directory, by a dot", "/data/text/.", O_RDONLY);
    CHECK(open, "the parent of a file", "/data/text/..", O_RDONLY);
    CHECK(open, "the parent of nothing", "/none/..", O_RDONLY);
    CHECK_OK(open, "a directory", "/data", O_RDONLY);
    CHECK_OK(open, "a directory with a slash", "/data/", O_RDONLY);
    CHECK(open, "a directory for writing", "/data", O_WRONLY);
    CHECK(open, "a directory for both", "/data/.", O_RDWR);
    CHECK(open, "a directory to truncate", "/data", O_RDONLY | O_TRUNC);
    CHECK(open, "a directory to create", "/data", O_RDONLY | O_CREAT, 0600);
    CHECK(open, "a directory to create exclusively", "/data", O_RDONLY | O_CREAT | O_EXCL, 0600);
    CHECK(open, "O_DIRECTORY of a file", "/data/text", O_DIRECTORY);
    CHECK(open, "O_DIRECTORY of nothing", "/none", O_DIRECTORY);
    CHECK(open, "O_DIRECTORY and O_CREAT of nothing", "/none", O_DIRECTORY | O_CREAT, 0600);
    CHECK(open, "O_DIRECTORY and O_CREAT of a directory", "/data", O_DIRECTORY | O_CREAT, 0600);
    CHECK(open, "O_DIRECTORY and O_CREAT of a file", "/data/text", O_DIRECTORY | O_CREAT, 0600);
    CHECK(open, "a file for writing", "/data/text", O_WRONLY);
    CHECK(open, "a file for both", "/data/text", O_RDWR);
    CHECK(open, "a file for neither", "/data/text", 3);
    CHECK(open, "a file to truncate", "/data/text", O_RDONLY | O_TRUNC);
    CHECK(open, "a file to write, as a directory", "/data/text/", O_WRONLY);
    CHECK(open, "a file to write, O_DIRECTORY", "/data/text", O_WRONLY | O_DIRECTORY);
    CHECK(open, "a program for writing", "/bin/system-calls", O_WRONLY);
    CHECK_OK(open, "O_CREAT of what exists", "/data/text", O_RDONLY | O_CREAT, 0600);
    CHECK(open, "O_CREAT of what exists, to write", "/data/text", O_WRONLY | O_CREAT, 0600);
    CHECK(open, "O_CREAT and O_EXCL of what exists", "/data/text", O_CREAT | O_EXCL, 0600);
    CHECK(open, "O_EXCL alone", "/none", O_EXCL);
    CHECK_OK(open, "O_EXCL alone of what exists", "/data/text", O_EXCL);
    CHECK(open, "O_CREAT of nothing", "/none", O_WRONLY | O_CREAT, 0600);
    CHECK(open, "O_CREAT of nothing, to read", "/none", O_RDONLY | O_CREAT, 0600);
    CHECK(open, "O_CREAT and O_EXCL of nothing", "/none", O_CREAT | O_EXCL, 0600);
    CHECK(open, "O_CREAT with a slash at the end", "/none/", O_WRONLY | O_CREAT, 0600);
    CHECK(open, "O_CREAT with two slashes at the end", "/none//", O_RDONLY | O_CREAT, 0600);
    CHECK(open, "O_CREAT of a file with a slash", "/data/text/", O_RDONLY | O_CREAT, 0600);
    CHECK(open, "O_CREAT and O_EXCL of a file with a slash", "/data/text/", O_CREAT | O_EXCL, 0600);
    CHECK(open, "O_CREAT of a directory with a slash", "/data/", O_RDONLY | O_CREAT, 0600);
    CHECK(open, "O_CREAT with a dot at the end", "/data/.", O_RDONLY | O_CREAT, 0600);
    CHECK(open, "O_CREAT with a dot at the end, of nothing", "/none/.", O_RDONLY | O_CREAT, 0600);
    CHECK(open, "O_CREAT of the root", "/", O_RDONLY | O_CREAT, 0600);
    CHECK(open, "O_CREAT and O_EXCL of the root", "/", O_RDONLY | O_CREAT | O_EXCL, 0600);
    CHECK(open, "O_CREAT and O_EXCL of dots", "/data/..", O_RDONLY | O_CREAT | O_EXCL, 0600);
    CHECK(open, "O_CREAT below nothing", "/none/more", O_WRONLY | O_CREAT, 0600);
    CHECK(open, "O_CREAT below nothing, with a slash", "/none/more/", O_WRONLY | O_CREAT, 0600);
    CHECK(open, "O_CREAT below a file", "/data/text/more", O_WRONLY | O_CREAT, 0600);
    CHECK(open, "O_CREAT of no name", "", O_WRONLY | O_CREAT, 0600);
    CHECK(open, "O_CREAT by a bad pointer", nowhere, O_WRONLY | O_CREAT, 0600);
    CHECK(open, "a bad pointer", nowhere, O_RDONLY);
    CHECK(open, "a bad pointer and flags that are none", nowhere, -1);
    CHECK(open, "flags that are none", "/data/text", 0x7f800000);
    CHECK(open, "O_TMPFILE", "/tmp", O_TMPFILE | O_RDWR, 0600);
    CHECK(open, "O_TMPFILE for reading", "/tmp", O_TMPFILE, 0600);
    CHECK(open, "O_TMPFILE in a file", "/data/text", O_TMPFILE | O_RDWR, 0600);
    CHECK(open, "O_TMPFILE in nothing", "/none", O_TMPFILE | O_RDWR, 0600);
    CHECK(open, "O_TMPFILE and O_CREAT", "/tmp", O_TMPFILE | O_CREAT | O_RDWR, 0600);
    CHECK(open, "half of O_TMPFILE", "/tmp", 020000000 | O_RDWR, 0600);
    CHECK(open, "O_DIRECT", "/none", O_DIRECT);
    CHECK_OK(open, "O_APPEND for reading", "/data/text", O_APPEND);
    CHECK_OK(open, "O_NOATIME", "/data/text", O_NOATIME);
    memset(long_name, 'n', sizeof long_name - 1);
    CHECK(open, "a name too long", long_name, O_RDONLY);
    CHECK(open, "a name too long, to create", long_name, O_CREAT | O_WRONLY, 0600);
    long_name[255] = 0;
    CHECK(open, "the longest name", long_name, O_RDONLY);
    for (int at = 0; at < 4999; at++)
        long_path[at] = "/."[at % 2];
    CHECK(open, "a path too long", long_path, O_RDONLY);
    long_path[4095] = 0;
    CHECK_OK(open, "the longest path", long_path, O_RDONLY);
    long_path[4095] = '.';
    CHECK(open, "a path that ends in nowhere", edge - 3, O_RDONLY);
    CHECK(creat, "nothing", "/none", 0600);
    CHECK(creat, "a file", "/data/text", 0600);
    CHECK(creat, "a directory", "/data", 0600);
    CHECK(creat, "with a slash", "/none/", 0600);
    CHECK(creat, "a bad pointer", nowhere, 0600);

    CHECK_OK(openat, "below a directory", data, "text", O_RDONLY);
    CHECK_OK(openat, "below O_PATH", only_path, "text", O_RDONLY);
    CHECK_OK(openat, "up", data, "../data/deep/file", O_RDONLY);
    CHECK(openat, "below a file", file, "text", O_RDONLY);
    CHECK(openat, "below a closed one", 77, "text", O_RDONLY);
    CHECK(openat, "below a negative one", -5, "text", O_RDONLY);
    CHECK(openat, "no name below a closed one", 77, "", O_RDONLY);
    CHECK(openat, "no name below a directory", data, "", O_RDONLY);
    CHECK(openat, "a bad pointer below a closed one", 77, nowhere, O_RDONLY);
    CHECK_OK(openat, "absolute, with a closed one", 77, "/data/text", O_RDONLY);
    CHECK(openat, "O_CREAT below a file", file, "new", O_CREAT | O_WRONLY, 0600);
    CHECK(openat, "O_CREAT with a slash below a closed one", 77, "new/", O_CREAT | O_WRONLY, 0600);
    CHECK_OK(openat, "AT_FDCWD", AT_FDCWD, "data/text", O_RDONLY);
}

static void links(void)
{
    char path[64], text[64];
    int file = opened("/data/text", O_RDONLY), data = opened("/data", O_RDONLY), ends[2];
    int only_path = opened("/data/text", O_PATH);
    CHECK(open, "O_NOFOLLOW of a link", "/dev/stdin", O_NOFOLLOW);
    CHECK(open, "O_NOFOLLOW of a link to a directory", "/dev/fd", O_NOFOLLOW);
    CHECK_OK(open, "O_NOFOLLOW of a link with a slash", "/dev/fd/", O_NOFOLLOW);
    CHECK(open, "O_NOFOLLOW and O_DIRECTORY of a link", "/dev/fd", O_NOFOLLOW | O_DIRECTORY);
    CHECK_OK(open, "O_NOFOLLOW and O_PATH of a link", "/dev/stdin", O_NOFOLLOW | O_PATH);
    CHECK(open, "O_NOFOLLOW, O_PATH and O_DIRECTORY of a link", "/dev/fd",
          O_NOFOLLOW | O_PATH | O_DIRECTORY);
    CHECK(open, "O_CREAT and O_EXCL of a link", "/dev/stdin", O_CREAT | O_EXCL | O_RDONLY, 0600);
    CHECK_OK(open, "O_PATH with flags that it does not know", "/data/text",
             O_PATH | O_WRONLY | O_TRUNC | O_APPEND);
    CHECK(open, "O_PATH and O_CREAT of nothing", "/none", O_PATH | O_CREAT);
    CHECK(open, "O_PATH and O_DIRECTORY of a file", "/data/text", O_PATH | O_DIRECTORY);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    CHECK(open, "a descriptor's link, O_NOFOLLOW", path, O_NOFOLLOW);
    CHECK_OK(open, "a descriptor's link", path, O_RDONLY);
    CHECK(open, "a descriptor's link, for writing", path, O_WRONLY);
    CHECK(open, "a descriptor's link, O_DIRECTORY", path, O_DIRECTORY);
    CHECK(open, "a descriptor's link, O_CREAT and O_EXCL", path, O_CREAT | O_EXCL, 0600);
    CALL(lseek, file, 5, SEEK_SET);
    int again = opened(path, O_RDONLY);
    TELL(open, "a descriptor's link starts at 0", "%ld", CALL(lseek, again, 0, SEEK_CUR));
    memset(text, 0, sizeof text);
    CHECK(readlink, "of a descriptor", path, text, sizeof text);
    TELL(readlink, "where a descriptor leads", "%s", text);
    strcat(path, "/");
    CHECK(open, "a descriptor's link with a slash", path, O_RDONLY);
    CHECK(readlink, "of a descriptor, with a slash", path, text, sizeof text);
    snprintf(path, sizeof path, "/proc/self/fd/%d", only_path);
    CHECK_OK(open, "the link of O_PATH", path, O_RDONLY);
    snprintf(path, sizeof path, "/proc/self/fd/%d/text", data);
    CHECK_OK(open, "through a descriptor's link", path, O_RDONLY);
    snprintf(path, sizeof path, "/proc/self/fd/%d/../data/text", data);
    CHECK_OK(open, "up from a descriptor's link", path, O_RDONLY);
    CHECK(open, "a descriptor that is closed", "/proc/self/fd/77", O_RDONLY);
    CHECK(open, "no descriptor's number", "/proc/self/fd/01", O_RDONLY);
    CHECK(open, "no number", "/proc/self/fd/x", O_RDONLY);
    CHECK(open, "O_CREAT of a descriptor that is closed", "/proc/self/fd/77", O_CREAT, 0600);
    piped(ends, 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[1]);
    CHECK(open, "the link of a pipe, O_DIRECTORY", path, O_DIRECTORY);
    CHECK(open, "the link of a pipe, for neither", path, 3);
    CHECK(open, "a long name among descriptors", strcat(strcpy(long_path, "/proc/self/fd/"), long_name),
          O_RDONLY);
    CHECK_OK(open, "the link of a pipe, to write", path, O_WRONLY);
    int reader = (int)CALL(open, path, O_RDONLY | O_NONBLOCK);
    CALL(write, ends[1], "xyz", 3);
    memset(text, 0, sizeof text);
    TELL(open, "the written end opened to read", "%ld", CALL(read, reader, text, 8));
    TELL(open, "what it reads", "%s", text);
    CHECK(write, "such an end", reader, "xyz", 3);
    strcat(path, "/");
    CHECK(open, "the link of a pipe with a slash", path, O_RDONLY);
    int unread = (int)CALL(open, "/dev/stdout", O_WRONLY);
    CHECK(write, "/dev/stdout", unread, "", 0);

    CHECK(readlink, "of a link", "/dev/stdin", text, sizeof text);
    CHECK(readlink, "cut", "/dev/stdin", text, 5);
    TELL(readlink, "what is cut", "%.5s", text);
    CHECK(readlink, "of no size", "/dev/stdin", text, 0);
    CHECK(readlink, "of a negative size", "/dev/stdin", text, -1);
    CHECK(readlink, "of no size, of nothing", "/none", text, 0);
    CHECK(readlink, "of a file", "/data/text", text, sizeof text);
    CHECK(readlink, "of a directory", "/data", text, sizeof text);
    CHECK(readlink, "of nothing", "/none", text, sizeof text);
    CHECK(readlink, "of no name", "", text, sizeof text);
    CHECK(readlink, "below a file", "/data/text/x", text, sizeof text);
    CHECK(readlink, "into nowhere", "/dev/stdin", nowhere, 20);
    CHECK(readlink, "into half of nowhere", "/dev/stdin", edge - 4, 20);
    CHECK(readlink, "by a bad pointer", nowhere, text, 20);
    CHECK(readlinkat, "of a link", AT_FDCWD, "dev/stdin", text, sizeof text);
    CHECK(readlinkat, "below a closed one", 77, "x", text, sizeof text);
    CHECK(readlinkat, "no name, a directory", data, "", text, sizeof text);
    CHECK(readlinkat, "no name, a file", file, "", text, sizeof text);
    CHECK(readlinkat, "no name, a closed one", 77, "", text, sizeof text);
    CHECK(readlinkat, "no name, here", AT_FDCWD, "", text, sizeof text);
    int link = opened("/dev/stdin", O_PATH | O_NOFOLLOW);
    memset(text, 0, sizeof text);
    CHECK(readlinkat, "no name, an open link", link, "", text, sizeof text);
    TELL(readlinkat, "where an open link leads", "%s", text);
    CHECK(readlinkat, "of no size, below a closed one", 77, "x", text, 0);
}

static void access_rights(void)
{
    int data = opened("/data", O_RDONLY), file = opened("/data/text", O_RDONLY);
    int link = opened("/dev/stdin", O_PATH | O_NOFOLLOW);
    CHECK(access, "a file exists", "/data/text", F_OK);
    CHECK(access, "a file is read", "/data/text", R_OK);
    CHECK(access, "a file is written", "/data/text", W_OK);
    CHECK(access, "a file is run", "/data/text", X_OK);
    CHECK(access, "a file is written and run", "/data/text", W_OK | X_OK);
    CHECK(access, "a program is run", "/bin/system-calls", R_OK | X_OK);
    CHECK(access, "a program is run as a directory", "/bin/system-calls/", X_OK);
    CHECK(access, "a directory is searched", "/data", X_OK);
    CHECK(access, "a directory is written", "/data", W_OK);
    CHECK(access, "a device is written", "/dev/null", R_OK | W_OK);
    CHECK(access, "a device is run", "/dev/null", X_OK);
    CHECK(access, "nothing", "/none", F_OK);
    CHECK(access, "an unknown right", "/data/text", 8);
    CHECK(access, "an unknown right of nothing", "/none", 8);
    CHECK(access, "an unknown right by a bad pointer", nowhere, 8);
    CHECK(access, "a bad pointer", nowhere, F_OK);
    CHECK(access, "no name", "", F_OK);
    CHECK(access, "standard input", "/dev/stdin", R_OK);
    CHECK(access, "descriptors are written", "/proc/self/fd", W_OK);
    CHECK(faccessat2, "the name of what is only written is read", AT_FDCWD, "/proc/self/fd/1", R_OK,
          AT_SYMLINK_NOFOLLOW);
    CHECK(faccessat, "below a directory", data, "text", R_OK);
    CHECK(faccessat, "below a file", file, "text", R_OK);
    CHECK(faccessat, "below a closed one", 77, "text", R_OK);
    CHECK(faccessat, "an unknown right below a closed one", 77, "text", 16);
    CHECK(faccessat, "no name", data, "", R_OK);
    CHECK(faccessat2, "no name, AT_EMPTY_PATH", file, "", R_OK, AT_EMPTY_PATH);
    CHECK(faccessat2, "no name, to write", file, "", W_OK, AT_EMPTY_PATH);
    CHECK(faccessat2, "no name, here", AT_FDCWD, "", X_OK, AT_EMPTY_PATH);
    CHECK(faccessat2, "no name, a closed one", 77, "", R_OK, AT_EMPTY_PATH);
    CHECK(faccessat2, "AT_EACCESS", data, "text", R_OK, AT_EACCESS);
    CHECK(faccessat2, "an unknown flag", data, "text", R_OK, AT_REMOVEDIR << 8);
    CHECK(faccessat2, "an unknown flag by a bad pointer", 77, nowhere, R_OK, 1);
    CHECK(faccessat2, "a link itself", AT_FDCWD, "/dev/stdin", W_OK, AT_SYMLINK_NOFOLLOW);
    CHECK(faccessat2, "an open link", link, "", W_OK, AT_EMPTY_PATH);
    CHECK(faccessat2, "a pipe is written", 1, "", W_OK, AT_EMPTY_PATH);
    CHECK(faccessat2, "a pipe is run", 1, "", X_OK, AT_EMPTY_PATH);
}

static void here(const char *what)
{
    char path[64] = "";
    CALL(getcwd, path, sizeof path);
    TELL(getcwd, what, "%s", path);
}

static void current_directory(void)
{
    char path[64];
    int deep = opened("/data/deep", O_RDONLY), only_path = opened("/data", O_PATH);
    int file = opened("/data/text", O_RDONLY);
    CHECK(getcwd, "at first", path, sizeof path);
    CHECK(getcwd, "the root's room", path, 2);
    CHECK(getcwd, "too little room", path, 1);
    CHECK(getcwd, "no room", path, 0);
    CHECK(getcwd, "no room nowhere", 0, 0);
    CHECK(getcwd, "nowhere", nowhere, 64);
    CHECK(chdir, "down", "data/deep");
    here("after down");
    CHECK(getcwd, "exact room", path, 11);
    CHECK(getcwd, "a byte too little", path, 10);
    CHECK(getcwd, "a negative size", path, -1);
    CHECK(chdir, "up", "..");
    here("after up");
    CHECK(chdir, "with a slash", "deep///");
    CHECK(chdir, "a file", "/data/text");
    CHECK(chdir, "nothing", "/none");
    CHECK(chdir, "no name", "");
    CHECK(chdir, "a bad pointer", nowhere);
    CHECK(chdir, "standard input", "/dev/stdin");
    CHECK(chdir, "through a link", "/dev/fd");
    here("after a link");
    CHECK(chdir, "the root", "/");
    CHECK(fchdir, "a directory", deep);
    here("after fchdir");
    CHECK(fchdir, "O_PATH", only_path);
    here("after O_PATH");
    CHECK(fchdir, "a file", file);
    CHECK(fchdir, "a pipe", 1);
    CHECK(fchdir, "a closed one", 77);
    CALL(chdir, "/");
}

void paths(void)
{
    opening();
    links();
    access_rights();
    current_directory();
}
