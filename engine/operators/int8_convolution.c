#include "kind.h"

#include "../int8.h"
#include "../tiles.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// One output's weights, words of four, where its sum begins and what becomes of it.
struct output {
    const int8_t *weights; // [k][4]
    int32_t bias;
    struct int8_output constants;
};

// Whether the sum and what becomes of it are in range whatever is read.
static void check_convolution_output(struct builder *b, const struct int8_convolution *s, struct output output)
{
    const int32_t most = s->reads == QUADS_READ ? 127 : 255;
    double sum = fabs((double)output.bias);
    for (size_t i = 0; i < (size_t)4 * s->k; i++) {
        sum += most * abs(output.weights[i]);
        // Two products are added in 16 bits.
        require(b, output.weights[i] >= -127 && (most == 127 || abs(output.weights[i]) <= 63));
    }
    require(b, sum < 0x1p31 - 1);
    require_output(b, sum, output.constants);
}

static void pack_convolution_output(const struct int8_convolution *s, struct output output, uint32_t mr,
                                    uint32_t subtracted, int32_t *packed)
{
    packed[0] = output.bias;
    for (size_t i = 0; s->reads != QUADS_READ && i < (size_t)4 * s->k; i++)
        packed[0] += (int32_t)subtracted * output.weights[i];
    for (size_t k = 0; k < s->k; k++)
        memcpy(packed + (1 + k) * mr, output.weights + 4 * k, sizeof(int32_t));
    memcpy(packed + (1 + s->k) * (size_t)mr, &output.constants.factor, sizeof(float));
    if (s->writes == QUADS_ADDED)
        memcpy(packed + (2 + s->k) * (size_t)mr, &output.constants.residual_factor, sizeof(float));
}

// Whether factors are all that outputs need.
static int has_factors_alone(const struct int8_convolution *s, const struct int8_output *outputs, uint64_t count)
{
    int alone = s->activation <= PLAN_RELU && s->around == 0;
    for (size_t m = 0; m < count; m++)
        alone &= outputs[m].offset == 0;
    return alone;
}

static void check_convolution(struct builder *b, const struct int8_convolution *s, uint64_t channels)
{
    const uint64_t outputs = (uint64_t)s->groups * s->m;
    require(b, !b->strips && s->reads <= WINDOWS_OF_STRIDE_4_READ && s->writes <= BYTES_WRITTEN);
    require(b, s->activation < PLAN_INT8_ACTIVATIONS && s->around <= 127);
    require(b, is_size(s->groups) && is_size(s->k) && is_size(s->m) && is_size(s->pixels));
    require(b, is_size(s->width) && is_size(s->pitch) && s->width <= s->pitch && is_size(s->in_pitch));
    require(b, outputs < LIMIT && outputs * s->k < LIMIT / 4);
    require(b, s->m % channels == 0 && (s->reads == QUADS_READ || (s->m % 4 == 0 && s->writes != QUADS_ADDED)));
}

// Lines are read at their own pitch: a line's pixels, or the bytes that they see.
static uint64_t words_read(const struct int8_convolution *s)
{
    const uint64_t lines = (s->pixels - 1) / s->pitch, last = s->pixels - lines * s->pitch;
    if (s->reads == QUADS_READ)
        return s->in_pitch == s->pitch ? s->pixels : lines * s->in_pitch + last;
    return lines * s->in_pitch + round_up(s->pitch * (uint64_t)bytes_of_step(s->reads) + 4, 4) / 4;
}

static void build_int8_convolution(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_int8_convolution *p = &plan->as.int8_convolution;
    struct int8_convolution *s = &step->as.int8_convolution;
    *s = (struct int8_convolution){
        .groups = p->groups,
        .k = p->k,
        .m = p->m,
        .pixels = p->pixels,
        .width = p->width,
        .pitch = p->pitch,
        .in_pitch = p->in_pitch,
        .reads = (enum int8_reads)p->reads,
        .writes = (enum int8_writes)p->writes,
        .activation = p->activation,
        .around = p->around,
    };
    const uint64_t outputs = (uint64_t)s->groups * s->m, channels = p->writes == BYTES_WRITTEN ? 1 : 4;
    check_convolution(b, s, channels);
    if (b->failed)
        return;
    const uint64_t out_words = channels == 1 ? round_up((uint64_t)s->pixels + ROW_TAIL, 4) / 4 : s->pixels + ROW_TAIL;
    s->in = table(b, p->input, (uint64_t)s->groups * s->k, words_read(s));
    s->out = table(b, p->output, outputs / channels, out_words);
    s->residual = p->writes == QUADS_ADDED ? table(b, p->residual, outputs / 4, out_words) : NULL;
    const int8_t *w = weights(b, p->weights, PLAN_INT8, 4 * outputs * s->k);
    const int32_t *bias = weights(b, p->bias, PLAN_INT32, outputs);
    const struct int8_output *constants = int8_outputs(b, p->outputs, outputs);
    for (size_t m = 0; !b->failed && m < outputs; m++)
        check_convolution_output(b, s, (struct output){w + 4 * m * s->k, bias[m], constants[m]});
    struct tile_run *tiles = take(b, sizeof *tiles * (MAX_TILE_ROWS + 1));
    const uint64_t words = s->k + 2 + (p->writes == QUADS_ADDED);
    int32_t *packed = take(b, sizeof(int32_t) * (outputs * words + ROW_ALIGNMENT)); // whole vectors may be read
    struct int8_output *copy = NULL;
    if (!b->failed && !has_factors_alone(s, constants, outputs))
        copy = take(b, sizeof *copy * outputs);
    s->tiles = tiles;
    s->packed = packed;
    s->outputs = copy;
    if (!is_building(b))
        return;
    if (copy)
        memcpy(copy, constants, sizeof *copy * outputs);
    s->tile_count = choose_int8_tiles(b->kernels->int8, s, tiles);
    memset(packed + outputs * words, 0, sizeof(int32_t) * ROW_ALIGNMENT);
    size_t m = 0;
    for (uint32_t g = 0; g < s->groups; g++)
        for (const struct tile_run *run = s->tiles; run->mr; run++)
            for (uint32_t tile = 0; tile < run->count; tile++, packed += run->mr * words)
                for (uint32_t row = 0; row < run->mr; row++, m++)
                    pack_convolution_output(s, (struct output){w + 4 * m * s->k, bias[m], constants[m]}, run->mr,
                                            b->kernels->int8->subtracted, packed + row);
}

static void run_int8_convolution(const struct run *run, const struct step *step)
{
    uint8_t *arena = (uint8_t *)run->arena;
    run->kernels->int8->convolution(&step->as.int8_convolution, arena, arena, all_lines, run->share);
}

SHUFFLENET_LOCAL const struct kind *int8_convolution_kind(void)
{
    static const struct kind int8_convolution = {.build = build_int8_convolution, .run = run_int8_convolution};
    return &int8_convolution;
}
