#include "kind.h"

static void build_scale(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_scale *p = &plan->as.scale;
    struct scale *s = &step->as.scale;
    *s = (struct scale){
        .channels = p->channels,
        .pixels = p->pixels,
        .activation = p->activation,
        .lower_bound = lower_bound_of(p->activation),
    };
    require(b, is_size(s->channels) && is_size(s->pixels) && p->activation <= PLAN_RELU);
    if (b->failed)
        return;
    s->in = table(b, p->input, s->channels, s->pixels);
    s->factors = table(b, p->factors, 1, s->channels);
    s->out = table(b, p->output, s->channels, (uint64_t)s->pixels + ROW_TAIL);
    s->residual = optional_table(b, p->residual, s->channels, s->pixels);
}

static void run_scale(const struct run *run, const struct step *step)
{
    run->kernels->scale(&step->as.scale, run->arena, run->share);
}

SHUFFLENET_LOCAL const struct kind *scale_kind(void)
{
    static const struct kind scale = {.build = build_scale, .run = run_scale};
    return &scale;
}
