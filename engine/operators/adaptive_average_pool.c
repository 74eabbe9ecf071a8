#include "kind.h"

enum { MOST_WINDOWS = 63 }; // along one side

static void build_adaptive_average_pool(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_adaptive_average_pool *p = &plan->as.adaptive_average_pool;
    struct adaptive_average_pool *s = &step->as.adaptive_average_pool;
    *s = (struct adaptive_average_pool){
        .channels = p->channels,
        .height = p->height,
        .width = p->width,
        .in_pitch = p->in_pitch,
        .out_height = p->out_height,
        .out_width = p->out_width,
    };
    require(b, is_size(s->channels) && is_size(s->height) && is_size(s->width) && is_size(s->in_pitch));
    require(b, s->in_pitch >= s->width);
    require(b, s->out_height >= 1 && s->out_height <= MOST_WINDOWS);
    require(b, s->out_width >= 1 && s->out_width <= MOST_WINDOWS);
    const uint64_t count = (uint64_t)s->channels * s->out_height * s->out_width;
    require(b, p->output != PLAN_NO_TABLE || count == b->plan.classes);
    if (b->failed)
        return;
    s->in = table(b, p->input, s->channels, plane_words(s->height, s->width, s->in_pitch));
    s->out = optional_table(b, p->output, 1, count);
}

static void run_adaptive_average_pool(const struct run *run, const struct step *step)
{
    run->kernels->adaptive_average_pool(&step->as.adaptive_average_pool, run->arena, run->logits, run->share);
}

SHUFFLENET_LOCAL const struct kind *adaptive_average_pool_kind(void)
{
    static const struct kind adaptive_average_pool = {
        .build = build_adaptive_average_pool,
        .run = run_adaptive_average_pool,
    };
    return &adaptive_average_pool;
}
