// Half-precision floats (IEEE 754 binary16), as a plan may hold weights.
#ifndef SHUFFLENET_HALF_H
#define SHUFFLENET_HALF_H

#include <stdint.h>
#include <string.h>

// The float with the value of these bits.
static inline float float_of_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half >> 15) << 31, exponent = half >> 10 & 31, mantissa = half & 1023;
    if (exponent == 0) { // zero, or below 2^-14: multiples of 2^-24
        const float value = (float)mantissa * (1.0f / (1 << 24));
        return sign ? -value : value;
    }
    const uint32_t bits = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | mantissa << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
