// No switch here has a default: the compiler names those that a new kind of step is missing from.
#include "planes.h"

SHUFFLENET_LOCAL struct plane written_by(const struct step *step)
{
    switch (step->kind) {
    case PLAN_INPUT: {
        const struct input *s = &step->as.input;
        return (struct plane){s->rows, s->pitch, s->channels * s->phases * s->phases, s->out};
    }
    case PLAN_CONVOLUTION: {
        const struct convolution *s = &step->as.convolution;
        return (struct plane){(s->pixels + s->pitch - 1) / s->pitch, s->pitch, s->groups * s->m, s->out};
    }
    case PLAN_DEPTHWISE: {
        const struct depthwise *s = &step->as.depthwise;
        return (struct plane){(s->height - 1) / s->stride + 1, s->out_pitch, s->channels, s->out};
    }
    case PLAN_MAX_POOL:
    case PLAN_AVERAGE_POOL: {
        const struct pool *s = &step->as.pool;
        return (struct plane){s->out_height, s->out_pitch, s->channels, s->out};
    }
    case PLAN_STRIPS: {
        const struct step *last = step + 1;
        while (last->window.lines)
            last++;
        return written_by(last);
    }
    case PLAN_ZERO:
    case PLAN_MEANS:
    case PLAN_FULLY_CONNECTED:
    case PLAN_SCALE:
        break;
    }
    return (struct plane){0};
}

SHUFFLENET_LOCAL struct plane read_by(const struct step *step)
{
    switch (step->kind) {
    case PLAN_CONVOLUTION: {
        const struct convolution *s = &step->as.convolution;
        return (struct plane){written_by(step).height + step->window.reach, s->in_pitch, s->groups * s->k, s->in};
    }
    case PLAN_DEPTHWISE: {
        const struct depthwise *s = &step->as.depthwise;
        return (struct plane){s->height, s->in_pitch, s->channels, s->in};
    }
    case PLAN_MAX_POOL:
    case PLAN_AVERAGE_POOL: {
        const struct pool *s = &step->as.pool;
        return (struct plane){s->height, s->in_pitch, s->channels, s->in};
    }
    case PLAN_INPUT:
    case PLAN_ZERO:
    case PLAN_STRIPS:
    case PLAN_MEANS:
    case PLAN_FULLY_CONNECTED:
    case PLAN_SCALE:
        break;
    }
    return (struct plane){0};
}

SHUFFLENET_LOCAL struct lines read_for(const struct step *step, struct lines lines)
{
    if (!has_windows(step))
        return (struct lines){lines.begin, lines.end + step->window.reach};
    const uint32_t height = read_by(step).height; // windows of three lines
    const uint32_t padding = step->kind == PLAN_DEPTHWISE ? 1 : step->as.pool.padding;
    const uint32_t stride = step->kind == PLAN_DEPTHWISE ? step->as.depthwise.stride : 2;
    const uint32_t begin = stride * lines.begin, end = stride * (lines.end - 1) + 3 - padding;
    return (struct lines){begin < padding ? 0 : begin - padding, end < height ? end : height};
}

SHUFFLENET_LOCAL int has_windows(const struct step *step)
{
    return step->kind == PLAN_DEPTHWISE || step->kind == PLAN_MAX_POOL || step->kind == PLAN_AVERAGE_POOL;
}
