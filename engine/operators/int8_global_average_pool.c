#include "kind.h"

#include "../int8.h"

#include <string.h>

static void build_int8_global_average_pool(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_int8_global_average_pool *p = &plan->as.int8_global_average_pool;
    struct int8_global_average_pool *s = &step->as.int8_global_average_pool;
    *s = (struct int8_global_average_pool){
        .quads = p->quads, .height = p->height, .width = p->width, .in_pitch = p->in_pitch};
    require(b, !b->strips && is_size(s->quads) && is_size(s->height) && is_size(s->width) && is_size(s->in_pitch));
    require(b, s->in_pitch >= s->width && (uint64_t)s->height * s->width * 127 < 1u << 31);
    if (b->failed)
        return;
    s->in = table(b, p->input, s->quads, plane_words(s->height, s->width, s->in_pitch));
    s->out = table(b, p->output, 1, s->quads);
    const uint64_t channels = 4 * (uint64_t)s->quads;
    const float *factors = floats(b, p->factors, channels);
    float *copy = take(b, sizeof(float) * channels);
    s->factors = copy;
    for (size_t c = 0; !b->failed && c < channels; c++)
        require_factor(b, 127.0 * s->height * s->width, factors[c]);
    if (is_building(b))
        memcpy(copy, factors, sizeof(float) * channels);
}

static void run_int8_global_average_pool(const struct run *run, const struct step *step)
{
    run->kernels->int8->global_average_pool(&step->as.int8_global_average_pool, (uint8_t *)run->arena, run->share);
}

SHUFFLENET_LOCAL const struct kind *int8_global_average_pool_kind(void)
{
    static const struct kind int8_global_average_pool = {.build = build_int8_global_average_pool,
                                                         .run = run_int8_global_average_pool};
    return &int8_global_average_pool;
}
