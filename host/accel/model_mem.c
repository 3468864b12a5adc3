/* model_mem: steps the shell cycle by cycle. The blocks are small and a run without a stream spends a few hundred
 * cycles in them, so this costs microseconds (a stream costs its words), and is exact for any latency and bandwidth because
 * it is the same machine: rtl/bp_axi_read, bp_input, bp_loader, bp_output and sim/ddr.cpp. */
#include "accel/model_mem.h"

#include <string.h>

#include "accel/tables.h"

#define READ_FIFO 64                       /* beats, bp_shell_pkg::ReadFifo */
#define RESULT_FIFO 512                    /* beats, bp_shell_pkg::LogitFifo */
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
static int unpack_pixels(const struct accel_unpack *u)
{
    int lanes = u->channels == 1 ? 8 : u->channels == 2 ? 4 : u->channels <= 4 ? 2 : 1;
    return u->cols - u->x < lanes ? u->cols - u->x : lanes;
}

/* Bytes that the next step of the unpacker takes. */
static int unpack_want(const struct accel_unpack *u)
{
    if (u->channels <= 8)
        return u->channels * unpack_pixels(u);
    return u->upper ? u->channels - 8 : 8;
}

/* After its bytes: true when a block of pixels is complete. */
static bool unpack_take(struct accel_unpack *u)
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
                              .state = image[5] >> 32 ? STREAM_COMMAND : STREAM_OVER, .write_credit = CREDIT_Q16 };
    reader_init(&p->read, hw);
    reader_step(&p->read, false, p->image_left, 0);
}

void accel_port_close(struct accel_port *p)
{
    base_free(p->writes);
    p->writes = NULL;
}

void accel_port_writes(struct accel_port *p, struct accel_writes w)
{
    if (p->n_writes == p->cap_writes) {
        size_t cap = 2 * (size_t)p->cap_writes + 64;
        struct accel_writes *to = base_realloc(p->writes, (size_t)p->cap_writes * sizeof *to, cap * sizeof *to);
        if (!to) {
            p->nomem = true;
            return;
        }
        p->writes = to;
        p->cap_writes = (int)cap;
    }
    p->writes[p->n_writes++] = w;
}

/* Asked for cycles in their order. */
static bool layer_writes(struct accel_port *p, int64_t now)
{
    for (; p->at_write < p->n_writes; p->at_write++) {
        const struct accel_writes *w = &p->writes[p->at_write];
        int64_t since = now - w->first;
        if (since < (w->count - 1) * w->step + w->length)
            return since >= 0 && since % w->step < w->length;
    }
    return false;
}

static bool reader_busy(const struct accel_reader *r)
{
    return r->left > 0 || r->ar_valid || r->owed > 0;
}

static void block_in(struct accel_port *p)
{
    p->blocks++;
    p->block_seen[p->blocks % ACCEL_SEEN] = p->read.now + 2;
    if (p->kind == PROGRAM_LAYER)
        p->layer_seen[++p->layers % ACCEL_SEEN] = p->read.now + 2;
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

/* The record is in; its first line is ready three cycles after bp_fill's start, which is in the next. */
static void start_fill(struct accel_port *p)
{
    const struct accel_block b = { .record = p->image + field(p->image[5], 0, 32) + p->at - PROGRAM_FILL_WORDS };
    struct accel_fill f = accel_tables_fill(&b);
    int blocks = (f.columns + p->hw->n - 1) / p->hw->n;
    p->fill = (struct accel_fill_run){ .state = f.groups ? FILL_LINE : FILL_NEXT, .from = f.from, .pitch = f.pitch, .whole = f.whole,
                                       .line = (int64_t)blocks * f.planes, .rows = f.rows, .lines = (int64_t)f.rows * f.groups, .next = f.next,
                                       .ready = p->read.now + (f.groups ? 4 : 2), .over = f.groups == 0 };
    p->fill.words = p->fill.lines * p->fill.line;
    p->state = STREAM_FILL;
}

struct command { int64_t beats; uint64_t addr; };

/* A line, or the next segment, when the port has asked for all of the one before. */
static struct command fill_command(struct accel_port *p, uint64_t tables)
{
    struct accel_fill_run *f = &p->fill;
    struct command c = { 0 };
    int beats = p->hw->n / 4;
    if (f->state == FILL_WORDS || p->read.now < f->ready || p->read.left > 0)
        return c;
    if (f->state == FILL_NEXT) {
        f->state = FILL_WORDS;
        return (struct command){ f->next, (tables + (uint64_t)p->at) * 8 };
    }
    c.beats = f->line * beats;
    c.addr = (uint64_t)(f->from + (f->at / f->rows * f->whole + f->at % f->rows) * f->pitch) * (uint64_t)(8 * beats);
    p->scratch_beats += c.beats;
    f->ready = p->read.now + (++f->at == f->lines ? 1 : 3);
    f->state = f->at == f->lines ? FILL_NEXT : FILL_LINE;
    return c;
}

/* Takes a beat if it can; writes the word if nobody else does. */
static bool fill_step(struct accel_port *p, bool beat)
{
    struct accel_fill_run *f = &p->fill;
    bool last_beat = f->beat == p->hw->n / 4 - 1;
    bool pop = beat && !f->over && (!f->full || (!last_beat && f->words > 1));
    bool write = f->full && !p->unpack.writes && !layer_writes(p, p->read.now);
    if (write) {
        f->full = false;
        f->over = --f->words == 0;
    }
    if (pop) {
        f->full |= last_beat;
        f->beat = last_beat ? 0 : f->beat + 1;
    }
    return pop;
}

/* A cycle of the unpacker, before the port's; true: all is written. Ahead it gives way to the layer's writes, and copies a block when
 * the one before has been written. */
static bool unpack_step(struct accel_port *p, bool begun)
{
    struct accel_unpack *u = &p->unpack;
    bool ahead = p->ahead == AHEAD_FILL, last = u->writes && u->word + 1 == u->words, written = u->writes && !(ahead && layer_writes(p, p->read.now));
    bool copy = u->full && (!u->writes || (last && !ahead)), filled = u->x == 0 && u->y == u->rows;
    bool over = written && last && filled && !u->full;
    u->next_writes = copy || (u->writes && !(written && last));
    u->word = copy ? 0 : u->word + written;
    bool take = begun && !filled && (!u->full || copy) && p->have >= unpack_want(u);
    u->full &= !copy;
    if (take) {
        p->have -= unpack_want(u);
        u->full |= unpack_take(u);
    }
    return over;
}

static void unpack_begin(struct accel_port *p, const uint64_t *layer)
{
    int pack = (int)field(layer[1], 16, 16);
    p->unpack = (struct accel_unpack){ .n = p->hw->n, .channels = (int)field(layer[1], 0, 16), .rows = (int)field(layer[0], 32, 16),
                                       .cols = (int)field(layer[0], 48, 16), .words = 8 / (pack > 0 && pack <= 8 ? pack : 8) };
}

/* What is ahead in this cycle: a command of the read port, or none. */
static struct command ahead_step(struct accel_port *p)
{
    struct command c = { 0 };
    if (p->ahead == AHEAD_FILL) {
        p->ahead = unpack_step(p, true) ? AHEAD_OVER : AHEAD_FILL;
        p->unpack.writes = p->unpack.next_writes;
    }
    if (p->ahead == AHEAD_DUE && p->read.now == p->ahead_at) {
        p->ahead = AHEAD_FILL;
        p->have = 0;
        p->image_left = input_beats(p->image);
        c = (struct command){ p->image_left, p->ahead_image };
    }
    return c;
}

/* One cycle; the image's next beat is taken if there is one and room for it. */
static void port_step(struct accel_port *p)
{
    struct accel_reader *r = &p->read;
    struct command command = ahead_step(p);
    bool beat = r->fifo > 0, mine = p->image_left > 0, taken = beat && mine && p->have <= 8, pop = taken;
    uint64_t tables = field(p->image[5], 0, 32);
    switch (p->state) {
    case STREAM_COMMAND:
        if (!reader_busy(r)) {
            command = (struct command){ program_scratch_pages(p->image) ? 1 + PROGRAM_FILL_WORDS : (int64_t)(p->image[5] >> 32), tables * 8 };
            p->state = STREAM_BLOCK;
        }
        break;
    case STREAM_FILL:
        if (p->fill.state == FILL_WORDS && p->fill.over) {
            block_in(p);
            break;
        }
        command = fill_command(p, tables);
        pop |= fill_step(p, beat && !mine);
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
            if (--p->section == 0 && p->kind == PROGRAM_FILL)
                start_fill(p);
            else if (p->section == 0)
                block_in(p);
        }
        break;
    default: break;
    }
    p->image_left -= taken;
    p->have += taken ? 8 : 0;
    reader_step(r, pop, command.beats, command.addr);
}

/* Nothing changes any more before a layer ends. */
static bool port_still(const struct accel_port *p)
{
    const struct accel_reader *r = &p->read;
    bool waits = p->state == STREAM_OVER || (p->state == STREAM_WAIT && p->kind != PROGRAM_END && p->after > p->ended);
    bool full = r->left == 0 || r->held > READ_FIFO - r->burst_beats;
    return waits && p->ahead != AHEAD_DUE && p->ahead != AHEAD_FILL && full && !r->ar_valid && !r->r_valid && !r->queued && r->ar_ready && r->credit == CREDIT_Q16;
}

int64_t accel_port_layer(struct accel_port *p, int64_t from, int record)
{
    while (p->layers <= record)
        port_step(p);
    return p->layers - record <= ACCEL_SEEN ? BASE_MAX(p->layer_seen[(record + 1) % ACCEL_SEEN], from) : from;
}

int64_t accel_port_blocks(struct accel_port *p, int64_t from, int blocks)
{
    while (p->blocks < blocks)
        port_step(p);
    return blocks > 0 && p->blocks - blocks < ACCEL_SEEN ? BASE_MAX(p->block_seen[blocks % ACCEL_SEEN], from) : from;
}

static void port_until(struct accel_port *p, int64_t now)
{
    while (p->read.now < now)
        if (port_still(p))
            p->read.now = now;
        else
            port_step(p);
}

void accel_port_ended(struct accel_port *p, int64_t at)
{
    port_until(p, at + 1);
    p->ended++;
    p->n_writes = p->at_write = 0;
}

int64_t accel_port_input(struct accel_port *p, const uint64_t *layer, int64_t start)
{
    if (p->ahead == AHEAD_NONE) {
        unpack_begin(p, layer);
    } else {
        port_until(p, start + 1);
        bool over = p->ahead == AHEAD_OVER;
        p->ahead = AHEAD_NONE;
        if (over)
            return start + 1;
    }
    /* Steps of one cycle each; input_start in cycle s makes the unpacker fill from s + 1. A port
     * that is slower than anything real still ends: every beat comes. */
    for (;;) {
        int64_t now = p->read.now;
        bool over = unpack_step(p, now >= start + 1);
        if (!over)
            port_step(p);
        p->unpack.writes = p->unpack.next_writes;
        if (over)
            return now + 1;
    }
}

void accel_port_again(struct accel_port *p, int64_t start, uint64_t at)
{
    port_until(p, start);
    p->layers = (int)field(p->image[2], 0, 16);
    p->state = p->image[5] >> 32 ? STREAM_COMMAND : STREAM_OVER;
    p->at = p->blocks = p->ended = p->n_writes = p->at_write = 0;
    if (p->ahead == AHEAD_DUE && p->ahead_at > start)
        p->ahead = AHEAD_NONE;
    if (p->ahead != AHEAD_NONE)
        return;
    p->image_left = input_beats(p->image);
    p->have = 0;
    reader_step(&p->read, false, p->image_left, at);
}

void accel_port_ahead(struct accel_port *p, const uint64_t *layer, int64_t from, uint64_t at)
{
    unpack_begin(p, layer);
    p->ahead = AHEAD_DUE;
    p->ahead_at = from;
    p->ahead_image = at;
}

int64_t accel_model_input(const struct hw *hw, const uint64_t *image, int64_t start)
{
    struct accel_port p;
    accel_port_open(&p, hw, image);
    return accel_port_input(&p, first_layer(image), start);
}

/* ---- scratch: bp_spill ---- */

struct spill {
    int64_t line, rows, lines, at;         /* words of a line; lines of a group, and all; begun */
    int64_t addr, from, pitch, whole;      /* bytes; words */
    int64_t left, ready;                   /* beats of the line not asked for; cycle in which the next line is */
    int burst, beat;                       /* beats of the burst to come; of the word */
    enum { SPILL_LINE, SPILL_ADDR, SPILL_DATA, SPILL_RESP } state;
    int held, owed;                        /* words in the FIFO; responses */
    int64_t due[16], sent, answered;       /* of the responses, a ring; bursts */
};

static void spill_line(struct spill *s, int64_t now, int bytes)
{
    if (now < s->ready)
        return;
    s->addr = (s->from + (s->at / s->rows * s->whole + s->at % s->rows) * s->pitch) * bytes;
    s->left = s->line * bytes / 8;
    s->at++;
    s->ready = now + 3;
    s->state = SPILL_ADDR;
}

static void spill_address(struct spill *s, int burst_beats)
{
    int64_t len = BASE_MIN(BASE_MIN(burst_beats, 512 - (s->addr >> 3 & 511)), s->left);
    if (s->owed == 15)
        return;
    s->addr += len * 8;
    s->left -= len;
    s->burst = (int)len;
    s->state = SPILL_DATA;
}

int64_t accel_port_spill(struct accel_port *p, const uint64_t *layer, int64_t go, int first, int reads, int planes)
{
    const struct hw *hw = p->hw;
    int blocks = ((int)field(layer[0], 48, 16) + hw->n - 1) / hw->n, bytes = 2 * hw->n, latency = hw->write_latency > 0 ? hw->write_latency : 1;
    struct spill s = { .line = (int64_t)blocks * planes, .rows = field(layer[0], 32, 16), .from = field(layer[3], 0, 32), .pitch = field(layer[2], 32, 16),
                       .whole = field(layer[2], 20, 12), .ready = go + 3 };
    s.lines = s.rows * field(layer[1], 0, 16);
    uint32_t rate = port_rate(hw), credit = p->write_credit;
    int64_t words = s.lines * s.line, take = go + first + reads, now = p->write_now;
    bool hold = false, push = false;
    p->scratch_beats += words * bytes / 8;
    for (; now <= go && credit < CREDIT_Q16; now++)
        refill(&credit, rate);
    for (now = go + 1;; now++) {
        int was_held = s.held, was_owed = s.owed;
        bool taken = words > 0 && now >= take && !hold, hold_next = was_held >= 8, sent = false, asked = false;
        int state = (int)s.state;
        if (state == SPILL_LINE) {
            spill_line(&s, now, bytes);
        } else if (state == SPILL_ADDR) {
            spill_address(&s, hw->burst_beats);
            asked = s.state == SPILL_DATA;
        } else if (state == SPILL_DATA) {
            sent = was_held > 0 && credit >= BEAT_Q16;
        } else if (was_owed == 0) {
            break;
        }
        if (s.answered < s.sent && s.due[s.answered % 16] <= now) {
            s.answered++;
            s.owed--;
        }
        s.owed += asked;
        if (sent) {
            credit -= BEAT_Q16;
            s.beat = (s.beat + 1) % (bytes / 8);
            s.held -= s.beat == 0;
            if (--s.burst == 0) {
                s.due[s.sent++ % 16] = now + latency;
                s.state = s.left ? SPILL_ADDR : s.at < s.lines ? SPILL_LINE : SPILL_RESP;
            }
        }
        refill(&credit, rate);
        s.held += push;
        push = taken;
        hold = hold_next;
        if (taken) {
            words--;
            take = now + reads;
        }
    }
    p->write_credit = credit;
    p->write_now = now;
    return now;
}

/* ---- logits: bp_output and bp_axi_write ---- */

int64_t accel_port_result(struct accel_port *p, int64_t last_logit, int64_t *free)
{
    const struct hw *hw = p->hw;
    int64_t beats = ((int64_t)program_output_bytes(p->image) + 7) / 8, launch = BASE_MAX(last_logit + 1, p->written + 1);
    int latency = hw->write_latency > 0 ? hw->write_latency : 1;
    uint32_t rate = port_rate(hw), credit = p->write_credit;
    *free = launch + 1;
    for (int64_t t = p->write_now; t < launch + 1 && credit < CREDIT_Q16; t++)
        refill(&credit, rate);
    int64_t now = launch + 1;              /* the address of the first burst is offered */
    bool half = beats <= RESULT_FIFO / 2;
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
    p->write_credit = credit;
    p->write_now = now;
    p->written = now - 1;
    if (!half)
        *free = now;
    return p->written;
}

int64_t accel_model_finish(int64_t written, int64_t core_done)
{
    return (written > core_done ? written : core_done + 1) + 2;    /* bp_ctrl judges the engine's end a cycle later */
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

int64_t accel_model_ddr_bytes(const struct accel_port *p)
{
    return (input_beats(p->image) + (int64_t)(p->image[5] >> 32) + p->scratch_beats) * 8 + (int64_t)program_output_bytes(p->image);
}
