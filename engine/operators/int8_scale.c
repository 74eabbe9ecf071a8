#include "kind.h"

#include "../int8.h"

#include <string.h>

static void build_int8_scale(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_int8_scale *p = &plan->as.int8_scale;
    struct int8_scale *s = &step->as.int8_scale;
    *s = (struct int8_scale){
        .quads = p->quads, .pixels = p->pixels, .width = p->width, .pitch = p->pitch, .activation = p->activation};
    require(b, !b->strips && is_size(s->quads) && is_size(s->pixels) && s->activation < PLAN_INT8_ACTIVATIONS);
    require(b, is_size(s->width) && is_size(s->pitch) && s->width <= s->pitch);
    if (b->failed)
        return;
    const uint64_t channels = 4 * (uint64_t)s->quads, words = (uint64_t)s->pixels + ROW_TAIL;
    s->in = table(b, p->input, s->quads, s->pixels);
    s->factors = table(b, p->factors, 1, channels);
    s->residual = optional_table(b, p->residual, s->quads, words);
    s->out = table(b, p->output, s->quads, words);
    const float *zeros = floats(b, p->zeros, channels);
    const struct int8_output *outputs = int8_outputs(b, p->outputs, channels);
    float *zeros_copy = take(b, sizeof(float) * channels);
    struct int8_output *outputs_copy = take(b, sizeof *outputs * channels);
    s->zeros = zeros_copy;
    s->outputs = outputs_copy;
    for (size_t c = 0; !b->failed && c < channels; c++) {
        require(b, zeros[c] >= 0 && zeros[c] <= 127);
        // Factors of a sigmoid are at most 1; what others make of them is cut off where it becomes a byte.
        require_output(b, 127, outputs[c]);
    }
    if (is_building(b)) {
        memcpy(zeros_copy, zeros, sizeof(float) * channels);
        memcpy(outputs_copy, outputs, sizeof *outputs * channels);
    }
}

static void run_int8_scale(const struct run *run, const struct step *step)
{
    run->kernels->int8->scale(&step->as.int8_scale, (uint8_t *)run->arena, run->share);
}

SHUFFLENET_LOCAL const struct kind *int8_scale_kind(void)
{
    static const struct kind int8_scale = {.build = build_int8_scale, .run = run_int8_scale};
    return &int8_scale;
}
