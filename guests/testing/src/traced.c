/* Spans and events of C code: what `c_spans` in traced.rs calls. */
#include <ampoule_trace.h>

#define TARGET "testing::c"
#define HERE __FILE__, __LINE__

static void inner(void)
{
    uint64_t span = ampoule_span_open("c inner", TARGET, AMPOULE_DEBUG, HERE);
    struct ampoule_field fields[] = {
        {.name = "boolean", .type = AMPOULE_BOOL, .value.boolean = true},
        {.name = "signed", .type = AMPOULE_SIGNED, .value.integer = INT64_MIN},
        {.name = "unsigned", .type = AMPOULE_UNSIGNED, .value.natural = UINT64_MAX},
        {.name = "float", .type = AMPOULE_FLOAT, .value.real = 0.5},
        {.name = "text", .type = AMPOULE_TEXT, .value.text = "\xc3\xa4 and \xff"},
        {.name = "nothing", .type = AMPOULE_TEXT, .value.text = NULL},
        {.name = "unknown", .type = 77},
    };
    ampoule_event(AMPOULE_WARN, TARGET, "from C", HERE, fields, sizeof fields / sizeof *fields);
    ampoule_span_close(span);
}

/* Whether anything of this was wanted. */
bool traced_in_c(void)
{
    uint64_t span = ampoule_span_open("c outer", TARGET, AMPOULE_INFO, HERE);
    ampoule_span_field_bool(span, "boolean", true);
    ampoule_span_field_i64(span, "signed", -1);
    ampoule_span_field_u64(span, "unsigned", 1);
    ampoule_span_field_f64(span, "float", 1.5);
    ampoule_span_field_str(span, "text", "t");
    inner();
    ampoule_event(AMPOULE_INFO, TARGET, NULL, NULL, 0, NULL, 0);
    ampoule_span_close(span);

    /* Wrong in every way that has no consequence. */
    ampoule_event(0, TARGET, "no level", HERE, NULL, 0);
    ampoule_event(6, TARGET, "no level either", HERE, NULL, 0);
    ampoule_span_close(ampoule_span_open(NULL, NULL, AMPOULE_INFO, NULL, 0));
    ampoule_span_close(span);
    ampoule_span_close(0);
    ampoule_span_field_bool(span, NULL, false);
    ampoule_span_field_str(UINT64_MAX, "name", NULL);
    return ampoule_trace_enabled(AMPOULE_INFO, TARGET);
}
