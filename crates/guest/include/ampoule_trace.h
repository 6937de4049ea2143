/*
 * Spans and events of a guest's C code, in the trace of whoever calls the guest.
 *
 * The functions are in the crate ampoule-guest with its feature `c`. They do nothing while the host
 * wants nothing, and on plain Linux; a sandbox has one thread, and so have they.
 *
 * Texts end with a zero byte and are copied; bytes that are no UTF-8 are replaced. A null pointer
 * stands for an empty text, or for no file. Any other pointer must be valid.
 *
 * A level is one of AMPOULE_ERROR to AMPOULE_TRACE; with any other nothing happens. A line is 0 when
 * it is not known.
 */
#ifndef AMPOULE_TRACE_H
#define AMPOULE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    AMPOULE_ERROR = 1,
    AMPOULE_WARN = 2,
    AMPOULE_INFO = 3,
    AMPOULE_DEBUG = 4,
    AMPOULE_TRACE = 5
};

/* Which member of a field's value counts. */
enum {
    AMPOULE_BOOL = 0,
    AMPOULE_SIGNED = 1,
    AMPOULE_UNSIGNED = 2,
    AMPOULE_FLOAT = 3,
    AMPOULE_TEXT = 4
};

/* A named value of an event. A field of an unknown type is left out. */
struct ampoule_field {
    const char *name;
    uint32_t type;
    union {
        bool boolean;
        int64_t integer;
        uint64_t natural;
        double real;
        const char *text;
    } value;
};

/*
 * Whether the host wants spans and events of the target at the level. The functions below find out
 * themselves: this is to spare the work of making values.
 */
bool ampoule_trace_enabled(uint32_t level, const char *target);

/*
 * Opens a span inside the current one, and makes it the current one. Gives its id, 0 if the host does
 * not want it; every function takes a 0 for a span and does nothing.
 */
uint64_t ampoule_span_open(const char *name, const char *target, uint32_t level,
                           const char *file, uint32_t line);

/* Add a field to an open span. */
void ampoule_span_field_bool(uint64_t span, const char *name, bool value);
void ampoule_span_field_i64(uint64_t span, const char *name, int64_t value);
void ampoule_span_field_u64(uint64_t span, const char *name, uint64_t value);
void ampoule_span_field_f64(uint64_t span, const char *name, double value);
void ampoule_span_field_str(uint64_t span, const char *name, const char *value);

/* Closes a span that ampoule_span_open gave, once. Spans inside it should be closed before. */
void ampoule_span_close(uint64_t span);

/*
 * Something happens in the current span. `fields` points to `field_count` fields, and may be null
 * when there are none.
 */
void ampoule_event(uint32_t level, const char *target, const char *message, const char *file,
                   uint32_t line, const struct ampoule_field *fields, size_t field_count);

#ifdef __cplusplus
}
#endif

#endif
