// Vectors of 32-bit words: sums, quads (four channels of a pixel, a byte each), and what the int8 kernels do with them.
// Behind vector.h. A level defines those that its instructions do better.
#ifndef SHUFFLENET_WORDS_H
#define SHUFFLENET_WORDS_H

#include "vector.h"

typedef vector_mask words;
typedef uint32_t unsigned_words __attribute__((vector_size(4 * VECTOR_FLOATS)));
typedef uint8_t byte_lanes __attribute__((vector_size(4 * VECTOR_FLOATS)));
typedef int16_t half_lanes __attribute__((vector_size(4 * VECTOR_FLOATS)));
typedef uint16_t half_words __attribute__((vector_size(4 * VECTOR_FLOATS)));
typedef uint8_t byte_per_lane __attribute__((vector_size(VECTOR_FLOATS), aligned(1), may_alias));

enum { VECTOR_BYTES = 4 * VECTOR_FLOATS };

ALWAYS_INLINE words load_words(const void *p)
{
    return *(const unaligned_mask *)p;
}

ALWAYS_INLINE void store_words(void *p, words v)
{
    *(unaligned_mask *)p = v;
}

ALWAYS_INLINE words broadcast_word(int32_t value)
{
    return value - (words){0};
}

ALWAYS_INLINE int32_t load_word(const void *p)
{
    int32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

ALWAYS_INLINE vector float_of(words v)
{
    return __builtin_convertvector(v, vector);
}

// a * b, rounded by itself: a compiler may not make one operation of it and of an addition behind it.
ALWAYS_INLINE vector product_of(vector a, vector b)
{
    vector product = a * b;
#if defined __x86_64__ && defined __AVX512F__
    __asm__("" : "+v"(product));
#elif defined __x86_64__ && (defined __AVX__ || VECTOR_FLOATS == 4)
    __asm__("" : "+x"(product));
#elif defined __aarch64__ && VECTOR_FLOATS == 4
    __asm__("" : "+w"(product));
#elif defined __wasm_simd128__ && VECTOR_FLOATS == 4 // relaxed SIMD has a multiply-add
    __asm__("" : "+r"(product));
#else
    __asm__("" : "+m"(product));
#endif
    return product;
}

// Byte number i of each word; the highest is below 128.
#ifndef byte_of
ALWAYS_INLINE words byte_of(words v, size_t i)
{
    return i == 3 ? v >> 24 : v >> (8 * i) & 255;
}
#endif

// sum + the four products in each word, of activations from 0 to 127 and weights from -127 to 127, or of pixels from 0 to 255 and
// weights from -63 to 63: two products fit 16 bits.
#ifndef dot
ALWAYS_INLINE words dot(words sum, words activations, words weights)
{
    // Unsigned: lanes of no use may overflow.
    const half_words even = (half_words)(activations & 0x00ff00ff), even_weights = (half_words)weights << 8;
    const half_words odd = (half_words)activations >> 8;
    const half_words pairs =
        even * (half_words)((half_lanes)even_weights >> 8) + odd * (half_words)((half_lanes)weights >> 8);
    const words low = (words)((unsigned_words)pairs << 16) >> 16, high = (words)pairs >> 16;
    return (words)((unsigned_words)sum + (unsigned_words)low + (unsigned_words)high);
}
#endif

// Pixels as dot_of_pixels takes them: less PIXELS_SUBTRACTED, as signed bytes, where a level has none for unsigned ones.
#ifndef PIXELS_SUBTRACTED
#define PIXELS_SUBTRACTED 0
#define pixels_of(windows) (windows)
#endif
#ifndef dot_of_pixels
#define dot_of_pixels(sum, pixels, weights) dot(sum, pixels, weights)
#endif

// 0 to most; 0 for what is not a number.
#ifndef limited
ALWAYS_INLINE vector limited(vector v, float most)
{
    const vector upper = broadcast(most);
    const vector_mask over = v > upper;
    return (vector)(((vector_mask)keep(v, v > 0) & ~over) | ((vector_mask)upper & over));
}
#endif

// The nearest integers, even ones at a tie; negative ones may become 0, and those above 255 become 255 or more.
#ifndef rounded
ALWAYS_INLINE words rounded(vector v)
{
    return (words)(limited(v, 255) + 12582912.0f) - 0x4b400000;
}
#endif

// The nearest whole numbers, halves to even, of values below 2^22.
ALWAYS_INLINE vector whole(vector v)
{
    return (v + 12582912.0f) - 12582912.0f;
}

// One value, clamped to 0..most, as a byte.
ALWAYS_INLINE uint8_t byte_of_float(float value, float most)
{
    const float limited_value = value > 0 ? value < most ? value : most : 0;
    const volatile float shifted = limited_value + 12582912.0f; // 1.5 * 2^23, whose last bit is 1
    return (uint8_t)(shifted - 12582912.0f);
}

ALWAYS_INLINE float float_product(float a, float b)
{
    volatile float product = a * b;
    return product;
}

#ifndef sum_of_words
ALWAYS_INLINE int32_t sum_of_words(words v)
{
    uint32_t sum = 0; // parts of a sum that fits may not fit
#pragma GCC unroll 16
    for (size_t lane = 0; lane < VECTOR_FLOATS; lane++)
        sum += (uint32_t)v[lane];
    return (int32_t)sum;
}
#endif

ALWAYS_INLINE words clamped(words v)
{
    const words positive = v & (v > 0), over = v > 127;
    return (positive & ~over) | (over & 127);
}

// Four channels' values, clamped to 0..127.
#ifndef quads_of
ALWAYS_INLINE words quads_of(words a, words b, words c, words d)
{
    return clamped(a) | clamped(b) << 8 | clamped(c) << 16 | clamped(d) << 24;
}
#endif

// Stores one channel's values, clamped to 0..127, as VECTOR_FLOATS bytes.
#ifndef store_bytes
ALWAYS_INLINE void store_bytes(uint8_t *p, words v)
{
    *(byte_per_lane *)p = __builtin_convertvector(clamped(v), byte_per_lane);
}
#endif

// The same for four vectors.
#ifndef store_four_bytes
ALWAYS_INLINE void store_four_bytes(uint8_t *p, const words *v)
{
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++)
        store_bytes(p + i * VECTOR_FLOATS, v[i]);
}
#endif

// Stores VECTOR_FLOATS values from 0 to 255 as bytes.
#ifndef store_pixels
ALWAYS_INLINE void store_pixels(uint8_t *p, words v)
{
    *(byte_per_lane *)p = __builtin_convertvector(v, byte_per_lane);
}
#endif

// In lane i the four bytes from p + stride * i on. At most VECTOR_BYTES bytes from p on are read.
#ifndef windows
ALWAYS_INLINE words windows_at(const uint8_t *p, size_t stride)
{
    words v = {0};
#pragma GCC unroll 16
    for (size_t i = 0; i < VECTOR_FLOATS; i++)
        v[i] = load_word(p + stride * i);
    return v;
}
#define windows(p) windows_at(p, 1)
#define windows_of_stride_2(p) windows_at(p, 2)
#endif
#ifndef masked_windows
#define masked_windows(p, mask) (windows(p) & (mask))
#define masked_windows_of_stride_2(p, mask) (windows_of_stride_2(p) & (mask))
#endif

#ifndef larger_bytes
ALWAYS_INLINE words larger_bytes(words a, words b)
{
    const byte_lanes larger = (byte_lanes)((byte_lanes)a > (byte_lanes)b);
    return (words)(((byte_lanes)a & larger) | ((byte_lanes)b & ~larger));
}
#endif

#endif
