/* accel: compile an integer network for an accelerator: program image, weight image,
 * memory map; and the cycle model, equal to the RTL to the cycle.
 * Format: docs/rtl/program.md. */
#ifndef ACCEL_H
#define ACCEL_H

#include "fixed/fixed.h"
#include "hw/hw.h"
#include "accel/program.h"

struct accel_layer_info {
    const char *name;          /* of the fixed layer, "input" for the image loader */
    int fixed_layer;           /* index, -1 for the image loader */
    int64_t macs;
    int w_bits, a_bits;        /* of the first weighted term (0, 0 if none) */
    int64_t ideal_cycles;      /* ceil(sum of MACs x planes x planes / (m n k)) */
    int64_t dense_planes, listed_planes; /* weight planes of the weighted terms' K-words: if every one were there, and those that are */
};

struct accel_program {
    struct base_arena *arena;
    struct hw hw;
    uint64_t *image; size_t image_words;       /* program image */
    uint64_t *weights; size_t weight_words64;  /* weight image, 64-bit words */
    int n_layer; struct accel_layer_info *layer;
    const char *rest;                          /* name of the layers from number PROGRAM_TIMED_LAYERS on together, or NULL: there are none */
    size_t input_bytes, output_bytes;          /* raw image, int32 logits */
    /* Words of the whole network; those beyond hw's depths are in the stream, but for the maps. */
    int act_words, weight_words, coef_words, scale_words, kwords;
    size_t stream_words;                       /* 64-bit, at the end of the image, read in every run; 0: all fits */
    size_t scratch_bytes;                      /* behind the first page of the OUTPUT window; 0: all maps fit */
    int n_part;                                /* layer records but the image's: a large layer has several */
};

/* BASE_INPUT names the layer or the resource that does not fit, and by how much. */
int accel_compile(struct accel_program **out, const struct fixed_net *net, const struct hw *hw);
void accel_program_free(struct accel_program *p);
/* `p`, compiled from a network, takes over the program that another version compiled from it: that is what a device runs. BASE_INPUT: it is
 * damaged, or of another network. */
int accel_adopt(struct accel_program *p, const uint64_t *image, size_t image_words, const uint64_t *weights, size_t weight_words64);

/* The cycle model. layer[l] for every layer of the network, at most PROGRAM_TIMED_LAYERS of them as a device has it; their sum
 * (and the other layers) plus start/finish is total, so that total == the RTL's cycle counter of a `run`. Works on the image alone. */
struct accel_cycles { int64_t total, load, further; int n_layer; int64_t layer[PROGRAM_TIMED_LAYERS]; int64_t ddr_bytes; };
int accel_model(struct accel_cycles *out, const struct hw *hw, const uint64_t *image, size_t image_words);
/* Of a start with several images, at most program_most_images: total is the whole start's, layers are those of the last image, further is
 * what it adds. */
int accel_model_images(struct accel_cycles *out, const struct hw *hw, const uint64_t *image, size_t image_words, uint32_t images);

/* The program for that of `n` arrays which takes the fewest *cycles by the model, of equal ones the first: hw[*which]. BASE_INPUT: none
 * takes the network; the message is the last one's. */
int accel_compile_fastest(struct accel_program **out, int *which, int64_t *cycles, const struct fixed_net *net, const struct hw *hw, int n);

/* Structural check of any image (hostile ones too): the error code the accelerator would end
 * with, 0 if none (PROGRAM_ERR_*); BASE_NOMEM. With PROGRAM_ERR_STREAM what happens may depend on time: the
 * accelerator ends with any code, or none. */
int accel_decode_check(const struct hw *hw, const uint64_t *image, size_t image_words);

#endif
