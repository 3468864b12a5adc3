/* text: a growing string. A failed allocation is remembered in `failed`, so that
 * a writer of many pieces checks once, at its end. */
#include "base/base.h"

#include <string.h>

static bool reserve(struct base_text *t, size_t extra)
{
    if (t->failed)
        return false;
    if (t->cap - t->len > extra)
        return true;
    size_t cap = t->cap ? t->cap : 128;
    while (cap - t->len <= extra)
        cap *= 2;
    char *s = base_realloc(t->s, t->cap, cap);
    if (!s) {
        t->failed = true;
        return false;
    }
    t->s = s;
    t->cap = cap;
    return true;
}

void base_text_add_bytes(struct base_text *t, const void *p, size_t n)
{
    if (!reserve(t, n))
        return;
    if (n)
        memcpy(t->s + t->len, p, n);
    t->len += n;
    t->s[t->len] = '\0';
}

static void add_format(struct base_text *t, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0 && reserve(t, (size_t)n)) {
        vsnprintf(t->s + t->len, (size_t)n + 1, fmt, again);
        t->len += (size_t)n;
    }
    va_end(again);
}

void base_text_add(struct base_text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_format(t, fmt, ap);
    va_end(ap);
}

void base_text_add_csv(struct base_text *t, const char *field)
{
    if (!field[strcspn(field, ",\"\r\n")]) {
        base_text_add_bytes(t, field, strlen(field));
        return;
    }
    base_text_add_bytes(t, "\"", 1);
    for (; *field; field++)
        base_text_add_bytes(t, *field == '"' ? "\"\"" : field, *field == '"' ? 2 : 1);
    base_text_add_bytes(t, "\"", 1);
}

void base_text_free(struct base_text *t)
{
    if (!t)
        return;
    base_free(t->s);
    *t = (struct base_text){0};
}

char *base_format(const char *fmt, ...)
{
    struct base_text t = {0};
    va_list ap;
    va_start(ap, fmt);
    add_format(&t, fmt, ap);
    va_end(ap);
    return t.s;
}
