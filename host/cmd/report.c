/* report: where a run's report is, and its main table, from summary.json. Makes nothing anew. */
#include <string.h>
#include <sys/stat.h>

#include "cmd/output.h"

enum { MAX_SUMMARY = 64 << 20 };

static bool is_folder(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* RUN is the folder of a run or its summary.json. */
static int find_files(const char *run, char **summary, char **page)
{
    const char *slash = strrchr(run, '/');
    bool folder = is_folder(run);
    int head = slash ? (int)(slash - run) + 1 : 0;
    size_t n = strlen(run);
    const char *join = n && run[n - 1] == '/' ? "" : "/";
    *summary = folder ? base_format("%s%ssummary.json", run, join) : base_strdup(run);
    *page = folder ? base_format("%s%sreport.html", run, join) : base_format("%.*sreport.html", head, run);
    if (!*summary || !*page)
        return BASE_NOMEM;
    if (!base_file_exists(*summary))
        return base_hint(base_fail(BASE_INPUT, "%s: there is no such file", *summary), "'bitpress apply' and 'bitpress compress' write it into their output folder");
    return BASE_OK;
}

static int load(json_t **out, const char *path)
{
    uint8_t *bytes;
    size_t len;
    json_error_t e;
    int rc = base_file_read(&bytes, &len, path, MAX_SUMMARY);
    if (rc)
        return rc;
    *out = json_loadb((const char *)bytes, len, JSON_REJECT_DUPLICATES, &e);
    base_free(bytes);
    if (!*out)
        return base_fail(BASE_INPUT, "%s:%d: %s", path, e.line, e.text);
    if (!json_is_object(*out) || !json_is_array(json_object_get(*out, "rows")))
        return base_hint(base_fail(BASE_INPUT, "%s: not the summary of a run: 'rows' is missing", path), "docs/report.md has its keys");
    return BASE_OK;
}

/* ---- the table ---------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key, char buf[256])
{
    const char *s = json_string_value(json_object_get(object, key));
    return cmd_clean(buf, s ? s : "-");
}

/* A number times `factor`, or "-" for null and everything else. */
static const char *number_of(const json_t *object, const char *key, const char *format, double factor, char buf[64])
{
    const json_t *v = json_object_get(object, key);
    snprintf(buf, 64, "-");
    if (json_is_number(v))
        snprintf(buf, 64, format, factor * json_number_value(v));
    return buf;
}

static void print_row(const json_t *row)
{
    char name[256], top1[64], cycles[64], latency[64], size[64];
    printf("  %-16s %8s %12s %12s %10s\n", text_of(row, "name", name), number_of(row, "top1", "%.2f", 100, top1),
           number_of(row, "cycles", "%.0f", 1, cycles), number_of(row, "latency_ms", "%.4g", 1, latency),
           number_of(row, "size_bytes", "%.0f", 1, size));
}

static void print_summary(const json_t *s, const char *summary, const char *page)
{
    char text[256], more[256], number[64];
    printf("report   %s%s\n", page, base_file_exists(page) ? "" : " (not there)");
    printf("summary  %s\n", summary);
    printf("title    %s\n", text_of(s, "title", text));
    printf("asked    %s\n\n", text_of(s, "objective", text));
    printf("  %-16s %8s %12s %12s %10s\n", "network", "top-1 %", "cycles", "latency ms", "bytes");
    const json_t *rows = json_object_get(s, "rows");
    for (size_t i = 0; i < json_array_size(rows); i++)
        print_row(json_array_get(rows, i));
    printf("\ncycles from %s; board %s", text_of(s, "cycles_source", text), text_of(s, "board", more));
    printf(", clock %s MHz (%s)\n", number_of(s, "clock_mhz", "%g", 1, number), text_of(s, "clock_is", text));
    printf("%s trials", number_of(s, "trials", "%.0f", 1, number));
    printf(", test images opened: %s", number_of(s, "test_openings", "%.0f", 1, number));
    printf(", %s s\n", number_of(s, "wall_s", "%.0f", 1, number));
}

static int report(const struct cmd *c)
{
    char *summary = NULL, *page = NULL;
    json_t *s = NULL;
    int rc = find_files(c->arg[0], &summary, &page);
    if (!rc)
        rc = load(&s, summary);
    if (!rc && c->json) {
        json_object_set_new(s, "report", base_file_exists(page) ? cmd_json_text(page) : json_null());
        rc = cmd_print_json(json_incref(s));
    } else if (!rc) {
        print_summary(s, summary, page);
        rc = cmd_end_output();
    }
    json_decref(s);
    base_free(summary);
    base_free(page);
    return rc;
}

int cmd_report(int argc, char **argv)
{
    const struct cmd_usage u = { "RUN", "Where the report of a run is, and its main table. RUN: the folder that apply or compress wrote,\nor its summary.json. --json: the summary, with the report's path.",
                                 NULL, 0, 1, 1 };
    struct cmd c = { 0 };
    int rc = cmd_parse(&c, &u, argc, argv);
    if (rc)
        return rc > 0 ? 0 : cmd_fail(rc);
    rc = report(&c);
    return rc ? cmd_fail(rc) : 0;
}
