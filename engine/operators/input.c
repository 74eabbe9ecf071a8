#include "kind.h"

#include <string.h>

static void build_input(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_input *p = &plan->as.input;
    struct input *s = &step->as.input;
    const int picture = p->input == PLAN_NO_TABLE;
    *s = (struct input){
        .stride = p->stride,
        .phases = p->phases,
        .padding = p->padding,
        .out_height = p->out_height,
        .out_pitch = p->out_pitch,
        .channels = picture ? b->plan.in_channels : p->channels,
        .height = picture ? b->plan.height : p->height,
        .width = picture ? b->plan.width : p->width,
        .in_pitch = picture ? b->plan.width : p->in_pitch,
    };
    step->reads_picture = picture;
    step->left_out = p->stem && b->kernels->stem;
    require(b, is_size(s->stride) && is_size(s->phases) && s->phases <= s->stride && s->stride <= MAX_STRIDE);
    require(b, s->padding < LIMIT && is_size(s->out_height) && is_size(s->out_pitch));
    require(b, is_size(s->channels) && is_size(s->height) && is_size(s->width));
    require(b, s->in_pitch >= s->width && is_size(s->in_pitch));
    require(b, !b->strips || (picture && step->source == PLAN_WHOLE && step->sliding_lines));
    require(b, p->stem <= (b->strips != NULL));
    if (b->failed)
        return;
    s->in = optional_table(b, p->input, s->channels, plane_words(s->height, s->width, s->in_pitch));
    if (p->around != PLAN_NO_TABLE) {
        const int32_t *words = weights(b, p->around, PLAN_INT32, s->channels);
        int32_t *copy = take(b, sizeof(int32_t) * s->channels);
        s->around = copy;
        if (is_building(b))
            memcpy(copy, words, sizeof(int32_t) * s->channels);
    }
    s->out = written_table(b, step, p->output, (uint64_t)s->channels * s->phases * s->phases,
                           (uint64_t)s->out_height * s->out_pitch, s->out_pitch, 0);
}

static void run_input(const struct kernels *kernels, const struct step *step, const float *x, float *y,
                      struct lines lines, struct share share)
{
    kernels->input(&step->as.input, x, y, lines, share);
}

static struct plane input_writes(const struct step *step)
{
    const struct input *s = &step->as.input;
    return (struct plane){s->out_height, s->out_pitch, s->channels * s->phases * s->phases, s->out};
}

SHUFFLENET_LOCAL const struct kind *input_kind(void)
{
    static const struct kind input = {
        .build = build_input,
        .run = run_all_lines,
        .run_lines = run_input,
        .writes = input_writes,
    };
    return &input;
}
