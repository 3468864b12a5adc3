/* board: the board descriptions that are there, one in full, a check of one. */
#include "cmd/output.h"
#include "device/device.h"
#include "hw/hw.h"

enum { MAX_BOARDS = 64 };

/* Latency and rate depend on the clock, and the clock is mostly an assumption: it is always shown with its word. */
static json_t *board_json(const struct hw *h)
{
    char hash[20];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)h->hash);
    json_t *array = json_pack("{s:i, s:i, s:i, s:i, s:i, s:I}", "m", h->m, "n", h->n, "cg", h->cg, "k", h->k, "drain", h->drain,
                              "binary_macs_per_cycle", (json_int_t)hw_binary_macs(h));
    json_t *depth = json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "act", h->act_depth, "weight", h->weight_depth, "coef", h->coef_depth,
                              "scale", h->scale_depth, "kword", h->kword_depth, "layer", h->layer_depth, "map", h->map_depth);
    json_t *budget = json_pack("{s:i, s:i, s:i, s:i}", "lut", h->lut, "ff", h->ff, "bram36", h->bram36, "dsp", h->dsp);
    json_t *memory = json_pack("{s:i, s:i, s:i, s:i, s:f}", "port_bits", h->port_bits, "burst_beats", h->burst_beats, "read_latency",
                               h->read_latency, "write_latency", h->write_latency, "gbytes_per_s", h->port_gbytes_s);
    struct hw_area a;
    hw_area(&a, h);
    json_t *area = json_pack("{s:i, s:i, s:i}", "lut", a.lut, "bram36", a.bram36, "dsp", a.dsp);
    return json_pack("{s:o, s:o, s:o, s:s, s:f, s:o, s:o, s:o, s:o, s:o, s:o}", "name", cmd_json_text(h->name), "board", cmd_json_text(h->board),
                     "part", cmd_json_text(h->part), "hash", hash, "clock_mhz", h->clock_mhz, "clock_is", cmd_json_text(h->clock_is), "array",
                     array, "depth", depth, "area", area, "budget", budget, "memory", memory);
}

/* ---- list ------------------------------------------------------------------------- */

static void print_line(const char *name, const struct hw *h)
{
    char board[256], part[256];
    printf("%-16s %-20s %-18s %2d x %d x %d, %g MHz %s\n", name, cmd_clean(board, h->board), cmd_clean(part, h->part), h->m, h->n, h->k, h->clock_mhz,
           h->clock_is);
}

/* A file that does not load is listed with what is wrong with it. */
static void list_one(json_t *all, const char *name)
{
    struct hw h;
    char text[256];
    int rc = hw_load(&h, name);
    if (all)
        json_array_append_new(all, rc ? json_pack("{s:o, s:o}", "name", cmd_json_text(name), "error", cmd_json_text(base_error())) : board_json(&h));
    else if (rc)
        printf("%-16s unusable: %s\n", name, cmd_clean(text, base_error()));
    else
        print_line(name, &h);
}

static int list(const struct cmd *c, const void *options)
{
    (void)options;
    char names[MAX_BOARDS][32];
    int n = hw_list(names, MAX_BOARDS);
    if (!n)
        return base_hint(base_fail(BASE_MISSING, "no board description was found"),
                         "run in the source tree, 'make install', or name the folder that holds NAME/board.yaml in BITPRESS_BOARDS");
    json_t *all = c->json ? json_array() : NULL;
    for (int i = 0; i < n; i++)
        list_one(all, names[i]);
    return c->json ? cmd_print_json(json_pack("{s:o}", "boards", all)) : cmd_end_output();
}

/* ---- show and check ----------------------------------------------------------------- */

static int show(const struct cmd *c, const void *options)
{
    (void)options;
    struct hw h;
    char text[256];
    int rc = hw_load(&h, c->arg[1]);
    if (rc)
        return rc;
    if (c->json)
        return cmd_print_json(board_json(&h));
    printf("name      %s\n", h.name);
    printf("board     %s\n", cmd_clean(text, h.board));
    printf("part      %s\n", cmd_clean(text, h.part));
    printf("array     %d output channels x %d pixels x %d = %d taps x %d channels; %lld binary MACs a cycle\n", h.m, h.n, h.k, h.k / h.cg, h.cg,
           (long long)hw_binary_macs(&h));
    printf("drain     %d accumulators a cycle\n", h.drain);
    printf("depth     activations %d, weights %d, coefficients %d, scales %d, K-words %d, layers %d, maps %d\n", h.act_depth, h.weight_depth,
           h.coef_depth, h.scale_depth, h.kword_depth, h.layer_depth, h.map_depth);
    struct hw_area a;
    hw_area(&a, &h);
    printf("area      %d LUT, %d BRAM36, %d DSP (predicted)\n", a.lut, a.bram36, a.dsp);
    printf("budget    %d LUT, %d FF, %d BRAM36, %d DSP\n", h.lut, h.ff, h.bram36, h.dsp);
    printf("memory    %d bits, bursts of %d, %d cycles to read, %d to write, %g GB/s\n", h.port_bits, h.burst_beats, h.read_latency, h.write_latency,
           h.port_gbytes_s);
    printf("clock     %g MHz (%s)\n", h.clock_mhz, h.clock_is);
    printf("hash      %016llx\n", (unsigned long long)h.hash);
    return cmd_end_output();
}

static int check(const struct cmd *c, const void *options)
{
    (void)options;
    struct hw h;
    int rc = hw_load(&h, c->arg[1]);
    if (rc)
        return rc;
    if (c->json)
        return cmd_print_json(json_pack("{s:b, s:o}", "ok", 1, "board", board_json(&h)));
    printf("%s: ok\n", h.name);
    return cmd_end_output();
}

/* ---- what the vendor's tools and XRT are told of the kernel ---------------------------- */

static int kernel(const struct cmd *c, const void *options)
{
    (void)options;
    struct hw h;
    struct base_text t = { 0 };
    int rc = hw_load(&h, c->arg[1]);
    if (rc)
        return rc;
    device_kernel_xml(&t, &h);
    if (!t.failed)
        fputs(t.s, stdout);
    rc = t.failed ? BASE_NOMEM : cmd_end_output();
    base_text_free(&t);
    return rc;
}

static int xclbin(const struct cmd *c, const void *options)
{
    (void)options;
    struct hw h;
    int rc = hw_load(&h, c->arg[1]);
    return rc ? rc : device_write_overlay_xclbin(c->arg[2], &h);
}

int cmd_board(int argc, char **argv)
{
    static const struct cmd_action actions[] = {
        { "list", "", 0, 0, list },
        { "show", "NAME|FILE", 1, 1, show },
        { "check", "NAME|FILE", 1, 1, check },
        { "kernel", "NAME|FILE", 1, 1, kernel },
        { "xclbin", "NAME|FILE OUT", 2, 2, xclbin },
    };
    const struct cmd_usage u = { "list | show NAME|FILE | check NAME|FILE | kernel NAME|FILE | xclbin NAME|FILE OUT",
                                 "list   the boards that are described: in $BITPRESS_BOARDS, ./boards and the installed folder\n"
                                 "show   one in full\n"
                                 "check  a description (boards/NAME/board.yaml) by every rule\n"
                                 "kernel the accelerator's ports and registers as kernel.xml, for v++ and package_xo\n"
                                 "xclbin what XRT must know of a Zynq-7000 that is programmed by other means (docs/boards.md), into OUT",
                                 NULL, 0, 1, 3 };
    return cmd_act(&u, actions, BASE_COUNT(actions), NULL, argc, argv);
}
