#include "kind.h"

#include "../half.h"

#include <string.h>

// In blocks of outputs, as struct fully_connected has them. halves: the plan's weights are of half precision.
static void pack_fully_connected(const struct fully_connected *s, size_t block, const void *w, int halves, void *packed)
{
    for (size_t first = 0, i = 0; first < s->m; first += block)
        for (size_t k = 0; k < s->k; k++)
            for (size_t m = first; m < first + block; m++, i++) {
                const size_t from = m * s->k + k;
                if (s->halves)
                    ((uint16_t *)packed)[i] = m < s->m ? ((const uint16_t *)w)[from] : 0;
                else if (halves)
                    ((float *)packed)[i] = m < s->m ? float_of_half(((const uint16_t *)w)[from]) : 0;
                else
                    ((float *)packed)[i] = m < s->m ? ((const float *)w)[from] : 0;
            }
}

static void build_fully_connected(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_fully_connected *p = &plan->as.fully_connected;
    struct fully_connected *s = &step->as.fully_connected;
    *s = (struct fully_connected){.k = p->k, .m = p->m, .activation = p->activation};
    const size_t block = b->kernels->fully_connected_block;
    require(b, is_size(s->k) && is_size(s->m) && (uint64_t)s->k * s->m < LIMIT && s->activation < PLAN_ACTIVATIONS);
    require(b, p->output != PLAN_NO_TABLE || s->m == b->plan.classes);
    require(b, p->weights < b->plan.block_count);
    if (b->failed)
        return;
    const uint64_t outputs = round_up(s->m, block);
    const int halves = b->blocks[p->weights].dtype == PLAN_FLOAT16;
    s->in = table(b, p->input, 1, s->k);
    s->out = optional_table(b, p->output, 1, s->m);
    const void *w = weights(b, p->weights, halves ? PLAN_FLOAT16 : PLAN_FLOAT32, (uint64_t)s->k * s->m);
    const float *bias = floats(b, p->bias, s->m);
    s->halves = halves && b->kernels->takes_halves;
    float *bias_copy = take(b, sizeof(float) * outputs);
    void *packed = take(b, (s->halves ? sizeof(uint16_t) : sizeof(float)) * outputs * s->k);
    s->bias = bias_copy;
    s->weights = packed;
    if (is_building(b)) {
        memset(bias_copy, 0, sizeof(float) * outputs);
        memcpy(bias_copy, bias, sizeof(float) * s->m);
        pack_fully_connected(s, block, w, halves, packed);
    }
}

static void run_fully_connected(const struct run *run, const struct step *step)
{
    run->kernels->fully_connected(&step->as.fully_connected, run->arena, run->logits, run->share);
}

SHUFFLENET_LOCAL const struct kind *fully_connected_kind(void)
{
    static const struct kind fully_connected = {.build = build_fully_connected, .run = run_fully_connected};
    return &fully_connected;
}
