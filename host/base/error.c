/* error: the one message of each thread, set where the fault is seen.
 *
 * Fixed buffers, so that reporting "out of memory" needs no memory. A message
 * that does not fit is cut, never dropped. */
#include "base/base_internal.h"

#include <string.h>

static _Thread_local struct base_error_state error_state;

/* Names out of files may hold anything: a terminal must not obey it. */
static void clean(char *s)
{
    for (; *s; s++)
        if (((unsigned char)*s < 0x20 && *s != '\n' && *s != '\t') || *s == 0x7f)
            *s = '?';
}

int base_fail(int code, const char *fmt, ...)
{
    /* Through a second buffer: the arguments may point at the old message. */
    char text[BASE_ERROR_LEN];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    clean(text);
    memcpy(error_state.message, text, sizeof text);
    error_state.hint[0] = '\0';
    return code;
}

int base_hint(int code, const char *fmt, ...)
{
    char text[BASE_HINT_LEN];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    clean(text);
    memcpy(error_state.hint, text, sizeof text);
    return code;
}

int base_fail_again(int code, char *message, char *hint)
{
    base_fail(code, "%s", message ? message : "out of memory");
    if (hint && *hint)
        base_hint(code, "%s", hint);
    base_free(message);
    base_free(hint);
    return code;
}

const char *base_error(void)
{
    return error_state.message;
}

const char *base_error_hint(void)
{
    return error_state.hint;
}

void base_error_clear(void)
{
    error_state.message[0] = '\0';
    error_state.hint[0] = '\0';
}

void base_error_save(struct base_error_state *out)
{
    *out = error_state;
}

void base_error_restore(const struct base_error_state *in)
{
    error_state = *in;
}

int base_exit_code(int code)
{
    switch (code) {
    case BASE_OK: return 0;
    case BASE_TARGET: return 1;
    case BASE_INPUT: return 2;
    case BASE_IO: return 2;
    case BASE_MISSING: return 3;
    case BASE_STOPPED: return 130;
    default: return 4;
    }
}
