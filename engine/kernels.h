// One struct for each kind of step, and the table of kernels that every instruction set level fills.
//
// Letters: x an arena row that is read, y one that is written, w weights, b bias. Row tables (in, out, residual)
// hold offsets in floats from the start of the arena.
#ifndef SHUFFLENET_KERNELS_H
#define SHUFFLENET_KERNELS_H

#include "plan.h"

#include <stddef.h>
#include <stdint.h>

// The caller's picture [channels, height, width], split by row and column parity into padded planes, so that the
// convolution behind it has only unit strides:
//   y[(c * stride + r) * stride + s][i * pitch + j] = picture[c][i * stride + r - 1][j * stride + s - 1], 0 outside
// for 0 <= i < rows and 0 <= j < pitch.
struct input {
    uint32_t stride, rows, pitch;
    const uint32_t *out; // [channels * stride * stride]
    uint32_t channels, height, width;
};

// y[i][0 .. length) = 0 for each of count rows: what a depthwise convolution must find around its input.
struct zero {
    uint32_t count, length;
    const uint32_t *out; // [count]
};

// count tiles of mr outputs each, one after the other, the first of them at output row of the group.
struct tile_run {
    uint32_t mr, count, row;
};

// For each group g, line l, output m and pixel p:
//   y[g, m][l * out_pitch + p] = max(least, b[g, m] + sum over k of w[g, m, k] * x[g, k][l * in_pitch + p] + r[g, m][l * out_pitch + p])
// A pointwise convolution is one line of height * width pixels; a 3x3 has one line per output row and finds its taps
// as shifted rows in the table. Packed weights: for each group, for each of its tiles of mr outputs, b [mr] then
// w [k][mr]. Where there are several lines, out_pitch leaves room for a line's tail.
struct convolution {
    uint32_t groups, k, m, lines, pixels, in_pitch, out_pitch;
    float least;              // 0 for a ReLU, else minus infinity
    const uint32_t *in;       // [groups][k]
    const uint32_t *out;      // [groups][m]
    const uint32_t *residual; // [groups][m], or NULL
    const float *packed;
    const struct tile_run *tiles; // of a group, closed by one with mr 0
    uint32_t tile_count;          // of a group
};

// 3x3, padding 1: y[c] = b[c] + sum over taps of w[c][tap] * x[c][...]. With stride 1 the width + 1 floats before and
// after each row of x are zero.
struct depthwise {
    uint32_t channels, height, width, stride;
    const uint32_t *in, *out; // [channels]
    const float *weights;     // [channels][9]
    const float *bias;        // [channels]
    // Stride 1: [2][period][vector_floats], all ones where the pixel has a left, then a right neighbour.
    const int32_t *masks;
    uint32_t period;       // in vectors
    const float *zero_row; // stride 2: what stands above the first and below the last image row
};

// 3x3, stride 2, padding 1, over lines of in_pitch floats. Average: the nine taps' sum / 9, padding counted. Maximum: of
// inputs that are not negative, so that padding counts as 0.
struct pool {
    uint32_t channels, height, width, in_pitch;
    const uint32_t *in, *out; // [channels]
    const float *zero_row;
};

// y[c] = mean of x[c] over pixels; y is one row of channels floats.
struct global_average {
    uint32_t channels, pixels;
    const uint32_t *in;  // [channels]
    const uint32_t *out; // [1]
};

// logits[c] = b[c] + sum over k of w[c][k] * x[k]. Packed: for each block of classifier_block classes,
// b [block] then w [k][block], zero behind the last class.
struct classifier {
    uint32_t k;
    const uint32_t *in; // [1]
    uint32_t classes;
    const float *packed;
};

struct step {
    uint32_t kind;
    union {
        struct input input;
        struct zero zero;
        struct convolution convolution;
        struct depthwise depthwise;
        struct pool pool;
        struct global_average global_average;
        struct classifier classifier;
    } as;
};

// A thread's part of a step's work: number part of parts, which the threads that share a step number from 0.
struct share {
    uint32_t part, parts;
};

struct range {
    size_t begin, end;
};

static inline struct range range_of(struct share share, size_t count)
{
    const struct range range = {count * share.part / share.parts, count * (share.part + 1) / share.parts};
    return range;
}

enum { MAX_TILE_ROWS = 8 };

struct kernels {
    const char *name;
    uint32_t vector_floats;
    uint32_t classifier_block;
    // vectors[mr]: the widest tile with mr outputs, 0 if there is none; vectors[1] is never 0.
    uint8_t vectors[MAX_TILE_ROWS + 1];
    void (*input)(const struct input *, const float *picture, float *arena, struct share);
    void (*zero)(const struct zero *, float *arena, struct share);
    void (*convolution)(const struct convolution *, float *arena, struct share);
    void (*depthwise)(const struct depthwise *, float *arena, struct share);
    void (*max_pool)(const struct pool *, float *arena, struct share);
    void (*average_pool)(const struct pool *, float *arena, struct share);
    void (*global_average)(const struct global_average *, float *arena, struct share);
    void (*classifier)(const struct classifier *, const float *arena, float *logits, struct share);
};

// One for each level, in levels/; cpu.c says which of them this processor can run.
extern const struct kernels kernels_reference;
extern const struct kernels kernels_generic;
extern const struct kernels kernels_avx2;
extern const struct kernels kernels_avx512;

// The level of that name, the best for NULL, or NULL if there is none that this processor can run.
const struct kernels *find_kernels(const char *isa);

#endif
