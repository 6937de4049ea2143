/* Memory: mapping, protecting, moving, advising, the break. */
#include "check.h"

enum { RW = PROT_READ | PROT_WRITE, PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS };

static char *mapped(size_t pages, int protection)
{
    return (char *)CALL(mmap, 0, pages * PAGE, protection, PRIVATE, -1, 0);
}

static void mapping(void)
{
    int file = opened("/data/text", O_RDONLY), large = opened("/data/large", O_RDONLY), ends[2];
    int path = opened("/data/text", O_PATH), writer = opened("/dev/null", O_WRONLY);
    piped(ends, 0);
    CHECK(mmap, "no length", 0, 0, RW, PRIVATE, -1, 0);
    CHECK(mmap, "neither shared nor private", 0, PAGE, RW, MAP_ANONYMOUS, -1, 0);
    CHECK(mmap, "an odd offset", 0, PAGE, RW, PRIVATE, -1, 5);
    CHECK(mmap, "an odd offset of a closed one", 0, PAGE, PROT_READ, MAP_PRIVATE, 77, 5);
    CHECK(mmap, "all there is", 0, -PAGE, RW, PRIVATE, -1, 0);
    CHECK(mmap, "more than there is", 0, -1, RW, PRIVATE, -1, 0);
    CHECK(mmap, "more than an address space", 0, 1L << 48, PROT_NONE, PRIVATE | MAP_NORESERVE, -1, 0);
    CHECK_OK(mmap, "a page", 0, 1, RW, PRIVATE, -1, 0);
    CHECK_OK(mmap, "shared with nobody", 0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK_OK(mmap, "a descriptor that is not looked at", 0, PAGE, RW, PRIVATE, 77, 0);
    CHECK_OK(mmap, "an odd hint", 12345, PAGE, RW, PRIVATE, -1, 0);
    CHECK_OK(mmap, "unknown bits of protection", 0, PAGE, 0x1000 | PROT_READ, PRIVATE, -1, 0);
    CHECK_OK(mmap, "unknown flags", 0, PAGE, RW, PRIVATE | 0x800000, -1, 0);
    CHECK(mmap, "a closed one", 0, PAGE, PROT_READ, MAP_PRIVATE, 77, 0);
    CHECK(mmap, "no length of a closed one", 0, 0, PROT_READ, MAP_PRIVATE, 77, 0);
    CHECK(mmap, "a pipe", 0, PAGE, PROT_READ, MAP_PRIVATE, ends[0], 0);
    CHECK(mmap, "the end that is written", 0, PAGE, PROT_READ, MAP_PRIVATE, ends[1], 0);
    CHECK(mmap, "a directory", 0, PAGE, PROT_READ, MAP_PRIVATE, opened("/data", O_RDONLY), 0);
    CHECK(mmap, "/dev/null", 0, PAGE, PROT_READ, MAP_PRIVATE, opened("/dev/null", O_RDWR), 0);
    CHECK_OK(mmap, "/dev/zero", 0, PAGE, RW, MAP_PRIVATE, opened("/dev/zero", O_RDWR), 0);
    CHECK(mmap, "O_PATH", 0, PAGE, PROT_READ, MAP_PRIVATE, path, 0);
    CHECK(mmap, "what is only written", 0, PAGE, PROT_READ, MAP_PRIVATE, writer, 0);
    CHECK(mmap, "a file to write together", 0, PAGE, RW, MAP_SHARED, file, 0);
    CHECK_OK(mmap, "a file to read together", 0, PAGE, PROT_READ, MAP_SHARED, file, 0);
    CHECK(mmap, "a file of no kind", 0, PAGE, PROT_READ, 0, file, 0);
    CHECK_OK(mmap, "a file, validated", 0, PAGE, PROT_READ, MAP_SHARED_VALIDATE, file, 0);
    CHECK(mmap, "a file, validated with an unknown flag", 0, PAGE, PROT_READ,
          MAP_SHARED_VALIDATE | 0x800000, file, 0);
    CHECK(mmap, "a file, validated to synchronise", 0, PAGE, PROT_READ, MAP_SHARED_VALIDATE | 0x80000,
          file, 0);
    CHECK(mmap, "validated without a file", 0, PAGE, PROT_READ, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mmap, "a file to the largest offset", 0, PAGE, PROT_READ, MAP_PRIVATE, file, INT64_MAX & -PAGE);
    CHECK(mmap, "a file at an offset that overflows", 0, 2 * PAGE, PROT_READ, MAP_PRIVATE, file, -PAGE);
    char *text = (char *)CALL(mmap, 0, PAGE, RW, MAP_PRIVATE, file, 0);
    TELL(mmap, "what a file shows", "%.5s %d", text, text[100]);
    char *rest = (char *)CALL(mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, large, 6 * PAGE);
    TELL(mmap, "a file from a page on", "%.3s", rest);
    text[0] = 'J';
    char again[2] = "";
    CALL(pread64, file, again, 1, 0);
    TELL(mmap, "the file stays", "%s", again);

    char *area = mapped(4, RW);
    CHECK(mmap, "fixed and odd", area + 5, PAGE, RW, PRIVATE | MAP_FIXED, -1, 0);
    TELL(mmap, "fixed", "%d", CALL(mmap, area + PAGE, PAGE, RW, PRIVATE | MAP_FIXED, -1, 0) == (long)area + PAGE);
    CHECK(mmap, "fixed, what is there stays", area, PAGE, RW, PRIVATE | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(mmap, "fixed at 0", 0, PAGE, RW, PRIVATE | MAP_FIXED, -1, 0);
    CHECK(mmap, "fixed in the kernel", -2 * PAGE, PAGE, RW, PRIVATE | MAP_FIXED, -1, 0);
    CHECK(mmap, "fixed, running over", area, 1L << 62, RW, PRIVATE | MAP_FIXED, -1, 0);
    area[0] = 'a';
    CHECK(mmap, "fixed, of a closed one", area, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, 77, 0);
    TELL(mmap, "a failed one leaves what was there", "%c", area[0]);
    CALL(munmap, area, PAGE);
    TELL(mmap, "a hint that is free", "%d", CALL(mmap, area, PAGE, RW, PRIVATE, -1, 0) == (long)area);
    TELL(mmap, "a hint that is taken", "%d", CALL(mmap, area, PAGE, RW, PRIVATE, -1, 0) != (long)area);
    long low = CALL(mmap, 0, PAGE, RW, PRIVATE | MAP_32BIT, -1, 0);
    TELL(mmap, "in the low half", "%d", low > 0 && low < 1L << 31);
}

static void unmapping(void)
{
    char *area = mapped(4, RW);
    CHECK(munmap, "no length", area, 0);
    CHECK(munmap, "an odd place", area + 1, PAGE);
    CHECK(munmap, "an odd place, no length", area + 1, 0);
    CHECK(munmap, "a length that is rounded", area + 3 * PAGE, 1);
    CHECK(munmap, "what is not there", area + 3 * PAGE, PAGE);
    CHECK(munmap, "a hole between", area, 4 * PAGE);
    CHECK(munmap, "the kernel's", -2 * PAGE, PAGE);
    CHECK(munmap, "running over", area, -PAGE);
    CHECK(munmap, "all of it", area, -1);
    CHECK(munmap, "at null", 0, PAGE);
    CHECK(write, "what is gone", 1, area, 1);
    area = mapped(3, RW);
    CHECK(munmap, "the middle", area + PAGE, PAGE);
    CHECK(write, "the middle", 1, area + PAGE, 1);
    area[0] = area[2 * PAGE] = 1;

    area = mapped(4, RW);
    CHECK(mprotect, "to read", area, PAGE, PROT_READ);
    CHECK(read, "into what is read", opened("/dev/zero", O_RDONLY), area, 1);
    CHECK(mprotect, "to nothing", area, PAGE, PROT_NONE);
    CHECK(write, "from nothing", opened("/dev/zero", O_WRONLY), area, 1);
    CHECK(mprotect, "an odd place", area + 1, PAGE, PROT_READ);
    CHECK(mprotect, "no length", area, 0, PROT_READ);
    CHECK(mprotect, "no length at nothing", nowhere - 16, 0, PROT_READ);
    CHECK(mprotect, "no length, unknown bits", area, 0, 0x1000);
    CHECK(mprotect, "unknown bits", area, PAGE, 0x1000);
    CHECK(mprotect, "unknown bits, an odd place", area + 1, PAGE, 0x1000);
    CHECK(mprotect, "both ways to grow", area, PAGE, 0x3000000);
    CHECK(mprotect, "to grow what does not grow", area, PAGE, PROT_READ | PROT_GROWSDOWN);
    CHECK(mprotect, "PROT_SEM", area, PAGE, RW | 8);
    CALL(munmap, area + 2 * PAGE, PAGE);
    CHECK(mprotect, "over a hole", area, 4 * PAGE, PROT_READ);
    CHECK(read, "before the hole", opened("/dev/zero", O_RDONLY), area + PAGE, 1);
    CHECK(read, "behind the hole", opened("/dev/zero", O_RDONLY), area + 3 * PAGE, 1);
    CHECK(mprotect, "at null", 0, PAGE, PROT_READ);
    CHECK(mprotect, "running over", area, -PAGE, PROT_READ);
    CHECK(mprotect, "the kernel's", -2 * PAGE, PAGE, PROT_READ);
    CHECK(mprotect, "a file that is read, to write together",
          CALL(mmap, 0, PAGE, PROT_READ, MAP_SHARED, opened("/data/text", O_RDONLY), 0), PAGE, RW);
    CHECK(mprotect, "a file of one's own, to write",
          CALL(mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, opened("/data/text", O_RDONLY), 0), PAGE, RW);
}

static void moving(void)
{
    char *area = mapped(8, RW);
    memset(area, 'm', 8 * PAGE);
    CHECK(mremap, "an odd place", area + 1, PAGE, PAGE, 0);
    CHECK(mremap, "to no length", area, PAGE, 0, 0);
    CHECK(mremap, "unknown flags", area, PAGE, PAGE, 8);
    CHECK(mremap, "fixed without moving", area, PAGE, PAGE, MREMAP_FIXED, area + PAGE);
    CHECK(mremap, "what is not there", nowhere - 16, PAGE, PAGE, 0);
    CHECK(mremap, "no old length of private memory", area, 0, PAGE, MREMAP_MAYMOVE);
    TELL(mremap, "as it is", "%d", CALL(mremap, area, 8 * PAGE, 8 * PAGE, 0) == (long)area);
    TELL(mremap, "smaller", "%d", CALL(mremap, area, 8 * PAGE, 4 * PAGE, 0) == (long)area);
    CHECK(write, "what was cut", opened("/dev/zero", O_WRONLY), area + 4 * PAGE, 1);
    CALL(mmap, area + 4 * PAGE, PAGE, RW, PRIVATE | MAP_FIXED, -1, 0);
    CHECK(mremap, "larger where something is", area, 4 * PAGE, 5 * PAGE, 0);
    char *moved = (char *)CALL(mremap, area, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE);
    TELL(mremap, "moved and larger", "%d %c %c %d", moved != area, moved[0], moved[4 * PAGE - 1],
         moved[5 * PAGE]);
    CHECK(write, "where it was", opened("/dev/zero", O_WRONLY), area, 1);
    CHECK(mremap, "onto itself", moved, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, moved + PAGE);
    CHECK(mremap, "to an odd place", moved, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, moved + 5);
    char *target = mapped(2, RW);
    TELL(mremap, "to a place", "%d",
         CALL(mremap, moved, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == (long)target);
    TELL(mremap, "what stands there", "%c", target[0]);
    CHECK(mremap, "into the kernel", moved + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, -2 * PAGE);
    CHECK(mremap, "more than there is", moved + PAGE, PAGE, 1L << 46, MREMAP_MAYMOVE);
    CHECK(mremap, "a length that overflows", moved + PAGE, PAGE, -1, MREMAP_MAYMOVE);
    char *pieces = mapped(3, RW);
    CALL(munmap, pieces + PAGE, PAGE);
    CHECK(mremap, "over a hole", pieces, 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE);
    CHECK_OK(mremap, "over a hole, smaller", pieces, 3 * PAGE, PAGE, MREMAP_MAYMOVE);
    pieces = mapped(3, RW);
    CALL(mprotect, pieces + PAGE, PAGE, PROT_READ);
    CHECK(mremap, "of two rights, larger", pieces, 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE);
    TELL(mremap, "of two rights, smaller", "%d",
         CALL(mremap, pieces, 3 * PAGE, PAGE, MREMAP_MAYMOVE) == (long)pieces);
}

static void advising(void)
{
    char *area = mapped(4, RW);
    unsigned char resident[8];
    memset(area, 'a', 4 * PAGE);
    CHECK(madvise, "an odd place", area + 1, PAGE, MADV_NORMAL);
    CHECK(madvise, "unknown advice", area, PAGE, 99);
    CHECK(madvise, "unknown advice, no length", area, 0, 99);
    CHECK(madvise, "no length", area, 0, MADV_DONTNEED);
    CHECK(madvise, "running over", area, -1, MADV_NORMAL);
    CHECK(madvise, "a length that overflows the address", area, -PAGE, MADV_NORMAL);
    CHECK(madvise, "MADV_DONTNEED", area, PAGE, MADV_DONTNEED);
    TELL(madvise, "what is there then", "%d %c", area[0], area[PAGE]);
    CHECK(madvise, "MADV_WILLNEED", area, PAGE, MADV_WILLNEED);
    CHECK(madvise, "MADV_SEQUENTIAL", area, PAGE, MADV_SEQUENTIAL);
    CHECK(madvise, "MADV_RANDOM", area, PAGE, MADV_RANDOM);
    CHECK(madvise, "MADV_DONTFORK", area, PAGE, MADV_DONTFORK);
    CHECK(madvise, "MADV_DONTDUMP", area, PAGE, MADV_DONTDUMP);
    CHECK(madvise, "MADV_COLD", area, PAGE, 20);
    CHECK(madvise, "MADV_POPULATE_READ", area, PAGE, 22);
    CHECK(madvise, "MADV_POPULATE_WRITE", area, PAGE, 23);
    CHECK(madvise, "MADV_REMOVE", area, PAGE, MADV_REMOVE);
    CALL(munmap, area + 2 * PAGE, PAGE);
    memset(area, 'b', PAGE);
    memset(area + 3 * PAGE, 'c', PAGE);
    CHECK(madvise, "MADV_DONTNEED over a hole", area, 4 * PAGE, MADV_DONTNEED);
    TELL(madvise, "what is there around the hole", "%d %d", area[0], area[3 * PAGE]);
    CHECK(madvise, "MADV_NORMAL over a hole", area, 4 * PAGE, MADV_NORMAL);
    CHECK(madvise, "at nothing", nowhere - 16, PAGE, MADV_DONTNEED);
    char *text = (char *)CALL(mmap, 0, PAGE, RW, MAP_PRIVATE, opened("/data/text", O_RDONLY), 0);
    text[0] = 'J';
    CHECK(madvise, "MADV_DONTNEED of a file", text, PAGE, MADV_DONTNEED);
    TELL(madvise, "what a file shows then", "%.5s", text);
    CHECK(madvise, "MADV_FREE of a file", text, PAGE, 8);
    area = mapped(4, RW);
    memset(area, 'd', 4 * PAGE);
    CHECK(mincore, "all of it", area, 4 * PAGE, resident);
    TELL(mincore, "what is resident", "%d %d", resident[0] & 1, resident[3] & 1);
    CHECK(mincore, "an odd place", area + 1, PAGE, resident);
    CHECK(mincore, "a part of a page", area, 1, resident);
    CHECK(mincore, "no length", area, 0, resident);
    CHECK(mincore, "no length nowhere", area, 0, nowhere);
    CHECK(mincore, "nowhere", area, PAGE, nowhere);
    CALL(munmap, area + PAGE, PAGE);
    CHECK(mincore, "over a hole", area, 4 * PAGE, resident);
    CHECK(mincore, "over a hole, nowhere", area, 4 * PAGE, nowhere);
    CHECK(mincore, "running over", area, -PAGE, resident);
    CHECK(msync, "synchronous", area, PAGE, MS_SYNC);
    CHECK(msync, "both ways", area, PAGE, MS_SYNC | MS_ASYNC);
    CHECK(msync, "unknown flags", area, PAGE, 8);
    CHECK(msync, "an odd place", area + 1, PAGE, MS_SYNC);
    CHECK(msync, "no length", area, 0, MS_SYNC);
    CHECK(msync, "over a hole", area, 4 * PAGE, MS_ASYNC);
    CHECK(msync, "running over", area, -1, MS_SYNC);
    CHECK(msync, "a length that overflows the address", area, -PAGE, MS_SYNC);
    CHECK(mlock, "a page", area, PAGE);
    CHECK(mlock, "an odd place", area + 5, 10);
    CHECK(mlock, "over a hole", area, 4 * PAGE);
    CHECK(mlock, "no length", area, 0);
    CHECK(mlock, "running over", area, -1);
    CHECK(mlock2, "on fault", area, PAGE, 1);
    CHECK(mlock2, "unknown flags", area, PAGE, 2);
    CHECK(munlock, "a page", area, PAGE);
    CHECK(munlock, "over a hole", area, 4 * PAGE);
    CHECK(mlockall, "no flags", 0);
    CHECK(mlockall, "unknown flags", 8);
    CHECK(mlockall, "only on fault", 4);
    CHECK(munlockall, "everything");
}

static void breaking(void)
{
    char *start = (char *)CHECK_OK(brk, "asks", 0);
    TELL(brk, "there is one", "%d", (long)start > 0);
    TELL(brk, "up", "%d", CALL(brk, start + 5000) == (long)start + 5000);
    start[4999] = 'b';
    TELL(brk, "down", "%d", CALL(brk, start) == (long)start);
    TELL(brk, "up again", "%d", CALL(brk, start + 3 * PAGE) == (long)start + 3 * PAGE);
    int zero = 1;
    for (char *at = (char *)(((long)start + PAGE - 1) & -PAGE); at < start + 3 * PAGE; at++)
        zero &= *at == 0;
    TELL(brk, "what comes back is zero", "%d", zero);
    TELL(brk, "below the start", "%d", CALL(brk, PAGE) == (long)start + 3 * PAGE);
    TELL(brk, "far beyond", "%d", CALL(brk, 1L << 62) == (long)start + 3 * PAGE);
    long next = ((long)start + 3 * PAGE + PAGE - 1) & -PAGE;
    CALL(mmap, next + PAGE, PAGE, RW, PRIVATE | MAP_FIXED, -1, 0);
    TELL(brk, "over a mapping", "%d", CALL(brk, next + 3 * PAGE) == (long)start + 3 * PAGE);
    TELL(brk, "back to the start", "%d", CALL(brk, start) == (long)start);
}

/* What the pages of an area say: how many are not zero, and the sum of what stands at their starts. */
static void tell_pages(const char *what, const char *area, long pages)
{
    long filled = 0, sum = 0;
    for (long page = 0; page < pages; page++) {
        long word;
        memcpy(&word, area + page * PAGE, sizeof word);
        filled += word != 0;
        sum += word;
    }
    tell("pages", what, "%ld %ld", filled, sum);
}

/* So much at once, and in so many pieces, that it is done in portions inside. */
static void large(void)
{
    enum { PAGES = 4096, RESERVED = MAP_NORESERVE | PRIVATE };
    const long size = (long)PAGES * PAGE, far = 0xc000000000, farther = 0x600000000000;
    TELL(mmap, "a far hint, as Go's", "%d", CALL(mmap, far, 4 * size, PROT_NONE, RESERVED, -1, 0) == far);
    CHECK_OK(mmap, "a terabyte of nothing, as V8's", 0, 1L << 40, PROT_NONE, RESERVED, -1, 0);
    CHECK(munmap, "nothing of a terabyte", farther, 1L << 40);
    char *area = (char *)far;
    CHECK(mprotect, "what was reserved", area, size, RW);
    tell_pages("fresh", area, PAGES);
    for (long page = 0; page < PAGES; page++)
        *(long *)(area + page * PAGE) = page + 1;
    for (long page = 0; page < PAGES; page += 2)
        CALL(madvise, area + page * PAGE, PAGE, MADV_DONTNEED);
    tell_pages("every second one", area, PAGES);
    TELL(mremap, "in pieces, far away", "%d",
         CALL(mremap, area, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, farther) == farther);
    area = (char *)farther;
    tell_pages("moved", area, PAGES);
    CHECK(mprotect, "in pieces", area, size, PROT_READ);
    tell_pages("to be read", area, PAGES);
    CHECK(write, "where they were", opened("/dev/zero", O_WRONLY), far, 1);
    CHECK(mprotect, "in pieces, back", area, size, RW);
    CHECK(pread64, "over half of the pieces", opened("/dev/zero", O_RDONLY), area, size / 2, 0);
    tell_pages("half is zero", area, PAGES);
    /* No two neighbours alike, and a hole at the end of them. */
    for (long page = 1; page < 512; page += 2)
        CALL(mprotect, area + size / 2 + page * PAGE, PAGE, PROT_READ);
    CALL(munmap, area + size / 2 + 512 * PAGE, PAGE);
    CHECK(mprotect, "up to a hole", area + size / 2, size / 2, RW);
    CHECK(read, "before the last hole", opened("/dev/zero", O_RDONLY), area + size / 2 + 511 * PAGE, 1);
    CHECK(mmap, "over all of it", area, size, RW, RESERVED | MAP_FIXED, -1, 0);
    tell_pages("renewed", area, PAGES);
    CHECK(pread64, "the rest of a file, again and again", opened("/data/large", O_RDONLY), area, size, 5);
    TELL(pread64, "what stands there", "%.3s %d", area + 99990, area[99995]);
    CHECK(munmap, "all that was renewed", area, size);
    CHECK(munmap, "the far one", far, 4 * size);
    long last = 0x7ffffffff000 - PAGE;
    CHECK(mmap, "behind the last page", last + PAGE, PAGE, RW, RESERVED | MAP_FIXED, -1, 0);
    CHECK(mmap, "from the last page on", last, 2 * PAGE, RW, RESERVED | MAP_FIXED, -1, 0);
}

void memory(void)
{
    mapping();
    unmapping();
    moving();
    advising();
    large();
    breaking();
}
