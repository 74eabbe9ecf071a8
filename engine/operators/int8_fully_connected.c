#include "kind.h"

#include "../int8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void check_fully_connected_output(struct builder *b, const struct int8_fully_connected *s, const int8_t *w,
                                         int32_t bias, struct int8_output output)
{
    double sum = fabs((double)bias);
    for (size_t i = 0; i < (size_t)4 * s->k; i++) {
        sum += 127 * abs(w[i]);
        require(b, w[i] >= -127);
    }
    require(b, sum < 0x1p31 - 1);
    if (s->writes_bytes)
        require_output(b, sum, output);
    else
        require(b, isfinite(output.factor) && isfinite(output.offset));
}

static void build_int8_fully_connected(struct builder *b, const struct plan_step *plan, struct step *step)
{
    const struct plan_int8_fully_connected *p = &plan->as.int8_fully_connected;
    struct int8_fully_connected *s = &step->as.int8_fully_connected;
    *s = (struct int8_fully_connected){
        .k = p->k, .m = p->m, .activation = p->activation, .writes_bytes = p->writes_bytes};
    require(b, !b->strips && is_size(s->k) && is_size(s->m) && (uint64_t)s->k * s->m < LIMIT / 4);
    require(b, s->activation < PLAN_INT8_ACTIVATIONS && s->writes_bytes <= 1);
    require(b, p->output != PLAN_NO_TABLE || (!s->writes_bytes && s->m == b->plan.classes));
    if (b->failed)
        return;
    const uint64_t block = b->kernels->int8->fully_connected_block, outputs = round_up(s->m, block);
    s->in = table(b, p->input, 1, s->k);
    s->out = optional_table(b, p->output, 1, s->writes_bytes ? round_up(s->m, 4) / 4 : s->m);
    const int8_t *w = weights(b, p->weights, PLAN_INT8, 4 * (uint64_t)s->k * s->m);
    const int32_t *bias = weights(b, p->bias, PLAN_INT32, s->m);
    const struct int8_output *from = int8_outputs(b, p->outputs, s->m);
    int32_t *packed = take(b, sizeof(int32_t) * outputs * s->k);
    int32_t *bias_copy = take(b, sizeof(int32_t) * outputs);
    float *constants = take(b, sizeof(float) * 4 * outputs);
    s->weights = packed;
    s->bias = bias_copy;
    s->constants = constants;
    for (size_t m = 0; !b->failed && m < s->m; m++)
        check_fully_connected_output(b, s, w + 4 * m * s->k, bias[m], from[m]);
    if (!is_building(b))
        return;
    memset(packed, 0, sizeof(int32_t) * outputs * s->k);
    memset(bias_copy, 0, sizeof(int32_t) * outputs);
    memset(constants, 0, sizeof(float) * 4 * outputs);
    memcpy(bias_copy, bias, sizeof(int32_t) * s->m);
    for (size_t m = 0; m < s->m; m++) {
        const float four[4] = {from[m].factor, from[m].offset, from[m].gain, from[m].zero};
        for (size_t i = 0; i < 4; i++)
            constants[(m / block * 4 + i) * block + m % block] = four[i];
        for (size_t k = 0; k < s->k; k++)
            memcpy(packed + (m / block * s->k + k) * block + m % block, w + 4 * (m * s->k + k), sizeof(int32_t));
    }
}

static void run_int8_fully_connected(const struct run *run, const struct step *step)
{
    run->kernels->int8->fully_connected(&step->as.int8_fully_connected, (uint8_t *)run->arena, run->logits, run->share);
}

SHUFFLENET_LOCAL const struct kind *int8_fully_connected_kind(void)
{
    static const struct kind int8_fully_connected = {.build = build_int8_fully_connected,
                                                     .run = run_int8_fully_connected};
    return &int8_fully_connected;
}
