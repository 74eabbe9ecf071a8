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

static void fill_masks(const struct int8_depthwise *s, uint32_t vector_words, uint8_t *masks)
{
    const uint32_t words = words_of_line(s->kernel_size);
    for (uint32_t p = 0; p < s->period * vector_words; p++) {
        const uint32_t column = s->stride == 1 ? p % s->in_pitch : 2 * p;
        for (uint32_t tap = 0; tap < 4 * words; tap++) {
            const int64_t seen = (int64_t)column + tap - s->kernel_size / 2;
            const int inside = column < s->width && seen >= 0 && seen < s->width && tap < s->kernel_size;
            const size_t word = (size_t)(p / vector_words * words + tap / 4) * vector_words + p % vector_words;
            masks[4 * word + tap % 4] = inside ? 0xff : 0;
        }
    }
}

// Copies a channel's weights, each line filled up to whole words.
static void fill_taps(const struct int8_depthwise *s, const int8_t *weights, int32_t *taps)
{
    const uint32_t words = words_of_line(s->kernel_size);
    memset(taps, 0, sizeof(int32_t) * s->kernel_size * words);
    for (uint32_t line = 0; line < s->kernel_size; line++)
        memcpy(taps + line * words, weights + line * s->kernel_size, s->kernel_size);
}

static void check_depthwise_channel(struct builder *b, uint32_t taps, const int8_t *weights, int32_t bias,
                                    struct int8_output output)
{
    double sum = fabs((double)bias);
    for (uint32_t tap = 0; tap < taps; tap++) {
        require(b, weights[tap] >= -127);
        sum += 127 * abs(weights[tap]);
    }
    require(b, sum < 0x1p31 - 1);
    require_output(b, sum, output);
}

static void check_depthwise(struct builder *b, const struct int8_depthwise *s)
{
    require(b, !b->strips && (s->kernel_size == 3 || s->kernel_size == 5) && (s->stride == 1 || s->stride == 2));
    require(b, s->activation < PLAN_INT8_ACTIVATIONS && s->around <= 127);
    require(b, is_size(s->quads) && s->quads < LIMIT / 160 && is_size(s->height) && is_size(s->width));
    require(b, s->in_pitch >= s->width && is_size(s->in_pitch) && is_size(s->out_pitch));
    if (!b->failed)
        require(b, s->out_pitch >= (s->width - 1) / s->stride + 1 && (s->stride == 2 || s->in_pitch == s->out_pitch));
}

static void build_int8_depthwise(struct builder *b, const struct plan_step *plan, struct step *step)
{
    enum { AROUND_BYTES = 4 * MAX_VECTOR_FLOATS + 8 }; // that a vector of windows may be read from
    const struct plan_int8_depthwise *p = &plan->as.int8_depthwise;
    struct int8_depthwise *s = &step->as.int8_depthwise;
    *s = (struct int8_depthwise){
        .kernel_size = p->kernel_size,
        .quads = p->quads,
        .height = p->height,
        .width = p->width,
        .stride = p->stride,
        .in_pitch = p->in_pitch,
        .out_pitch = p->out_pitch,
        .activation = p->activation,
        .around = p->around,
    };
    check_depthwise(b, s);
    if (b->failed)
        return;
    const uint64_t padding = s->kernel_size / 2, channels = 4 * (uint64_t)s->quads;
    const uint64_t around = s->stride == 1 ? round_up(padding * (s->in_pitch + (uint64_t)1), 4) / 4 : 1;
    const uint64_t in_words = round_up(plane_words(s->height, s->width, s->in_pitch), 4) / 4;
    const uint64_t out_words = (uint64_t)((s->height - 1) / s->stride + 1) * s->out_pitch;
    const uint32_t taps = s->kernel_size * s->kernel_size, words = s->kernel_size * words_of_line(s->kernel_size);
    s->in = read_table(b, step, p->input, channels, in_words, 1, around, 0);
    s->out = table(b, p->output, s->quads, out_words + ROW_TAIL);
    const int8_t *w = weights(b, p->weights, PLAN_INT8, taps * channels);
    const int32_t *bias = weights(b, p->bias, PLAN_INT32, channels);
    const struct int8_output *outputs = int8_outputs(b, p->outputs, channels);
    const uint32_t vector_words = b->kernels->int8->vector_words;
    s->period = mask_period(s, vector_words);
    int32_t *taps_copy = take(b, sizeof(int32_t) * words * channels), *bias_copy = take(b, sizeof(int32_t) * channels);
    struct int8_output *outputs_copy = take(b, sizeof *outputs * channels);
    uint8_t *masks = take(b, (uint64_t)sizeof(int32_t) * s->period * vector_words * words_of_line(s->kernel_size));
    uint8_t *line = take(b, AROUND_BYTES);
    s->taps = taps_copy;
    s->bias = bias_copy;
    s->outputs = outputs_copy;
    s->masks = (const int32_t *)masks;
    s->around_line = line;
    for (size_t c = 0; !b->failed && c < channels; c++) {
        check_depthwise_channel(b, taps, w + taps * c, bias[c], outputs[c]);
        if (is_building(b))
            fill_taps(s, w + taps * c, taps_copy + words * c);
    }
    if (!is_building(b))
        return;
    memcpy(bias_copy, bias, sizeof(int32_t) * channels);
    memcpy(outputs_copy, outputs, sizeof *outputs * channels);
    memset(line, (int)s->around, AROUND_BYTES);
    fill_masks(s, vector_words, masks);
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
