// Activations of one value. The reference takes them from here too, since C's own exponential is not there in every
// environment.
#ifndef SHUFFLENET_ACTIVATION_H
#define SHUFFLENET_ACTIVATION_H

#include "../plan.h"

#include <stddef.h>
#include <string.h>

// e^x within 2e-7 of it: 2^n times a polynomial of the rest, which is at most ln(2) / 2.
static inline float exponential(float x)
{
    if (x != x)
        return x;
    x = x < -87 ? -87 : x > 87 ? 87 : x;
    const float scaled = x * 1.44269504f;
    const int32_t n = (int32_t)(scaled + (scaled < 0 ? -0.5f : 0.5f));
    const float r = x - (float)n * 0.693359375f + (float)n * 2.12194440e-4f; // ln(2) in two parts
    const float polynomial =
        1 + r * (1 + r * (1.0f / 2 + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720))))));
    const int32_t bits = (n + 127) * (1 << 23);
    float power;
    memcpy(&power, &bits, sizeof power);
    return polynomial * power;
}

static inline float hard_sigmoid(float x)
{
    x += 3;
    x = x < 0 ? 0 : x;
    return (x > 6 ? 6 : x) * (1.0f / 6);
}

static inline float sigmoid(float x)
{
    return 1 / (1 + exponential(-x));
}

// The error function within 2e-7 of it (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26).
static inline float error_function(float x)
{
    const float positive = x < 0 ? -x : x, t = 1 / (1 + 0.3275911f * positive);
    const float polynomial =
        t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    const float y = 1 - polynomial * exponential(-x * x);
    return x < 0 ? -y : y;
}

static inline float activate(uint32_t activation, float x)
{
    switch ((enum plan_activation)activation) {
    case PLAN_LINEAR:
        break;
    case PLAN_RELU:
        return x < 0 ? 0 : x;
    case PLAN_SIGMOID:
        return sigmoid(x);
    case PLAN_HARD_SIGMOID:
        return hard_sigmoid(x);
    case PLAN_HARD_SWISH:
        return x * hard_sigmoid(x);
    case PLAN_RELU6:
        return x < 0 ? 0 : x > 6 ? 6 : x;
    case PLAN_SILU:
        return x * sigmoid(x);
    case PLAN_GELU:
        return 0.5f * x * (1 + error_function(x * 0.707106781f));
    }
    return x;
}

// Whether an activation is more than a lower bound, which the kernels apply as they write: it follows in a second pass over
// what is still in the first-level cache.
static inline int needs_pass(uint32_t activation)
{
    return activation > PLAN_RELU;
}

// Whether zeros stay zeros.
static inline int keeps_zeros(uint32_t activation)
{
    return activation != PLAN_SIGMOID && activation != PLAN_HARD_SIGMOID;
}

// y[p] = activation(y[p]) for the pixels from begin to before end that lie in a line: of width pixels, pitch from one to the
// next. Between the lines are zeros, or what becomes zeros later.
static inline void activate_pixels(uint32_t activation, float *y, size_t begin, size_t end, size_t width, size_t pitch)
{
    if (end && keeps_zeros(activation)) // without gaps the loops are long, and all of them vectors
        width = pitch = end;
    for (size_t line = begin / pitch * pitch; line < end; line += pitch) {
        const size_t first = line < begin ? begin : line, last = line + width < end ? line + width : end;
        switch ((enum plan_activation)activation) { // outside of the loop, so that the compiler can use vectors
        case PLAN_LINEAR:
        case PLAN_RELU:
            break;
        case PLAN_SIGMOID:
            for (size_t p = first; p < last; p++)
                y[p] = activate(PLAN_SIGMOID, y[p]);
            break;
        case PLAN_HARD_SIGMOID:
            for (size_t p = first; p < last; p++)
                y[p] = activate(PLAN_HARD_SIGMOID, y[p]);
            break;
        case PLAN_HARD_SWISH:
            for (size_t p = first; p < last; p++)
                y[p] = activate(PLAN_HARD_SWISH, y[p]);
            break;
        case PLAN_RELU6:
            for (size_t p = first; p < last; p++)
                y[p] = activate(PLAN_RELU6, y[p]);
            break;
        case PLAN_SILU:
            for (size_t p = first; p < last; p++)
                y[p] = activate(PLAN_SILU, y[p]);
            break;
        case PLAN_GELU:
            for (size_t p = first; p < last; p++)
                y[p] = activate(PLAN_GELU, y[p]);
            break;
        }
    }
}

#endif
