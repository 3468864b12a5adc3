/* area: what the accelerator of a board description takes, counted part by part as the RTL is built. The structure of
 * each part says how it grows (docs/rtl/performance.md); the constants are Yosys' counts on 7-series of the parts
 * alone. LUT with LUT RAM, before packing, as `make synth` prints them. */
#include "hw/hw.h"

/* LUTs, Yosys 0.23. */
enum {
    AREA_UNIT_LUT = 144,       /* a dot-product unit: 96 for products and triples, 48 for counters */
    AREA_HALO_LUT = 49,        /* of a row's rotation */
    AREA_LANE_LUT = 20,        /* of the fetch: enables and padding of a lane's taps */
    AREA_FETCH_LUT = 540,      /* of the fetch: addresses, states */
    AREA_POOL_LUT = 17,        /* max pooling, a channel of a lane: 9 taps in the race, their OR, the way out */
    AREA_SLOT_LUT = 7,         /* unpacker, a channel of a lane: choice of plane, way in */
    AREA_INPUT_LUT = 745,
    AREA_CODE_LUT = 93,       /* requantization, a lane: shift and overflow 75, clamp 18 */
    AREA_LOGIT_LUT = 600,      /* two wide shifters and what feeds them */
    AREA_PLANE_LUT = 5,        /* a channel of a lane on its way to the memory: plane or pool 3, engine, image or scratch 2 */
    AREA_PAIR_LUT = 8,         /* write-back, a lane of the drain: bits of paired maps */
    AREA_WRITE_LUT = 480,
    AREA_FILL_LUT = 575,       /* maps from the scratch */
    AREA_SPILL_LUT = 490,      /* and to it, without the words that wait: 16 in LUT RAM, 6 bits in 4 LUTs */
    AREA_SHELL_LUT = 6246,     /* registers, control, loader, memory port, walk, sequence */
    AREA_SHELL_DSP = 4,        /* products of addresses */
};

/* LUTs of a multiplexer of `ways` to one, of 4:1 in one LUT. */
static int mux_luts(int ways)
{
    return ways <= 1 ? 0 : ways <= 4 ? 1 : ways <= 8 ? 3 : 5;
}

/* Half block RAMs of a memory: 36,864 bits each pair at 72 x 512 down to 9 x 4096, 32,768 bits below. */
static int bram18(int width, int depth)
{
    int rows = BASE_MAX(depth, 512);
    int per36 = rows <= 4096 ? 36864 / rows : BASE_MAX(32768 / rows, 1);
    int deep = rows > 32768 ? rows / 32768 : 1;
    if (2 * width <= per36)
        return 1;
    return 2 * deep * ((width + per36 - 1) / per36);
}

/* Ranks of 4:1 multiplexers that rotate n columns. */
static int rotate_ranks(int n)
{
    return n <= 4 ? 1 : n <= 16 ? 2 : 3;
}

static int lut(const struct hw *h)
{
    int columns = h->n * h->cg, steps = hw_drain_steps(h);
    int array = h->m * h->n * AREA_UNIT_LUT + h->drain * 32 * mux_luts(steps);
    int rotate = 3 * ((columns + 2 * h->cg) + columns * rotate_ranks(h->n) + AREA_HALO_LUT);
    int fetch = h->n * h->k + rotate + AREA_FETCH_LUT + h->n * AREA_LANE_LUT;
    int pool = columns * AREA_POOL_LUT;
    int input = columns * AREA_SLOT_LUT + AREA_INPUT_LUT;
    int requant = h->drain * AREA_CODE_LUT + AREA_LOGIT_LUT;
    int write = columns * AREA_PLANE_LUT + h->drain * AREA_PAIR_LUT + AREA_WRITE_LUT;
    int scratch = AREA_FILL_LUT + AREA_SPILL_LUT + columns * 2 / 3;
    return array + fetch + pool + input + requant + write + scratch + AREA_SHELL_LUT;
}

static int bram(const struct hw *h)
{
    int columns = h->n * h->cg;
    int act = 4 * (bram18(columns, h->act_depth) + 2 * bram18(h->cg, h->act_depth));
    int tables = h->m * bram18(h->k, h->weight_depth) + bram18(h->m * 18, h->coef_depth) +
                 bram18(h->m * 66, h->scale_depth) + bram18(128, h->kword_depth) + bram18(256, h->layer_depth) +
                 bram18(128, h->map_depth);
    int logits = 2, layer_cycles = 1;
    return (act + tables + logits + layer_cycles) / 2;
}

void hw_area(struct hw_area *out, const struct hw *h)
{
    *out = (struct hw_area){
        .lut = lut(h),
        .bram36 = bram(h),
        .dsp = h->m * h->n + 2 * h->drain + AREA_SHELL_DSP,
    };
}
