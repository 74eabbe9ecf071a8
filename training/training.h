// Training a ShuffleNet unit on a CPU: the passes over the activations, forward and backward, with batch norm's sums taken
// and its affine maps applied on the way, so that each activation is read and written as rarely as can be.
//
// An activation is planar: one row for each channel, in a row all pictures' planes [N][H][W] one after the other. Rows are
// pitch floats apart and have room for TRAINING_TAIL floats more than their pixels, which any pass may overwrite.
//
// Batch norm's output is scale * raw + offset. Backward, the gradient at raw is grad_scale * g + raw_scale * raw + constant,
// where g is the gradient at the output (see planar.py).
#ifndef SHUFFLENET_TRAINING_H
#define SHUFFLENET_TRAINING_H

#include "team/pool.h"

#include <stddef.h>
#include <stdint.h>

enum { SHUFFLENET_TRAINING_TAIL = 16 };

// y[out[j * m + o]] = sum over i of w[j][o][i] * x[j * k + i], for each group j.
//
// With raw, x is written here before it is read, from row first on: the output of the unit before, max(0, scale * raw +
// offset + shortcut). The rows of raw, scale and offset count from first, shortcut's as those of x.
struct shufflenet_pointwise_forward {
    uint32_t groups, m, k, first;
    size_t pixels, x_pitch, y_pitch;
    const float *w;                    // [groups][m][k]
    const uint32_t *out;               // [groups * m]: rows of y
    const float *raw, *scale, *offset; // or NULL
    const float *shortcut;             // or NULL
    float *x;
    float *y;
    double *sums; // [groups * m][2]: of each row of y, and of its squares
};

// With d = grad_scale * g + raw_scale * raw + constant, row by row of g and raw:
//   grad_w[j][o][i] = sum over pixels of d[out[j * m + o]] * x[j * k + i]
//   grad_x[j * k + i] = (add ? grad_x[j * k + i] : 0) + sum over o of w[j][o][i] * d[out[j * m + o]]
// and, with relu, 0 where x is not above 0.
struct shufflenet_pointwise_backward {
    uint32_t groups, m, k, add, relu, first;
    size_t pixels, x_pitch, y_pitch;
    const float *w;      // [groups][m][k]
    const uint32_t *out; // [groups * m]: rows of g and raw
    const float *g, *raw;
    const float *grad_scale, *raw_scale, *constant; // [groups * m], as the rows of g
    const float *x;
    float *grad_x;
    float *grad_w;        // [groups][m][k]
    const float *partner; // rows of grad_x from first on; or NULL
    double *sums; // [groups * k - first][2]: of each row of grad_x from first on, and of its products with partner
};

// 3x3, padding 1: y[c] = depthwise convolution of max(lower_bound, scale[c] * x[c] + offset[c]).
struct shufflenet_depthwise_forward {
    uint32_t channels, images, height, width, stride;
    size_t x_pitch, y_pitch;
    float lower_bound;
    const float *w;              // [channels][9]
    const float *scale, *offset; // [channels]
    const float *x;
    float *y;
    double *sums; // [channels][2]: of each row of y, and of its squares; or NULL
};

// With d = grad_scale * g + raw_scale * raw + constant and n = max(lower_bound, scale * x + offset):
//   grad_w = sum over pixels of d * n at each tap; grad_x = transposed convolution of d, where n is above lower_bound.
struct shufflenet_depthwise_backward {
    uint32_t channels, images, height, width, stride;
    size_t x_pitch, y_pitch;
    float lower_bound;
    const float *w;
    const float *g, *raw; // raw may be NULL: d = grad_scale * g
    const float *grad_scale, *raw_scale, *constant;
    const float *scale, *offset;
    const float *x; // may be NULL: no grad_w, no sums, n is above lower_bound everywhere
    float *grad_x;
    double *grad_w; // [channels][9]
    double *sums;   // [channels][2]: of each row of grad_x, and of grad_x * x
};

// y = max(0, scale * raw + offset + shortcut), row by row; shortcut may be NULL; y may be one of the others.
struct shufflenet_output_forward {
    uint32_t channels;
    size_t pixels, pitch;
    const float *scale, *offset; // [channels]
    const float *raw, *shortcut;
    float *y;
};

// g = grad_y where y > 0, else 0. sums as above, of g and of g * raw; raw may be NULL: no sums.
struct shufflenet_output_backward {
    uint32_t channels;
    size_t pixels, pitch;
    const float *y, *grad_y, *raw;
    float *g;
    double *sums; // [channels][2]
};

// The 3x3 convolution of the stem, padding 1, of pictures x [images][channels][height][width]. sums as above.
struct shufflenet_stem_forward {
    uint32_t images, channels, height, width, stride, m;
    size_t y_pitch;
    const float *w; // [m][channels][3][3]
    const float *x;
    float *y;
    double *sums;
};

// d and grad_w as in shufflenet_pointwise_backward.
struct shufflenet_stem_backward {
    uint32_t images, channels, height, width, stride, m;
    size_t y_pitch;
    const float *g, *raw;
    const float *grad_scale, *raw_scale, *constant; // [m]
    const float *x;
    float *grad_w; // [m][channels][3][3]
};

// y = 3x3 maximum, stride 2, padding 1, of max(0, scale * x + offset); tap says which of the nine it was.
struct shufflenet_max_pool_forward {
    uint32_t channels, images, height, width;
    size_t x_pitch, y_pitch;
    const float *scale, *offset; // [channels]
    const float *x;
    float *y;
    int32_t *tap; // as y
};

// grad_x is the gradient at max(0, scale * x + offset) where that is not 0. sums as above, of grad_x and of grad_x * x.
struct shufflenet_max_pool_backward {
    uint32_t channels, images, height, width;
    size_t x_pitch, y_pitch;
    const float *x, *y, *g;
    const int32_t *tap;
    float *grad_x;
    double *sums;
};

// Batch norm of raw, from sums over count pixels of raw and of its square; row order[c] is channel c's.
//   scale * raw + offset = (raw - mean) / sqrt(variance + epsilon) * weight + bias
struct shufflenet_batch_norm_forward {
    uint32_t channels;
    double count, epsilon, momentum;
    const uint32_t *order;
    const float *weight, *bias;        // [channels], as all below
    const float *shift;                // what raw lacks of the convolution's result; or NULL
    const double *sums;                // [rows][2]
    double *mean, *inverse;            // rows
    float *scale, *offset;             // rows
    float *running_mean, *running_var; // channels
};

// From sums over count pixels of g, the gradient at scale * raw + offset, and of g * raw: the gradient at raw as
// grad_scale * g + raw_scale * raw + constant, and those of weight and bias.
struct shufflenet_batch_norm_backward {
    uint32_t channels;
    double count;
    const uint32_t *order;
    const float *weight;
    const double *sums, *mean, *inverse;
    float *grad_scale, *raw_scale, *constant; // rows
    float *grad_weight, *grad_bias;           // channels
};

SHUFFLENET_API void shufflenet_train_batch_norm_forward(const struct shufflenet_batch_norm_forward *);
SHUFFLENET_API void shufflenet_train_batch_norm_backward(const struct shufflenet_batch_norm_backward *);

enum { SHUFFLENET_TRAINING_DONE, SHUFFLENET_TRAINING_MEMORY, SHUFFLENET_TRAINING_ISA };

// isa: an instruction set level's name, or NULL for the best. All return one of these. Sums are
// taken in an order that depends on the number of threads alone.
SHUFFLENET_API int shufflenet_train_pointwise_forward(shufflenet_pool *, const char *isa,
                                                      const struct shufflenet_pointwise_forward *);
SHUFFLENET_API int shufflenet_train_pointwise_backward(shufflenet_pool *, const char *isa,
                                                       const struct shufflenet_pointwise_backward *);
SHUFFLENET_API int shufflenet_train_depthwise_forward(shufflenet_pool *, const char *isa,
                                                      const struct shufflenet_depthwise_forward *);
SHUFFLENET_API int shufflenet_train_depthwise_backward(shufflenet_pool *, const char *isa,
                                                       const struct shufflenet_depthwise_backward *);
SHUFFLENET_API int shufflenet_train_output_forward(shufflenet_pool *, const char *isa,
                                                   const struct shufflenet_output_forward *);
SHUFFLENET_API int shufflenet_train_output_backward(shufflenet_pool *, const char *isa,
                                                    const struct shufflenet_output_backward *);
SHUFFLENET_API int shufflenet_train_stem_forward(shufflenet_pool *, const char *isa,
                                                 const struct shufflenet_stem_forward *);
SHUFFLENET_API int shufflenet_train_stem_backward(shufflenet_pool *, const char *isa,
                                                  const struct shufflenet_stem_backward *);
SHUFFLENET_API int shufflenet_train_max_pool_forward(shufflenet_pool *, const char *isa,
                                                     const struct shufflenet_max_pool_forward *);
SHUFFLENET_API int shufflenet_train_max_pool_backward(shufflenet_pool *, const char *isa,
                                                      const struct shufflenet_max_pool_backward *);

#endif
