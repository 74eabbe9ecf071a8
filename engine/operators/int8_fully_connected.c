#include "kind.h"

#include "../int8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void build_int8_fully_connected(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_int8_fully_connected *p = &plan->as.int8_fully_connected;
    struct int8_fully_connected *s = &step->as.int8_fully_connected;
    *s = (struct int8_fully_connected){.k = p->k, .m = p->m};
    require(b, !b->strips && is_size(s->k) && is_size(s->m) && (uint64_t)s->k * s->m < LIMIT / 4);
    require(b, s->m == b->plan.classes);
    if (b->failed)
        return;
    const uint64_t block = b->kernels->int8->fully_connected_block, outputs = round_up(s->m, block);
    const uint64_t count = (uint64_t)s->k * s->m;
    s->in = table(b, p->input, 1, s->k);
    const int8_t *w = weights(b, p->weights, PLAN_INT8, 4 * count);
    const int32_t *bias = weights(b, p->bias, PLAN_INT32, s->m);
    const float *factors = floats(b, p->factors, s->m);
    int32_t *packed = take(b, sizeof(int32_t) * outputs * s->k);
    int32_t *bias_copy = take(b, sizeof(int32_t) * outputs);
    float *factors_copy = take(b, sizeof(float) * outputs);
    s->weights = packed;
    s->bias = bias_copy;
    s->factors = factors_copy;
    for (size_t m = 0; !b->failed && m < s->m; m++) {
        double sum = fabs((double)bias[m]);
        for (size_t i = 0; i < (size_t)4 * s->k; i++) {
            sum += 127 * abs(w[4 * m * s->k + i]);
            require(b, w[4 * m * s->k + i] >= -127);
        }
        require(b, sum < 0x1p31 - 1 && isfinite(factors[m]));
    }
    if (!is_building(b))
        return;
    memset(packed, 0, sizeof(int32_t) * outputs * s->k);
    memset(bias_copy, 0, sizeof(int32_t) * outputs);
    memset(factors_copy, 0, sizeof(float) * outputs);
    memcpy(bias_copy, bias, sizeof(int32_t) * s->m);
    memcpy(factors_copy, factors, sizeof(float) * s->m);
    for (size_t m = 0; m < s->m; m++)
        for (size_t k = 0; k < s->k; k++)
            memcpy(packed + (m / block * s->k + k) * block + m % block, w + 4 * (m * s->k + k), sizeof(int32_t));
}

static void run_int8_fully_connected(const struct run *run, const struct step *step)
{
    run->kernels->int8->fully_connected(&step->as.int8_fully_connected, (const uint8_t *)run->arena, run->logits,
                                        run->share);
}

SHUFFLENET_LOCAL const struct kind *int8_fully_connected_kind(void)
{
    static const struct kind int8_fully_connected = {.build = build_int8_fully_connected,
                                                     .run = run_int8_fully_connected};
    return &int8_fully_connected;
}
