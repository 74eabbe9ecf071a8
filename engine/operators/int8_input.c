#include "kind.h"

#include "../int8.h"

#include <string.h>

static void build_int8_input(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_int8_input *p = &plan->as.int8_input;
    struct int8_input *s = &step->as.int8_input;
    *s = (struct int8_input){
        .channels = b->plan.in_channels,
        .height = b->plan.height,
        .width = b->plan.width,
        .padding = p->padding,
        .out_height = p->out_height,
        .out_pitch = p->out_pitch,
    };
    require(b, !b->strips && s->padding < LIMIT && is_size(s->out_height) && is_size(s->out_pitch));
    require(b, s->out_pitch % 4 == 0 && s->out_pitch >= (uint64_t)s->width + s->padding);
    if (b->failed)
        return;
    s->out = table(b, p->output, s->channels, (uint64_t)s->out_height * (s->out_pitch / 4));
    const float *factors = floats(b, p->factors, s->channels), *offsets = floats(b, p->offsets, s->channels);
    const int32_t *around = weights(b, p->around, PLAN_INT32, s->channels);
    float *numbers = take(b, sizeof(float) * 2 * s->channels);
    uint8_t *bytes = take(b, s->channels);
    s->factors = numbers;
    s->offsets = numbers ? numbers + s->channels : NULL;
    s->around = bytes;
    for (size_t c = 0; !b->failed && c < s->channels; c++) {
        require(b, around[c] >= 0 && around[c] <= 255);
        if (is_building(b))
            bytes[c] = (uint8_t)around[c];
    }
    if (is_building(b)) {
        memcpy(numbers, factors, sizeof(float) * s->channels);
        memcpy(numbers + s->channels, offsets, sizeof(float) * s->channels);
    }
}

static void run_int8_input(const struct run *run, const struct step *step)
{
    run->kernels->int8->input(&step->as.int8_input, run->picture, (uint8_t *)run->arena, all_lines, run->share);
}

SHUFFLENET_LOCAL const struct kind *int8_input_kind(void)
{
    static const struct kind int8_input = {.build = build_int8_input, .run = run_int8_input};
    return &int8_input;
}
