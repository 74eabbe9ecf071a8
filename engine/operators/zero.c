#include "kind.h"

static void build_zero(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_zero *p = &plan->as.zero;
    struct zero *s = &step->as.zero;
    *s = (struct zero){.count = p->count, .length = p->length, .word = p->word};
    s->out = table(b, p->output, s->count, s->length);
}

static void run_zero(const struct run *run, const struct step *step)
{
    run->kernels->zero(&step->as.zero, run->arena, run->share);
}

SHUFFLENET_LOCAL const struct kind *zero_kind(void)
{
    static const struct kind zero = {.build = build_zero, .run = run_zero};
    return &zero;
}
