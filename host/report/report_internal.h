/* report_internal: escaping, and the fixed parts of the page (page.c). */
#ifndef REPORT_INTERNAL_H
#define REPORT_INTERNAL_H

#include "report/report.h"

/* & < > " ' as character references. */
void report_escape(struct base_text *out, const char *s);
/* JSON text made safe inside <script>: < > & become \u escapes. */
void report_script_json(struct base_text *out, const char *json);
/* 1234567 -> "1,234,567". */
const char *report_grouped(char buf[32], int64_t v);

extern const char report_css[], report_js[];

#endif
