// The passes of training.h as an instruction set level computes a thread's share of them.
#ifndef SHUFFLENET_TRAINING_PASSES_H
#define SHUFFLENET_TRAINING_PASSES_H

#include "../engine/kernels.h"
#include "training.h"

// Pixels that a pass works on before it goes on to the next: the rows of a group stay in the second-level cache.
enum { CHUNK = 512, CHUNK_PITCH = CHUNK + 16 }; // an odd number of cache lines

// The memory of a thread: memory for its use, and its own sums, zero before.
struct workspace {
    float *scratch;
    float *grad_w;
    double *sums;
};

// A thread's share of a pass; arguments: the pass's struct of training.h.
typedef void pass_function(const void *arguments, struct workspace space, struct share share);

enum pass {
    POINTWISE_FORWARD,
    POINTWISE_BACKWARD,
    DEPTHWISE_FORWARD,
    DEPTHWISE_BACKWARD,
    OUTPUT_FORWARD,
    OUTPUT_BACKWARD,
    STEM_FORWARD,
    STEM_BACKWARD,
    MAX_POOL_FORWARD,
    MAX_POOL_BACKWARD,
    PASSES,
};

struct training_kernels {
    pass_function *passes[PASSES];
};

// Floats of scratch memory that a pass needs for each thread:

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
