// What stands behind a fully connected layer, one value at a time. Also the reference's, since C's own exponential is not
// there in every environment.
#ifndef SHUFFLENET_ACTIVATION_H
#define SHUFFLENET_ACTIVATION_H

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

static inline float activate(uint32_t activation, float x)
{
    if (activation == PLAN_RELU)
        return x < 0 ? 0 : x;
    if (activation == PLAN_SIGMOID)
        return 1 / (1 + exponential(-x));
    return x;
}

#endif
