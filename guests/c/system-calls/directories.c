/* Listing directories, in large and small pieces, while they change. */
#include "check.h"

struct entry {
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t kind;
    char name[];
};

static int order(const void *one, const void *other)
{
    return strcmp(one, other);
}

/* The names and kinds of a directory, in order, read by `size` bytes at a time. */
static void listed(const char *what, int directory, size_t size)
{
    static char names[64][64], buffer[4096], joined[800];
    int count = 0, calls = 0;
    long got;
    while ((got = CALL(getdents64, directory, buffer, size)) > 0) {
        calls++;
        for (long at = 0; at < got && count < 64;) {
            struct entry *entry = (void *)(buffer + at);
            snprintf(names[count++], 64, "%.40s/%d", entry->name, entry->kind);
            at += entry->length;
        }
    }
    qsort(names, (size_t)count, sizeof *names, order);
    joined[0] = 0;
    for (int index = 0; index < count; index++)
        strcat(strcat(joined, " "), names[index]);
    TELL(getdents64, what, "%ld %d:%s", got, calls > 1, joined);
}

static void listing(void)
{
    int root = opened("/data", O_RDONLY | O_DIRECTORY), file = opened("/data/text", O_RDONLY);
    static char buffer[256];
    CHECK(getdents64, "a file", file, buffer, sizeof buffer);
    CHECK(getdents64, "a pipe", 0, buffer, sizeof buffer);
    CHECK(getdents64, "a device", opened("/dev/null", O_RDONLY), buffer, sizeof buffer);
    CHECK(getdents64, "a closed one", 77, buffer, sizeof buffer);
    CHECK(getdents64, "O_PATH", opened("/data", O_PATH), buffer, sizeof buffer);
    CHECK(getdents64, "no room", root, buffer, 0);
    CHECK(getdents64, "room for less than one", root, buffer, 20);
    CHECK(getdents64, "into nowhere", root, nowhere, 256);
    CHECK(getdents64, "no room nowhere", root, nowhere, 0);
    CHECK(getdents64, "room for one", root, buffer, 24);
    TELL(getdents64, "the first", "%s", ((struct entry *)(void *)buffer)->name);
    CHECK(getdents64, "room for one more", root, buffer, 24);
    TELL(getdents64, "the second", "%s", ((struct entry *)(void *)buffer)->name);
    CALL(lseek, root, 0, SEEK_SET);
    listed("all at once", root, 4096);
    listed("at the end", root, 4096);
    CHECK(getdents64, "no room at the end", root, buffer, 0);
    CALL(lseek, root, 0, SEEK_SET);
    listed("a little at a time", root, 40);
    CALL(lseek, root, 0, SEEK_SET);
    CALL(getdents64, root, buffer, 64);
    struct entry *first = (void *)buffer;
    int64_t next = first->next;
    char second[64];
    snprintf(second, sizeof second, "%s", ((struct entry *)(void *)(buffer + first->length))->name);
    CALL(lseek, root, next, SEEK_SET);
    CALL(getdents64, root, buffer, 64);
    TELL(getdents64, "from the place of an entry on", "%d", strcmp(first->name, second));
    struct stat status;
    CALL(stat, "/data", &status);
    TELL(getdents64, "is the inode that stat tells", "%d",
         (CALL(lseek, root, 0, SEEK_SET), CALL(getdents64, root, buffer, 64), first->inode == status.st_ino));
    CHECK(read, "a directory", root, buffer, 10);
    CHECK(read, "nothing of a directory", root, buffer, 0);
    CHECK(pread64, "a directory", root, buffer, 10, 0);
    listed("a directory with one", opened("/data/deep", O_RDONLY), 4096);
}

static void changing(void)
{
    CALL(close_range, 3, 2000, 0);
    int first = opened("/dev/null", O_RDONLY);
    for (int more = 0; more < 40; more++)
        opened("/dev/null", O_RDONLY);
    int list = opened("/proc/self/fd", O_RDONLY | O_DIRECTORY), seen = 0;
    char buffer[100];
    long got;
    while ((got = CALL(getdents64, list, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < got;) {
            struct entry *entry = (void *)(buffer + at);
            int number = atoi(entry->name);
            at += entry->length;
            if (*entry->name != '.' && number >= first && number != list) {
                seen++;
                CALL(close, number);
            }
        }
    TELL(getdents64, "closed while listed", "%d", seen);
    CALL(lseek, list, 0, SEEK_SET);
    listed("what is left", list, 4096);

    CALL(lseek, list, 0, SEEK_SET);
    CALL(getdents64, list, buffer, sizeof buffer);
    struct entry *last = (void *)buffer;
    while ((char *)last + last->length < buffer + sizeof buffer && atoi(last->name) < 1)
        last = (void *)((char *)last + last->length);
    CALL(dup2, 1, 20);
    CALL(dup2, 1, 5);
    CALL(lseek, list, last->next, SEEK_SET);
    listed("what was opened behind the place", list, 4096);
    CALL(close, 20);
    CALL(close, 5);
    CALL(lseek, list, 0, SEEK_SET);
    CALL(getdents64, list, buffer, 24);
    TELL(lseek, "behind one entry of descriptors", "%ld", CALL(lseek, list, 0, SEEK_CUR));
    CALL(getdents64, list, buffer, 24);
    TELL(lseek, "behind two", "%ld", CALL(lseek, list, 0, SEEK_CUR));
    CALL(getdents64, list, buffer, 24);
    TELL(lseek, "behind descriptor 0", "%ld", CALL(lseek, list, 0, SEEK_CUR));
    CALL(lseek, list, 1000, SEEK_SET);
    listed("behind all", list, 4096);
}

void directories(void)
{
    listing();
    changing();
}
