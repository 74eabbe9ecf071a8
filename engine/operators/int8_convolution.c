#include "kind.h"

#include "../int8.h"
#include "../tiles.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// One output's weights, words of four, and what requantizes their sum.
struct output {
    const int8_t *weights; // [k][4]
    int32_t bias;
    float factor, residual_factor;
};

static struct output output_of(const struct int8_convolution *s, size_t m, const int8_t *weights, const int32_t *bias,
                               const float *factors, const float *residual_factors)
{
    const struct output output = {weights + 4 * m * s->k, bias[m], factors[m],
                                  residual_factors ? residual_factors[m] : 0};
    return output;
}

// Whether the sum and what becomes of it are in range whatever is read.
static void check_output(struct builder *b, const struct int8_convolution *s, struct output output)
{
    const int32_t most = s->reads == QUADS_READ ? 127 : 255;
    double sum = fabs((double)output.bias);
    for (size_t i = 0; i < (size_t)4 * s->k; i++) {
        sum += most * abs(output.weights[i]);
        // Two products are added in 16 bits.
        require(b, output.weights[i] >= -127 && (most == 127 || abs(output.weights[i]) <= 63));
    }
    require(b, sum < 0x1p31 - 1);
    require_factor(b, sum, output.factor);
    require_factor(b, 127, output.residual_factor);
}

static int32_t *pack_output(const struct int8_convolution *s, struct output output, uint32_t mr, uint32_t subtracted,
                            int32_t *packed)
{
    packed[0] = output.bias;
    for (size_t i = 0; s->reads != QUADS_READ && i < (size_t)4 * s->k; i++)
        packed[0] += (int32_t)subtracted * output.weights[i];
    for (size_t k = 0; k < s->k; k++)
        memcpy(packed + (1 + k) * mr, output.weights + 4 * k, sizeof(int32_t));
    memcpy(packed + (1 + s->k) * (size_t)mr, &output.factor, sizeof(float));
    if (s->writes == QUADS_ADDED)
        memcpy(packed + (2 + s->k) * (size_t)mr, &output.residual_factor, sizeof(float));
    return packed + 1;
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
    };
    const uint64_t outputs = (uint64_t)s->groups * s->m, channels = p->writes == BYTES_WRITTEN ? 1 : 4;
    require(b, !b->strips && p->reads <= WINDOWS_OF_STRIDE_2_READ && p->writes <= BYTES_WRITTEN);
    require(b, is_size(s->groups) && is_size(s->k) && is_size(s->m) && is_size(s->pixels));
    require(b, is_size(s->width) && is_size(s->pitch) && s->width <= s->pitch && is_size(s->in_pitch));
    require(b, outputs < LIMIT && outputs * s->k < LIMIT / 4);
    require(b, s->m % channels == 0 && (p->reads == QUADS_READ || (s->m % 4 == 0 && p->writes != QUADS_ADDED)));
    if (b->failed)
        return;
    // Lines are read at their own pitch: a line's pixels, or the bytes that they see.
    const uint64_t line = p->reads == QUADS_READ ? s->pitch : round_up(s->pitch * (uint64_t)p->reads + 4, 4) / 4;
    const uint64_t lines = (s->pixels - 1) / s->pitch, last = s->pixels - lines * s->pitch;
    const int one_row = p->reads == QUADS_READ && s->in_pitch == s->pitch;
    const uint64_t in_words = one_row ? s->pixels : lines * s->in_pitch + (p->reads == QUADS_READ ? last : line);
    const uint64_t out_words = channels == 1 ? round_up((uint64_t)s->pixels + ROW_TAIL, 4) / 4 : s->pixels + ROW_TAIL;
    s->in = table(b, p->input, (uint64_t)s->groups * s->k, in_words);
    s->out = table(b, p->output, outputs / channels, out_words);
    s->residual = p->writes == QUADS_ADDED ? table(b, p->residual, outputs / 4, out_words) : NULL;
    const int8_t *w = weights(b, p->weights, PLAN_INT8, 4 * outputs * s->k);
    const int32_t *bias = weights(b, p->bias, PLAN_INT32, outputs);
    const float *factors = floats(b, p->factors, outputs);
    const float *residual_factors = p->writes == QUADS_ADDED ? floats(b, p->residual_factors, outputs) : NULL;
    for (size_t m = 0; !b->failed && m < outputs; m++)
        check_output(b, s, output_of(s, m, w, bias, factors, residual_factors));
    struct tile_run *tiles = take(b, sizeof *tiles * (MAX_TILE_ROWS + 1));
    const uint64_t words = s->k + 2 + (p->writes == QUADS_ADDED);
    int32_t *packed = take(b, sizeof(int32_t) * (outputs * words + ROW_ALIGNMENT)); // whole vectors may be read
    s->tiles = tiles;
    s->packed = packed;
    if (!is_building(b))
        return;
    s->tile_count = choose_int8_tiles(b->kernels->int8, s, tiles);
    memset(packed + outputs * words, 0, sizeof(int32_t) * ROW_ALIGNMENT);
    size_t m = 0;
    for (uint32_t g = 0; g < s->groups; g++)
        for (const struct tile_run *run = s->tiles; run->mr; run++)
            for (uint32_t tile = 0; tile < run->count; tile++, packed += run->mr * words)
                for (uint32_t row = 0; row < run->mr; row++, m++)
                    pack_output(s, output_of(s, m, w, bias, factors, residual_factors), run->mr,
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
