// The passes of training.h as an instruction set level computes a thread's share of them.
#ifndef SHUFFLENET_TRAINING_PASSES_H
#define SHUFFLENET_TRAINING_PASSES_H

#include "../engine/kernels.h"
#include "training.h"

// Pixels that a pass works on before it goes on to the next: the rows of a group stay in the second-level cache.
enum { CHUNK = 512, CHUNK_PITCH = CHUNK + 16 }; // an odd number of cache lines

// Each pass needs so many floats for itself. sums and grad_w are those of this share alone, zero before.
struct training_kernels {
    void (*pointwise_forward)(const struct shufflenet_pointwise_forward *, float *scratch, double *sums, struct share);
    void (*pointwise_backward)(const struct shufflenet_pointwise_backward *, float *scratch, float *grad_w, double *sums,
                               struct share);
    void (*depthwise_forward)(const struct shufflenet_depthwise_forward *, float *scratch, struct share);
    void (*depthwise_backward)(const struct shufflenet_depthwise_backward *, float *scratch, struct share);
    void (*output_forward)(const struct shufflenet_output_forward *, struct share);
    void (*output_backward)(const struct shufflenet_output_backward *, struct share);
    void (*stem_forward)(const struct shufflenet_stem_forward *, float *scratch, double *sums, struct share);
    void (*stem_backward)(const struct shufflenet_stem_backward *, float *scratch, float *grad_w, struct share);
    void (*max_pool_forward)(const struct shufflenet_max_pool_forward *, float *scratch, struct share);
    void (*max_pool_backward)(const struct shufflenet_max_pool_backward *, float *scratch, struct share);
};

static inline size_t pointwise_forward_scratch(size_t groups, size_t m, size_t k)
{
    return groups * (m * (k + 1) + m + k); // packed weights, row tables
}

static inline size_t pointwise_backward_scratch(size_t groups, size_t m, size_t k)
{
    return m * CHUNK_PITCH + groups * (k * (m + 1) + k) + m; // d, packed weights, row tables
}

static inline size_t stem_scratch(size_t channels, size_t m)
{
    const size_t k = 9 * channels;
    return (k + m) * CHUNK_PITCH + m * (k + 1) + m + k; // taps, d, packed weights, row tables
}

static inline size_t depthwise_scratch(size_t height, size_t width)
{
    return 5 * (height * width + 2 * (width + 1) + 64); // masks, planes
}

static inline size_t max_pool_scratch(size_t height, size_t width)
{
    return depthwise_scratch(height, width) + 3 * (width + 40); // split rows
}

#endif
