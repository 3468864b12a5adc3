/* model_mem: steps the shell cycle by cycle. The blocks are small and a run without a stream spends a few hundred
 * cycles in them, so this costs microseconds (a stream costs its words), and is exact for any latency and bandwidth because
 * it is the same machine: rtl/bp_axi_read, bp_input, bp_loader, bp_output and sim/ddr.cpp. */
#include "accel/model_mem.h"

#include <string.h>

#include "accel/tables.h"

#define READ_FIFO 64                       /* beats, bp_shell_pkg::ReadFifo */
#define BEAT_Q16 (8u << 16)
#define CREDIT_Q16 (16u << 16)

/* Bytes a cycle, 16.16: the same arithmetic as in sim/bpsim.cpp. */
static uint32_t port_rate(const struct hw *hw)
{
    double mhz = hw->clock_mhz > 0 ? hw->clock_mhz : 100;
    double rate = hw->port_gbytes_s > 0 ? hw->port_gbytes_s * 1000 / mhz : 8;
    if (rate > 8)
        rate = 8;
    return (uint32_t)(rate * 65536);
}

static void refill(uint32_t *credit, uint32_t rate)
{
    *credit += rate;
    if (*credit > CREDIT_Q16)
        *credit = CREDIT_Q16;
}

/* ---- read port: bp_axi_read and the memory behind it ---- */

static void reader_init(struct accel_reader *r, const struct hw *hw)
{
    memset(r, 0, sizeof *r);
    r->burst_beats = hw->burst_beats;
    r->latency = hw->read_latency > 0 ? hw->read_latency : 1;
    r->rate = port_rate(hw);
    r->credit = CREDIT_Q16;
    r->ar_ready = true;
}

/* Burst length at the present address: the end, the limit, the 4 KB boundary. */
static int reader_burst(const struct accel_reader *r)
{
    int64_t len = r->burst_beats, boundary = 512 - (int64_t)(r->addr >> 3 & 511);
    if (boundary < len)
        len = boundary;
    return (int)(r->left < len ? r->left : len);
}

static void reader_memory(struct accel_reader *r)
{
    if (r->ar_valid && r->ar_ready)
        r->queue[r->queued++] = (struct accel_burst){ r->now + r->latency, r->ar_len };
    r->r_valid = false;
    refill(&r->credit, r->rate);
    if (r->queued && r->queue[0].due <= r->now + 1 && r->credit >= BEAT_Q16) {
        r->r_valid = true;
        r->credit -= BEAT_Q16;
        if (--r->queue[0].beats == 0) {
            r->queued--;
            memmove(r->queue, r->queue + 1, (size_t)r->queued * sizeof r->queue[0]);
        }
    }
}

/* One cycle; pop: the consumer takes the beat on the output (only if r->fifo > 0).
 * command: beats of a command given in this cycle, 0 = none. */
static void reader_step(struct accel_reader *r, bool pop, int64_t command, uint64_t addr)
{
    bool ready = r->ar_ready, arrive = r->r_valid;
    bool issue = (!r->ar_valid || ready) && r->left > 0 && r->held <= READ_FIFO - r->burst_beats;
    int len = issue ? reader_burst(r) : 0;
    reader_memory(r);
    r->ar_ready = r->queued < ACCEL_MAX_BURSTS;
    r->ar_valid = issue || (r->ar_valid && !ready);
    if (issue)
        r->ar_len = len;
    r->held += len - pop;
    r->owed += len - arrive;
    r->fifo += arrive - pop;
    r->left -= len;
    r->addr += (uint64_t)len * 8;
    if (command) {
        r->left = command;
        r->addr = addr;
    }
    r->now++;
}

/* ---- image: bp_input ---- */

struct unpack { int n, channels, words, rows, cols, have, y, x, word; bool upper; };

static uint32_t field(uint64_t word, int low, int bits)
{
    return (uint32_t)(word >> low & ((UINT64_C(1) << bits) - 1));
}

static const uint64_t *first_layer(const uint64_t *image)
{
    return image + PROGRAM_HEADER_WORDS + (size_t)field(image[2], 16, 16) * PROGRAM_MAP_WORDS;
}

static int64_t input_beats(const uint64_t *image)
{
    return ((int64_t)field(image[4], 0, 32) + 7) / 8;
}

/* Pixels of the next step: up to 8, 4 or 2 of few channels, never beyond the row. */
static int unpack_pixels(const struct unpack *u)
{
    int lanes = u->channels == 1 ? 8 : u->channels == 2 ? 4 : u->channels <= 4 ? 2 : 1;
    return u->cols - u->x < lanes ? u->cols - u->x : lanes;
}

/* Bytes that the next step of the unpacker takes. */
static int unpack_want(const struct unpack *u)
{
    if (u->channels <= 8)
        return u->channels * unpack_pixels(u);
    return u->upper ? u->channels - 8 : 8;
}

/* After its bytes: true when a block of pixels is complete. */
static bool unpack_take(struct unpack *u)
{
    if (u->channels > 8 && !u->upper) {
        u->upper = true;
        return false;
    }
    u->upper = false;
    u->x += unpack_pixels(u);
    bool last = u->x == u->cols, block = last || u->x % u->n == 0;
    u->x = last ? 0 : u->x;
    u->y += last;
    return block;
}

/* ---- stream: bp_loader in a run ---- */

void accel_port_open(struct accel_port *p, const struct hw *hw, const uint64_t *image)
{
    *p = (struct accel_port){ .hw = hw, .image = image, .image_left = input_beats(image), .layers = (int)field(image[2], 0, 16),
                              .state = image[5] >> 32 ? STREAM_COMMAND : STREAM_OVER };
    reader_init(&p->read, hw);
    reader_step(&p->read, false, p->image_left, 0);
}

static bool reader_busy(const struct accel_reader *r)
{
    return r->left > 0 || r->ar_valid || r->owed > 0;
}

static void block_in(struct accel_port *p)
{
    p->blocks++;
    p->block_seen = p->read.now + 2;
    if (p->kind == PROGRAM_LAYER) {
        p->layers++;
        p->layer_seen = p->block_seen;
    }
    p->state = p->kind == PROGRAM_END ? STREAM_OVER : STREAM_BLOCK;
}

/* A block's header: its kind, and the words that follow. */
static void take_header(struct accel_port *p)
{
    uint64_t head = p->image[field(p->image[5], 0, 32) + p->at++];
    p->kind = (int)field(head, 0, 8);
    p->after = (int)field(head, 48, 16);
    p->section = (int64_t)field(head, 32, 16) * accel_record_words(p->hw, p->kind);
    p->state = STREAM_WAIT;
}

/* One cycle; input: the image's next beat is taken if there is one. Returns whether it was. */
static bool port_step(struct accel_port *p, bool input)
{
    struct accel_reader *r = &p->read;
    bool beat = r->fifo > 0, mine = p->image_left > 0, taken = beat && mine && input, pop = taken;
    int64_t command = 0;
    uint64_t tables = field(p->image[5], 0, 32);
    switch (p->state) {
    case STREAM_COMMAND:
        if (!reader_busy(r)) {
            command = (int64_t)(p->image[5] >> 32);
            p->state = STREAM_BLOCK;
        }
        break;
    case STREAM_BLOCK:
        if (beat && !mine) {
            pop = true;
            take_header(p);
        }
        break;
    case STREAM_WAIT:
        if (p->kind == PROGRAM_END)
            block_in(p);
        else if (p->after <= p->ended)
            p->state = STREAM_SECTION;
        break;
    case STREAM_SECTION:
        if (beat) {
            pop = true;
            p->at++;
            if (--p->section == 0)
                block_in(p);
        }
        break;
    default: break;
    }
    p->image_left -= taken;
    reader_step(r, pop, command, tables * 8);
    return taken;
}

/* Nothing changes any more before a layer ends. */
static bool port_still(const struct accel_port *p)
{
    const struct accel_reader *r = &p->read;
    bool waits = p->state == STREAM_OVER || (p->state == STREAM_WAIT && p->kind != PROGRAM_END && p->after > p->ended);
    bool full = r->left == 0 || r->held > READ_FIFO - r->burst_beats;
    return waits && full && !r->ar_valid && !r->r_valid && !r->queued && r->ar_ready && r->credit == CREDIT_Q16;
}

int64_t accel_port_layer(struct accel_port *p, int64_t from, int record)
{
    while (p->layers <= record)
        port_step(p, false);
    return p->layers == record + 1 && p->layer_seen > from ? p->layer_seen : from;
}

int64_t accel_port_blocks(struct accel_port *p, int64_t from, int blocks)
{
    while (p->blocks < blocks)
        port_step(p, false);
    return p->blocks == blocks && p->block_seen > from ? p->block_seen : from;
}

void accel_port_ended(struct accel_port *p, int64_t at)
{
    while (p->read.now <= at)
        if (port_still(p))
            p->read.now = at + 1;
        else
            port_step(p, false);
    p->ended++;
}

int64_t accel_port_input(struct accel_port *p, int64_t start)
{
    const uint64_t *layer = first_layer(p->image);
    struct unpack u = { .n = p->hw->n, .channels = (int)field(layer[1], 0, 16), .rows = (int)field(layer[0], 32, 16),
                        .cols = (int)field(layer[0], 48, 16) };
    int pack = (int)field(layer[1], 16, 16);
    u.words = 8 / (pack > 0 && pack <= 8 ? pack : 8);
    bool full = false, writing = false;
    /* Steps of one cycle each; input_start in cycle s makes the unpacker fill from s + 1. A port
     * that is slower than anything real still ends: every beat comes. */
    for (;;) {
        int64_t now = p->read.now;
        bool last = writing && u.word + 1 == u.words, copy = full && (!writing || last), filled = u.x == 0 && u.y == u.rows;
        bool take = !filled && now >= start + 1 && (!full || copy) && u.have >= unpack_want(&u);
        if (last && filled && !full)
            return now + 1;
        full &= !copy;
        u.word = copy ? 0 : u.word + writing;
        writing = copy || (writing && !last);
        if (take) {
            u.have -= unpack_want(&u);
            full |= unpack_take(&u);
        }
        if (port_step(p, u.have <= 8))
            u.have += 8;
    }
}

int64_t accel_model_input(const struct hw *hw, const uint64_t *image, int64_t start)
{
    struct accel_port p;
    accel_port_open(&p, hw, image);
    return accel_port_input(&p, start);
}

/* ---- logits: bp_output and bp_axi_write ---- */

int64_t accel_model_finish(const struct hw *hw, const uint64_t *image, int64_t last_logit,
                           int64_t core_done)
{
    int64_t beats = ((int64_t)field(image[4], 32, 32) + 7) / 8;
    int latency = hw->write_latency > 0 ? hw->write_latency : 1;
    uint32_t rate = port_rate(hw), credit = CREDIT_Q16;
    int64_t now = last_logit + 2;          /* the address of the first burst is offered */
    while (beats > 0) {
        int64_t burst = beats < hw->burst_beats ? beats : hw->burst_beats;
        beats -= burst;
        refill(&credit, rate);
        now++;
        for (; burst > 0; now++) {
            if (credit >= BEAT_Q16) {
                credit -= BEAT_Q16;
                burst--;
            }
            refill(&credit, rate);
        }
        /* now - 1: the last beat; its response after the latency; the next address after that */
        int64_t response = now - 1 + latency;
        for (; now <= response; now++)
            refill(&credit, rate);
    }
    int64_t written = now - 1;
    return (written > core_done ? written : core_done) + 2;
}

/* ---- load: bp_loader ---- */

/* Takes `words` beats; returns when the last was taken (r->now is the next cycle). */
static void load_words(struct accel_reader *r, int64_t words)
{
    while (words > 0) {
        bool pop = r->fifo > 0;
        reader_step(r, pop, 0, 0);
        words -= pop;
    }
}

int64_t accel_model_load(const struct hw *hw, const uint64_t *image)
{
    int64_t section[5] = {
        (int64_t)field(image[2], 16, 16) * PROGRAM_MAP_WORDS,
        (int64_t)field(image[2], 0, 16) * PROGRAM_LAYER_WORDS,
        (int64_t)field(image[2], 32, 16) * PROGRAM_KWORD_WORDS,
        (int64_t)field(image[2], 48, 16) * hw->m / 2,
        (int64_t)field(image[3], 0, 16) * 2 * hw->m,
    };
    int64_t words = 0, weights = (int64_t)field(image[3], 32, 32) * hw->m * hw->k / 64;
    for (int i = 0; i < 5; i++)
        words += section[i];

    struct accel_reader r;
    reader_init(&r, hw);
    reader_step(&r, false, PROGRAM_HEADER_WORDS, 0);
    load_words(&r, PROGRAM_HEADER_WORDS);
    reader_step(&r, false, words, PROGRAM_HEADER_WORDS * 8);    /* the header is checked */
    for (int i = 0; i < 5; i++) {
        if (section[i])
            load_words(&r, section[i]);
        else
            reader_step(&r, false, 0, 0);
    }
    reader_step(&r, false, weights, 0);
    if (weights)
        load_words(&r, weights);
    else
        reader_step(&r, false, 0, 0);
    return r.now + 2;
}

int64_t accel_model_ddr_bytes(const uint64_t *image)
{
    return (input_beats(image) + (int64_t)(image[5] >> 32)) * 8 + (int64_t)field(image[4], 32, 32);
}
