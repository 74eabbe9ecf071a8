#include "kind.h"

#include "../int8.h"

static void build_int8_adaptive_average_pool(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_int8_adaptive_average_pool *p = &plan->as.int8_adaptive_average_pool;
    struct int8_adaptive_average_pool *s = &step->as.int8_adaptive_average_pool;
    *s = (struct int8_adaptive_average_pool){.quads = p->quads,
                                             .height = p->height,
                                             .width = p->width,
                                             .in_pitch = p->in_pitch,
                                             .out_height = p->out_height,
                                             .out_width = p->out_width,
                                             .logits = b->plan.classes};
    require(b, !b->strips && is_size(s->quads) && is_size(s->height) && is_size(s->width) && is_size(s->in_pitch));
    require(b, s->in_pitch >= s->width && (uint64_t)s->height * s->width * 127 < 1u << 31);
    require(b, is_size(s->out_height) && is_size(s->out_width) && (uint64_t)s->out_height * s->out_width < LIMIT);
    if (b->failed)
        return;
    const uint64_t windows = (uint64_t)s->out_height * s->out_width, channels = 4 * s->quads * windows;
    require(b, channels < LIMIT);
    require(b, p->output != PLAN_NO_TABLE || (windows == 1 && s->logits <= channels));
    s->in = table(b, p->input, s->quads, plane_words(s->height, s->width, s->in_pitch));
    s->out = optional_table(b, p->output, 1, channels / 4);
    s->factors = int8_means(b, p->factors, p->offsets, channels, (double)s->height * s->width);
    s->offsets = s->factors ? s->factors + channels : NULL;
}

static void run_int8_adaptive_average_pool(const struct run *run, const struct step *step)
{
    run->kernels->int8->adaptive_average_pool(&step->as.int8_adaptive_average_pool, (uint8_t *)run->arena, run->logits,
                                              run->share);
}

SHUFFLENET_LOCAL const struct kind *int8_adaptive_average_pool_kind(void)
{
    static const struct kind int8_adaptive_average_pool = {.build = build_int8_adaptive_average_pool,
                                                           .run = run_int8_adaptive_average_pool};
    return &int8_adaptive_average_pool;
}
