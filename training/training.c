// Shares the passes of training.h among a pool's threads and adds up what each has summed, in their order.
#include "training.h"

#include "passes.h"

#include <stdlib.h>
#include <string.h>

struct pass {
    const struct training_kernels *kernels;
    const void *s;
    float *scratch;
    size_t scratch_floats; // of each thread
    float *grad_w;         // of each thread; may be NULL
    size_t grad_w_floats;
    double *sums; // likewise
    size_t sums_doubles;
};

static int begin_pass(struct pass *pass, const char *isa, const void *s, uint32_t threads)
{
    const struct kernels *kernels = find_kernels(isa);
    if (!kernels || !kernels->training)
        return SHUFFLENET_TRAINING_ISA;
    pass->s = s;
    pass->kernels = kernels->training;
    pass->scratch_floats = (pass->scratch_floats + 15) / 16 * 16;
    pass->scratch = aligned_alloc(64, (threads * pass->scratch_floats * sizeof(float) + 63) / 64 * 64);
    pass->grad_w = calloc(threads * pass->grad_w_floats + 1, sizeof(float));
    pass->sums = calloc(threads * pass->sums_doubles + 1, sizeof(double));
    return pass->scratch && pass->grad_w && pass->sums ? SHUFFLENET_TRAINING_DONE : SHUFFLENET_TRAINING_MEMORY;
}

static int end_pass(struct pass *pass, int status, uint32_t threads, float *grad_w, double *sums)
{
    for (size_t i = 0; !status && grad_w && i < pass->grad_w_floats; i++) {
        grad_w[i] = 0;
        for (size_t thread = 0; thread < threads; thread++)
            grad_w[i] += pass->grad_w[thread * pass->grad_w_floats + i];
    }
    for (size_t i = 0; !status && sums && i < pass->sums_doubles; i++) {
        sums[i] = 0;
        for (size_t thread = 0; thread < threads; thread++)
            sums[i] += pass->sums[thread * pass->sums_doubles + i];
    }
    free(pass->scratch);
    free(pass->grad_w);
    free(pass->sums);
    return status;
}

static void pointwise_forward(void *argument, uint32_t part, uint32_t parts)
{
    const struct pass *pass = argument;
    pass->kernels->pointwise_forward(pass->s, pass->scratch + part * pass->scratch_floats,
                                     pass->sums + part * pass->sums_doubles, (struct share){part, parts});
}

int shufflenet_train_pointwise_forward(shufflenet_pool *pool, const char *isa, const struct shufflenet_pointwise_forward *s)
{
    const uint32_t threads = shufflenet_pool_threads(pool);
    struct pass pass = {.scratch_floats = pointwise_forward_scratch(s->groups, s->m, s->k),
                        .sums_doubles = 2 * (size_t)s->groups * s->m};
    const int status = begin_pass(&pass, isa, s, threads);
    if (!status)
        shufflenet_pool_call(pool, pointwise_forward, &pass);
    return end_pass(&pass, status, threads, NULL, s->sums);
}

static void pointwise_backward(void *argument, uint32_t part, uint32_t parts)
{
    const struct pass *pass = argument;
    pass->kernels->pointwise_backward(pass->s, pass->scratch + part * pass->scratch_floats,
                                      pass->grad_w + part * pass->grad_w_floats, pass->sums + part * pass->sums_doubles,
                                      (struct share){part, parts});
}

int shufflenet_train_pointwise_backward(shufflenet_pool *pool, const char *isa, const struct shufflenet_pointwise_backward *s)
{
    const uint32_t threads = shufflenet_pool_threads(pool);
    struct pass pass = {.scratch_floats = pointwise_backward_scratch(s->groups, s->m, s->k),
                        .grad_w_floats = (size_t)s->groups * s->m * s->k,
                        .sums_doubles = s->partner ? 2 * ((size_t)s->groups * s->k - s->first) : 0};
    const int status = begin_pass(&pass, isa, s, threads);
    if (!status)
        shufflenet_pool_call(pool, pointwise_backward, &pass);
    return end_pass(&pass, status, threads, s->grad_w, s->partner ? s->sums : NULL);
}

static void depthwise_forward(void *argument, uint32_t part, uint32_t parts)
{
    const struct pass *pass = argument;
    pass->kernels->depthwise_forward(pass->s, pass->scratch + part * pass->scratch_floats, (struct share){part, parts});
}

int shufflenet_train_depthwise_forward(shufflenet_pool *pool, const char *isa, const struct shufflenet_depthwise_forward *s)
{
    const uint32_t threads = shufflenet_pool_threads(pool);
    struct pass pass = {.scratch_floats = depthwise_scratch(s->height, s->width)};
    const int status = begin_pass(&pass, isa, s, threads);
    if (s->sums)
        memset(s->sums, 0, 2 * s->channels * sizeof *s->sums);
    if (!status)
        shufflenet_pool_call(pool, depthwise_forward, &pass);
    return end_pass(&pass, status, threads, NULL, NULL);
}

static void depthwise_backward(void *argument, uint32_t part, uint32_t parts)
{
    const struct pass *pass = argument;
    pass->kernels->depthwise_backward(pass->s, pass->scratch + part * pass->scratch_floats, (struct share){part, parts});
}

int shufflenet_train_depthwise_backward(shufflenet_pool *pool, const char *isa, const struct shufflenet_depthwise_backward *s)
{
    const uint32_t threads = shufflenet_pool_threads(pool);
    struct pass pass = {.scratch_floats = depthwise_scratch(s->height, s->width)};
    const int status = begin_pass(&pass, isa, s, threads);
    if (s->sums)
        memset(s->sums, 0, 2 * s->channels * sizeof *s->sums);
    if (!status)
        shufflenet_pool_call(pool, depthwise_backward, &pass);
    return end_pass(&pass, status, threads, NULL, NULL);
}

static void output_forward(void *argument, uint32_t part, uint32_t parts)
{
    const struct pass *pass = argument;
    pass->kernels->output_forward(pass->s, (struct share){part, parts});
}

int shufflenet_train_output_forward(shufflenet_pool *pool, const char *isa, const struct shufflenet_output_forward *s)
{
    const uint32_t threads = shufflenet_pool_threads(pool);
    struct pass pass = {0};
    const int status = begin_pass(&pass, isa, s, threads);
    if (!status)
        shufflenet_pool_call(pool, output_forward, &pass);
    return end_pass(&pass, status, threads, NULL, NULL);
}

static void output_backward(void *argument, uint32_t part, uint32_t parts)
{
    const struct pass *pass = argument;
    pass->kernels->output_backward(pass->s, (struct share){part, parts});
}

int shufflenet_train_output_backward(shufflenet_pool *pool, const char *isa, const struct shufflenet_output_backward *s)
{
    const uint32_t threads = shufflenet_pool_threads(pool);
    struct pass pass = {0};
    const int status = begin_pass(&pass, isa, s, threads);
    if (s->raw)
        memset(s->sums, 0, 2 * s->channels * sizeof *s->sums);
    if (!status)
        shufflenet_pool_call(pool, output_backward, &pass);
    return end_pass(&pass, status, threads, NULL, NULL);
}

static void stem_forward(void *argument, uint32_t part, uint32_t parts)
{
    const struct pass *pass = argument;
    pass->kernels->stem_forward(pass->s, pass->scratch + part * pass->scratch_floats,
                                pass->sums + part * pass->sums_doubles, (struct share){part, parts});
}

int shufflenet_train_stem_forward(shufflenet_pool *pool, const char *isa, const struct shufflenet_stem_forward *s)
{
    const uint32_t threads = shufflenet_pool_threads(pool);
    struct pass pass = {.scratch_floats = stem_scratch(s->channels, s->m), .sums_doubles = 2 * (size_t)s->m};
    const int status = begin_pass(&pass, isa, s, threads);
    if (!status)
        shufflenet_pool_call(pool, stem_forward, &pass);
    return end_pass(&pass, status, threads, NULL, s->sums);
}

static void stem_backward(void *argument, uint32_t part, uint32_t parts)
{
    const struct pass *pass = argument;
    pass->kernels->stem_backward(pass->s, pass->scratch + part * pass->scratch_floats,
                                 pass->grad_w + part * pass->grad_w_floats, (struct share){part, parts});
}

int shufflenet_train_stem_backward(shufflenet_pool *pool, const char *isa, const struct shufflenet_stem_backward *s)
{
    const uint32_t threads = shufflenet_pool_threads(pool);
    struct pass pass = {.scratch_floats = stem_scratch(s->channels, s->m), .grad_w_floats = (size_t)s->m * s->channels * 9};
    const int status = begin_pass(&pass, isa, s, threads);
    if (!status)
        shufflenet_pool_call(pool, stem_backward, &pass);
    return end_pass(&pass, status, threads, s->grad_w, NULL);
}

static void max_pool_forward(void *argument, uint32_t part, uint32_t parts)
{
    const struct pass *pass = argument;
    pass->kernels->max_pool_forward(pass->s, pass->scratch + part * pass->scratch_floats, (struct share){part, parts});
}

int shufflenet_train_max_pool_forward(shufflenet_pool *pool, const char *isa, const struct shufflenet_max_pool_forward *s)
{
    const uint32_t threads = shufflenet_pool_threads(pool);
    struct pass pass = {.scratch_floats = max_pool_scratch(s->height, s->width)};
    const int status = begin_pass(&pass, isa, s, threads);
    if (!status)
        shufflenet_pool_call(pool, max_pool_forward, &pass);
    return end_pass(&pass, status, threads, NULL, NULL);
}

static void max_pool_backward(void *argument, uint32_t part, uint32_t parts)
{
    const struct pass *pass = argument;
    pass->kernels->max_pool_backward(pass->s, pass->scratch + part * pass->scratch_floats, (struct share){part, parts});
}

int shufflenet_train_max_pool_backward(shufflenet_pool *pool, const char *isa, const struct shufflenet_max_pool_backward *s)
{
    const uint32_t threads = shufflenet_pool_threads(pool);
    struct pass pass = {.scratch_floats = depthwise_scratch(s->height, s->width)};
    const int status = begin_pass(&pass, isa, s, threads);
    memset(s->sums, 0, 2 * s->channels * sizeof *s->sums);
    if (!status)
        shufflenet_pool_call(pool, max_pool_backward, &pass);
    return end_pass(&pass, status, threads, NULL, NULL);
}
