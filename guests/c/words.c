/*
 * A plain filter: reads standard input to its end, counts the words, and prints them by frequency,
 * then alphabetically. A word is a run of ASCII letters and digits, in lower case.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct entry *next;
    char *word;
    unsigned long count;
};

enum { BUCKETS = 4096 };
static struct entry *buckets[BUCKETS];
static size_t entries;

static void *checked(void *memory)
{
    if (!memory) {
        fprintf(stderr, "words: out of memory\n");
        exit(1);
    }
    return memory;
}

static void count(const char *word)
{
    unsigned hash = 2166136261u; /* FNV-1a */
    for (const char *c = word; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    struct entry **place = &buckets[hash % BUCKETS];
    for (struct entry *entry = *place; entry; entry = entry->next) {
        if (strcmp(entry->word, word) == 0) {
            entry->count++;
            return;
        }
    }
    struct entry *entry = checked(malloc(sizeof *entry));
    *entry = (struct entry){.next = *place, .word = checked(strdup(word)), .count = 1};
    *place = entry;
    entries++;
}

static int by_frequency(const void *left, const void *right)
{
    const struct entry *a = *(struct entry *const *)left;
    const struct entry *b = *(struct entry *const *)right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return strcmp(a->word, b->word);
}

int main(void)
{
    size_t length = 0, capacity = 64;
    char *word = checked(malloc(capacity));
    for (int c; (c = getchar()) != EOF;) {
        if (c < 128 && isalnum(c)) {
            if (length + 1 == capacity)
                word = checked(realloc(word, capacity *= 2));
            word[length++] = (char)tolower(c);
        } else if (length > 0) {
            word[length] = '\0';
            count(word);
            length = 0;
        }
    }
    if (length > 0) {
        word[length] = '\0';
        count(word);
    }
    if (ferror(stdin)) {
        perror("words");
        return 1;
    }

    struct entry **sorted = checked(malloc((entries + 1) * sizeof *sorted));
    size_t used = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct entry *entry = buckets[i]; entry; entry = entry->next)
            sorted[used++] = entry;
    qsort(sorted, used, sizeof *sorted, by_frequency);
    for (size_t i = 0; i < used; i++)
        printf("%7lu %s\n", sorted[i]->count, sorted[i]->word);
    return fflush(stdout) == 0 ? 0 : 1;
}
