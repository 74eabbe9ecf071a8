// Shares the passes of training.h among a pool's threads and adds up what each has summed, in their order.
#include "training.h"

#include "passes.h"

#include <stdlib.h>
#include <string.h>

// The memory of each thread.
struct needs {
    size_t scratch_floats, grad_w_floats, sums_doubles;
};

struct work {
    pass_function *pass;
    const void *arguments;
    struct needs needs;
    struct workspace first; // the first thread's; the others' follow
};

static void work_share(void *argument, uint32_t part, uint32_t parts)
{
    const struct work *work = argument;
    const struct workspace space = {
        .scratch = work->first.scratch + part * work->needs.scratch_floats,
        .grad_w = work->first.grad_w + part * work->needs.grad_w_floats,
        .sums = work->first.sums + part * work->needs.sums_doubles,
    };
    work->pass(work->arguments, space, (struct share){part, parts});
}

// grad_w and sums, as many as each thread needs, get the sums over all threads.
static int run_pass(shufflenet_pool *pool, const char *isa, enum pass pass, const void *arguments, struct needs needs,
                    float *grad_w, double *sums)
{
    const struct kernels *kernels = find_kernels(isa);
    if (!kernels || !kernels->training)
        return SHUFFLENET_TRAINING_ISA;
    const uint32_t threads = shufflenet_pool_threads(pool);
    needs.scratch_floats = needs.scratch_floats / 16 * 16 + 16; // whole cache lines
    struct work work = {kernels->training->passes[pass], arguments, needs, {0}};
    work.first.scratch = aligned_alloc(64, threads * needs.scratch_floats * sizeof(float));
    work.first.grad_w = calloc(threads * needs.grad_w_floats + 1, sizeof(float));
    work.first.sums = calloc(threads * needs.sums_doubles + 1, sizeof(double));
    int status = SHUFFLENET_TRAINING_MEMORY;
    if (work.first.scratch && work.first.grad_w && work.first.sums) {
        status = SHUFFLENET_TRAINING_DONE;
        shufflenet_pool_call(pool, work_share, &work);
        for (size_t i = 0; i < needs.grad_w_floats; i++)
            for (size_t thread = 0; thread < threads; thread++)
                grad_w[i] = (thread ? grad_w[i] : 0) + work.first.grad_w[thread * needs.grad_w_floats + i];
        for (size_t i = 0; i < needs.sums_doubles; i++)
            for (size_t thread = 0; thread < threads; thread++)
                sums[i] = (thread ? sums[i] : 0) + work.first.sums[thread * needs.sums_doubles + i];
    }
    free(work.first.scratch);
    free(work.first.grad_w);
    free(work.first.sums);
    return status;
}

int shufflenet_train_pointwise_forward(shufflenet_pool *pool, const char *isa,
                                       const struct shufflenet_pointwise_forward *s)
{
    const struct needs needs = {.scratch_floats = pointwise_forward_scratch(s->groups, s->m, s->k),
                                .sums_doubles = 2 * (size_t)s->groups * s->m};
    return run_pass(pool, isa, POINTWISE_FORWARD, s, needs, NULL, s->sums);
}

int shufflenet_train_pointwise_backward(shufflenet_pool *pool, const char *isa,
                                        const struct shufflenet_pointwise_backward *s)
{
    const struct needs needs = {.scratch_floats = pointwise_backward_scratch(s->groups, s->m, s->k),
                                .grad_w_floats = (size_t)s->groups * s->m * s->k,
                                .sums_doubles = s->partner ? 2 * ((size_t)s->groups * s->k - s->first) : 0};
    return run_pass(pool, isa, POINTWISE_BACKWARD, s, needs, s->grad_w, s->sums);
}

// The passes that share by channels: each thread writes its channels' sums where they belong.

static void clear_sums(double *sums, size_t channels)
{
    if (sums)
        memset(sums, 0, 2 * channels * sizeof *sums);
}

int shufflenet_train_depthwise_forward(shufflenet_pool *pool, const char *isa,
                                       const struct shufflenet_depthwise_forward *s)
{
    clear_sums(s->sums, s->channels);
    const struct needs needs = {.scratch_floats = depthwise_scratch(s->height, s->width)};
    return run_pass(pool, isa, DEPTHWISE_FORWARD, s, needs, NULL, NULL);
}

int shufflenet_train_depthwise_backward(shufflenet_pool *pool, const char *isa,
                                        const struct shufflenet_depthwise_backward *s)
{
    clear_sums(s->sums, s->channels);
    const struct needs needs = {.scratch_floats = depthwise_scratch(s->height, s->width)};
    return run_pass(pool, isa, DEPTHWISE_BACKWARD, s, needs, NULL, NULL);
}

int shufflenet_train_output_forward(shufflenet_pool *pool, const char *isa, const struct shufflenet_output_forward *s)
{
    return run_pass(pool, isa, OUTPUT_FORWARD, s, (struct needs){0}, NULL, NULL);
}

int shufflenet_train_output_backward(shufflenet_pool *pool, const char *isa, const struct shufflenet_output_backward *s)
{
    clear_sums(s->raw ? s->sums : NULL, s->channels);
    return run_pass(pool, isa, OUTPUT_BACKWARD, s, (struct needs){0}, NULL, NULL);
}

int shufflenet_train_max_pool_forward(shufflenet_pool *pool, const char *isa,
                                      const struct shufflenet_max_pool_forward *s)
{
    const struct needs needs = {.scratch_floats = max_pool_scratch(s->height, s->width)};
    return run_pass(pool, isa, MAX_POOL_FORWARD, s, needs, NULL, NULL);
}

int shufflenet_train_max_pool_backward(shufflenet_pool *pool, const char *isa,
                                       const struct shufflenet_max_pool_backward *s)
{
    clear_sums(s->sums, s->channels);
    const struct needs needs = {.scratch_floats = depthwise_scratch(s->height, s->width)};
    return run_pass(pool, isa, MAX_POOL_BACKWARD, s, needs, NULL, NULL);
}

int shufflenet_train_stem_forward(shufflenet_pool *pool, const char *isa, const struct shufflenet_stem_forward *s)
{
    const struct needs needs = {.scratch_floats = stem_scratch(s->channels, s->m), .sums_doubles = 2 * (size_t)s->m};
    return run_pass(pool, isa, STEM_FORWARD, s, needs, NULL, s->sums);
}

int shufflenet_train_stem_backward(shufflenet_pool *pool, const char *isa, const struct shufflenet_stem_backward *s)
{
    const struct needs needs = {.scratch_floats = stem_scratch(s->channels, s->m),
                                .grad_w_floats = (size_t)s->m * s->channels * 9};
    return run_pass(pool, isa, STEM_BACKWARD, s, needs, s->grad_w, NULL);
}
