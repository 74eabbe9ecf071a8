#include "kind.h"

#include "../int8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// The vectors after which the pattern of edges in them repeats.
static uint32_t mask_period(const struct int8_depthwise *s, uint32_t vector_words)
{
    if (s->stride == 2)
        return ((s->width - 1) / 2 + vector_words) / vector_words;
    uint32_t common = vector_words;
    while (s->in_pitch % common)
        common /= 2;
    return s->in_pitch / common;
}

static void fill_masks(const struct int8_depthwise *s, uint32_t count, int32_t *masks)
{
    for (uint32_t p = 0; p < count; p++) {
        const uint32_t column = s->stride == 1 ? p % s->in_pitch : 2 * p;
        const int32_t left = column > 0 ? 0xff : 0, right = column + 1 < s->width ? 0xff0000 : 0;
        masks[p] = column < s->width ? left | 0xff00 | right : 0;
    }
}

static struct int8_channel channel_of(struct builder *b, const int8_t *weights, int32_t bias, float factor,
                                      float offset)
{
    struct int8_channel channel = {.bias = bias, .factor = factor, .offset = offset};
    double sum = fabs((double)bias);
    for (int tap = 0; tap < 9; tap++) {
        require(b, weights[tap] >= -127);
        sum += 127 * abs(weights[tap]);
    }
    require(b, sum < 0x1p31 - 1);
    require_factor(b, sum, factor);
    require_factor(b, 1, offset);
    for (int line = 0; line < 3; line++)
        memcpy(&channel.taps[line], weights + 3 * line, 3); // the lowest bytes: machines are little-endian
    return channel;
}

static void build_int8_depthwise(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_int8_depthwise *p = &plan->as.int8_depthwise;
    struct int8_depthwise *s = &step->as.int8_depthwise;
    *s = (struct int8_depthwise){
        .quads = p->quads,
        .height = p->height,
        .width = p->width,
        .stride = p->stride,
        .in_pitch = p->in_pitch,
        .out_pitch = p->out_pitch,
        .zero_line = (const uint8_t *)b->zero_row,
    };
    require(b, !b->strips && (s->stride == 1 || s->stride == 2));
    require(b, is_size(s->quads) && s->quads < LIMIT / 36 && is_size(s->height) && is_size(s->width));
    require(b, s->in_pitch >= s->width && is_size(s->in_pitch) && is_size(s->out_pitch));
    if (b->failed)
        return;
    require(b, s->out_pitch >= (s->width - 1) / s->stride + 1 && (s->stride == 2 || s->in_pitch == s->out_pitch));
    const uint64_t around = s->stride == 1 ? round_up((uint64_t)s->in_pitch + 1, 4) / 4 : 1;
    const uint64_t in_words = round_up(plane_words(s->height, s->width, s->in_pitch), 4) / 4;
    const uint64_t out_words = (uint64_t)((s->height - 1) / s->stride + 1) * s->out_pitch;
    const uint64_t channels = 4 * (uint64_t)s->quads;
    s->in = read_table(b, step, p->input, channels, in_words, 1, around, 0);
    s->out = table(b, p->output, s->quads, out_words + ROW_TAIL);
    const int8_t *w = weights(b, p->weights, PLAN_INT8, 9 * channels);
    const int32_t *bias = weights(b, p->bias, PLAN_INT32, channels);
    const float *factors = floats(b, p->factors, channels), *offsets = floats(b, p->offsets, channels);
    const uint32_t vector_words = b->kernels->int8->vector_words;
    s->period = mask_period(s, vector_words);
    struct int8_channel *copy = take(b, sizeof *copy * channels);
    int32_t *masks = take(b, (uint64_t)sizeof(int32_t) * s->period * vector_words);
    s->channels = copy;
    s->masks = masks;
    for (size_t c = 0; !b->failed && c < channels; c++) {
        const struct int8_channel channel = channel_of(b, w + 9 * c, bias[c], factors[c], offsets[c]);
        if (is_building(b))
            copy[c] = channel;
    }
    if (is_building(b))
        fill_masks(s, s->period * vector_words, masks);
}

static void run_int8_depthwise(const struct run *run, const struct step *step)
{
    uint8_t *arena = (uint8_t *)run->arena;
    run->kernels->int8->depthwise(&step->as.int8_depthwise, arena, arena, all_lines, run->share);
}

SHUFFLENET_LOCAL const struct kind *int8_depthwise_kind(void)
{
    static const struct kind int8_depthwise = {.build = build_int8_depthwise, .run = run_int8_depthwise};
    return &int8_depthwise;
}
