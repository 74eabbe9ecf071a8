#include "kind.h"

#include <string.h>

// The vectors after which the pattern of left and right edges in them repeats (see struct depthwise).
static uint32_t mask_period(uint32_t pitch, uint32_t vector_floats)
{
    uint32_t common = vector_floats;
    while (pitch % common)
        common /= 2;
    return pitch / common;
}

static void fill_masks(const struct depthwise *s, uint32_t vector_floats, int32_t *masks)
{
    const uint32_t count = s->period * vector_floats;
    for (uint32_t p = 0; p < count; p++) {
        const uint32_t column = p % s->in_pitch;
        masks[p] = column != 0 && column < s->width ? -1 : 0;
        masks[count + p] = column + 1 < s->width ? -1 : 0;
        masks[2 * count + p] = column < s->width ? -1 : 0;
    }
}

static void build_depthwise(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_depthwise *p = &plan->as.depthwise;
    struct depthwise *s = &step->as.depthwise;
    *s = (struct depthwise){
        .kernel_size = p->kernel_size,
        .channels = p->channels,
        .height = p->height,
        .width = p->width,
        .stride = p->stride,
        .in_pitch = p->in_pitch,
        .out_pitch = p->out_pitch,
        .activation = p->activation,
        .lower_bound = lower_bound_of(p->activation),
        .zero_row = b->zero_row,
        .in_strips = b->strips != NULL,
    };
    require(b, s->kernel_size == 3 || (s->kernel_size == 5 && !b->strips));
    require(b, (s->stride == 1 || s->stride == 2) && p->activation < PLAN_ACTIVATIONS);
    require(b, is_size(s->channels) && is_size(s->height) && is_size(s->width));
    require(b, s->width <= b->plan.width); // as long as zero_row
    require(b, s->in_pitch >= s->width && is_size(s->in_pitch) && is_size(s->out_pitch));
    if (b->failed)
        return;
    require(b, s->out_pitch >= (s->width - 1) / s->stride + 1 && (s->stride == 2 || s->in_pitch == s->out_pitch));
    require(b, !b->strips || s->stride == 2 || s->in_pitch == round_up(s->width, ROW_ALIGNMENT));
    const uint32_t padding = s->kernel_size / 2, taps = s->kernel_size * s->kernel_size;
    require(b, s->stride == 2 || padding == 1 || s->in_pitch - s->width >= padding);
    const uint64_t around = s->stride == 1 ? (uint64_t)padding * (s->in_pitch + 1) : 0;
    const uint64_t out_words = (uint64_t)((s->height - 1) / s->stride + 1) * s->out_pitch;
    const uint64_t in_words = plane_words(s->height, s->width, s->in_pitch);
    s->in = read_table(b, step, p->input, s->channels, in_words, s->in_pitch, around, 0);
    s->out = written_table(b, step, p->output, s->channels, out_words, s->out_pitch, ROW_TAIL);
    const float *w = floats(b, p->weights, (uint64_t)taps * s->channels), *bias = floats(b, p->bias, s->channels);
    float *w_copy = take(b, sizeof(float) * taps * s->channels);
    float *bias_copy = take(b, sizeof(float) * s->channels);
    int32_t *masks = NULL;
    if (s->stride == 1) {
        s->period = mask_period(s->in_pitch, b->kernels->vector_floats);
        masks = take(b, (uint64_t)sizeof(int32_t) * 3 * s->period * b->kernels->vector_floats);
    }
    s->weights = w_copy;
    s->bias = bias_copy;
    s->masks = masks;
    if (is_building(b)) {
        memcpy(w_copy, w, sizeof(float) * taps * s->channels);
        memcpy(bias_copy, bias, sizeof(float) * s->channels);
        if (masks)
            fill_masks(s, b->kernels->vector_floats, masks);
    }
}

static void run_depthwise(const struct kernels *kernels, const struct step *step, const float *x, float *y,
                          struct lines lines, struct share share)
{
    kernels->depthwise(&step->as.depthwise, x, y, lines, share);
}

static struct plane depthwise_writes(const struct step *step)
{
    const struct depthwise *s = &step->as.depthwise;
    return (struct plane){(s->height - 1) / s->stride + 1, s->out_pitch, s->channels, s->out};
}

static struct plane depthwise_reads(const struct step *step)
{
    const struct depthwise *s = &step->as.depthwise;
    return (struct plane){s->height, s->in_pitch, s->channels, s->in};
}

static struct lines lines_read_by_depthwise(const struct step *step, struct lines written)
{
    const struct depthwise *s = &step->as.depthwise;
    return lines_of_windows(written, s->stride, 1, s->height);
}

SHUFFLENET_LOCAL const struct kind *depthwise_kind(void)
{
    static const struct kind depthwise = {
        .build = build_depthwise,
        .run = run_all_lines,
        .run_lines = run_depthwise,
        .writes = depthwise_writes,
        .reads = depthwise_reads,
        .lines_read = lines_read_by_depthwise,
    };
    return &depthwise;
}
