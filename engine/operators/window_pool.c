#include "kind.h"

// Whether each of so many windows has a pixel inside.
static int windows_reach(uint32_t windows, const struct window_pool *s, uint32_t size)
{
    return is_size(windows) && (uint64_t)(windows - 1) * s->stride < (uint64_t)size + s->padding;
}

static void build_window_pool(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_window_pool *p = &plan->as.window_pool;
    struct window_pool *s = &step->as.window_pool;
    *s = (struct window_pool){
        .pooling = p->pooling,
        .kernel_size = p->kernel_size,
        .stride = p->stride,
        .channels = p->channels,
        .height = p->height,
        .width = p->width,
        .in_pitch = p->in_pitch,
        .out_pitch = p->out_pitch,
        .padding = p->padding,
        .out_height = p->out_height,
        .out_width = p->out_width,
    };
    require(b, s->pooling <= PLAN_AVERAGE_WITH_PADDING && is_size(s->kernel_size) && s->padding < s->kernel_size);
    require(b, is_size(s->stride) && is_size(s->channels) && is_size(s->height) && is_size(s->width));
    require(b, s->in_pitch >= s->width && is_size(s->in_pitch));
    require(b, windows_reach(s->out_height, s, s->height) && windows_reach(s->out_width, s, s->width));
    require(b, is_size(s->out_pitch) && s->out_pitch >= s->out_width);
    if (b->failed)
        return;
    s->in = table(b, p->input, s->channels, plane_words(s->height, s->width, s->in_pitch));
    s->out = table(b, p->output, s->channels, (uint64_t)s->out_height * s->out_pitch);
}

static void run_window_pool(const struct run *run, const struct step *step)
{
    run->kernels->window_pool(&step->as.window_pool, run->arena, run->share);
}

SHUFFLENET_LOCAL const struct kind *window_pool_kind(void)
{
    static const struct kind window_pool = {.build = build_window_pool, .run = run_window_pool};
    return &window_pool;
}
