// Half-precision floats (IEEE 754 binary16): weights are kept so if that changes none of them.
#ifndef SHUFFLENET_HALF_H
#define SHUFFLENET_HALF_H

#include <stdint.h>
#include <string.h>

// The bits of the half-precision float that equals value, or -1 if none does.
static inline int32_t exact_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000, mantissa = (bits & 0x7fffff) | 0x800000;
    const int32_t exponent = (int32_t)(bits >> 23 & 0xff) - 127;
    if (value == 0)
        return (int32_t)sign;
    // Ten bits of mantissa, fewer below 2^-14; of the single-precision one's 23 the others must be zero.
    const int32_t dropped = exponent < -14 ? -1 - exponent : 13;
    if (exponent > 15 || dropped > 23 || (mantissa & ((1u << dropped) - 1)))
        return -1;
    const uint32_t half = mantissa >> dropped; // its leading one adds one to the exponent
    return (int32_t)(sign | (half + (exponent < -14 ? 0 : (uint32_t)(exponent + 14) << 10)));
}

#endif
