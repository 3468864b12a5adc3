/* escape: texts made safe for HTML and for JSON inside a script element. */
#include "report/report_internal.h"

#include <inttypes.h>
#include <string.h>

void report_escape(struct base_text *out, const char *s)
{
    for (; *s; s++) {
        switch (*s) {
        case '&': base_text_add(out, "&amp;"); break;
        case '<': base_text_add(out, "&lt;"); break;
        case '>': base_text_add(out, "&gt;"); break;
        case '"': base_text_add(out, "&quot;"); break;
        case '\'': base_text_add(out, "&#39;"); break;
        default: base_text_add_bytes(out, s, 1);
        }
    }
}

void report_script_json(struct base_text *out, const char *json)
{
    for (; *json; json++) {
        if (strchr("<>&", *json))
            base_text_add(out, "\\u%04x", (unsigned char)*json);
        else
            base_text_add_bytes(out, json, 1);
    }
}

const char *report_grouped(char buf[32], int64_t v)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRId64, v), o = 0;
    for (int i = 0; i < n; i++) {
        buf[o++] = digits[i];
        if (digits[i] != '-' && (n - i - 1) % 3 == 0 && i < n - 1)
            buf[o++] = ',';
    }
    buf[o] = '\0';
    return buf;
}
