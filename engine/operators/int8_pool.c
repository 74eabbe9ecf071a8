#include "kind.h"

#include "../int8.h"

static void build_int8_pool(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_int8_pool *p = &plan->as.int8_pool;
    struct int8_pool *s = &step->as.int8_pool;
    *s = (struct int8_pool){
        .quads = p->quads,
        .height = p->height,
        .width = p->width,
        .in_pitch = p->in_pitch,
        .out_pitch = p->out_pitch,
        .padding = p->padding,
        .out_height = p->out_height,
        .out_width = p->out_width,
        .zero_row = b->zero_row,
    };
    require(b, !b->strips && is_size(s->quads) && is_size(s->height) && is_size(s->width) && s->padding <= 1);
    require(b, s->width <= b->plan.width); // as long as zero_row
    require(b, s->in_pitch >= s->width && is_size(s->in_pitch));
    require(b, windows_fit(s->out_height, s->height, s->padding) && windows_fit(s->out_width, s->width, s->padding));
    require(b, is_size(s->out_pitch) && s->out_pitch >= s->out_width);
    if (b->failed)
        return;
    s->in = table(b, p->input, s->quads, plane_words(s->height, s->width, s->in_pitch));
    s->out = table(b, p->output, s->quads, (uint64_t)s->out_height * s->out_pitch + ROW_TAIL);
}

static void build_int8_average_pool(struct builder *b, const struct plan_step *plan, struct step *step)
{
    build_int8_pool(b, plan, step);
    struct int8_pool *s = &step->as.int8_pool;
    if (b->failed)
        return;
    const struct plan_int8_pool *p = &plan->as.int8_pool;
    const uint64_t channels = 4 * (uint64_t)s->quads;
    s->factors = int8_means(b, p->factors, p->offsets, channels, 9);
    s->offsets = s->factors ? s->factors + channels : NULL;
}

static void run_int8_max_pool(const struct run *run, const struct step *step)
{
    uint8_t *arena = (uint8_t *)run->arena;
    run->kernels->int8->max_pool(&step->as.int8_pool, arena, arena, all_lines, run->share);
}

static void run_int8_average_pool(const struct run *run, const struct step *step)
{
    uint8_t *arena = (uint8_t *)run->arena;
    run->kernels->int8->average_pool(&step->as.int8_pool, arena, arena, all_lines, run->share);
}

SHUFFLENET_LOCAL const struct kind *int8_max_pool_kind(void)
{
    static const struct kind int8_max_pool = {.build = build_int8_pool, .run = run_int8_max_pool};
    return &int8_max_pool;
}

SHUFFLENET_LOCAL const struct kind *int8_average_pool_kind(void)
{
    static const struct kind int8_average_pool = {.build = build_int8_average_pool, .run = run_int8_average_pool};
    return &int8_average_pool;
}
