// A vector of VECTOR_FLOATS floats and its operations, through GCC's and Clang's vector extensions. A
// level defines VECTOR_FLOATS (4, 8 or 16) and, where one instruction does it, vector_max, kept_max, store_first,
// sum_of_lanes and load_halves.
#ifndef SHUFFLENET_VECTOR_H
#define SHUFFLENET_VECTOR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef float vector __attribute__((vector_size(4 * VECTOR_FLOATS)));
typedef int32_t vector_mask __attribute__((vector_size(4 * VECTOR_FLOATS))); // all ones or all zeros in each lane
// The same in memory, at any multiple of four bytes.
typedef float unaligned_vector __attribute__((vector_size(4 * VECTOR_FLOATS), aligned(4), may_alias));
typedef int32_t unaligned_mask __attribute__((vector_size(4 * VECTOR_FLOATS), aligned(4), may_alias));

#define ALWAYS_INLINE static inline __attribute__((always_inline, unused))

// One instruction picks every other float of two neighbouring vectors, from the first or from the second on. Without
// AVX-512 that is within each 16 bytes, so the floats come in PICKED_ORDER; in_order puts them back.
#if VECTOR_FLOATS == 4
#define LANES 0, 1, 2, 3
#define EVEN_LANES 0, 2, 4, 6
#define ODD_LANES 1, 3, 5, 7
#define PICKED_ORDER 0, 1, 2, 3
#define PICKED_WITHIN 4 // floats
#define IN_ORDER 0, 1, 2, 3
#define SHIFTED_RIGHT 3, 4, 5, 6
#define SHIFTED_RIGHT_BY_2 2, 3, 4, 5
#define SHIFTED_LEFT 1, 2, 3, 4
#define SHIFTED_LEFT_BY_2 2, 3, 4, 5
#elif VECTOR_FLOATS == 8
#define LANES 0, 1, 2, 3, 4, 5, 6, 7
#define EVEN_LANES 0, 2, 8, 10, 4, 6, 12, 14
#define ODD_LANES 1, 3, 9, 11, 5, 7, 13, 15
#define PICKED_ORDER 0, 1, 4, 5, 2, 3, 6, 7
#define PICKED_WITHIN 4
#define IN_ORDER 0, 1, 4, 5, 2, 3, 6, 7
#define SHIFTED_RIGHT 7, 8, 9, 10, 11, 12, 13, 14
#define SHIFTED_RIGHT_BY_2 6, 7, 8, 9, 10, 11, 12, 13
#define SHIFTED_LEFT 1, 2, 3, 4, 5, 6, 7, 8
#define SHIFTED_LEFT_BY_2 2, 3, 4, 5, 6, 7, 8, 9
#elif VECTOR_FLOATS == 16
#define LANES 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define EVEN_LANES 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD_LANES 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define PICKED_ORDER LANES
#define PICKED_WITHIN 16
#define IN_ORDER LANES
#define SHIFTED_RIGHT 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
#define SHIFTED_RIGHT_BY_2 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29
#define SHIFTED_LEFT 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
#define SHIFTED_LEFT_BY_2 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17
#else
#error "VECTOR_FLOATS must be 4, 8 or 16"
#endif

// A pointer that a loop moves. In WebAssembly, whose compiler must not see how it moves, loads at constant distances from it have
// these distances in their instructions; otherwise an addition goes before each.
ALWAYS_INLINE const void *moved_to(const void *p)
{
#ifdef __wasm__
    __asm__("" : "+r"(p));
#endif
    return p;
}

ALWAYS_INLINE vector load(const float *p)
{
    return *(const unaligned_vector *)p;
}

// Loads a vector of several uses: after load the compiler would load it again for each, and a wide vector from two cache lines.
ALWAYS_INLINE vector load_once(const float *p)
{
    vector v = load(p);
#ifdef HAS_AVX512
    __asm__("" : "+v"(v));
#endif
    return v;
}

// sum + a * b, in sum's register: the compiler would copy many sums, and run out of registers.
ALWAYS_INLINE vector multiply_add(vector sum, vector a, vector b)
{
#ifdef HAS_AVX512
    __asm__("vfmadd231ps {%2, %1, %0|%0, %1, %2}" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
#else
    return sum + a * b;
#endif
}

ALWAYS_INLINE vector_mask load_mask(const int32_t *p)
{
    return *(const unaligned_mask *)p;
}

ALWAYS_INLINE void store(float *p, vector v)
{
    *(unaligned_vector *)p = v;
}

ALWAYS_INLINE vector broadcast(float value)
{
    return value - (vector){0};
}

// Each of count values in all lanes of a vector of its own.
ALWAYS_INLINE void broadcast_each(const size_t count, const float *values, vector *v)
{
#pragma GCC unroll 25
    for (size_t i = 0; i < count; i++)
        v[i] = broadcast(values[i]);
}

// Lane 0 of v in all lanes, bit for bit.
ALWAYS_INLINE vector first_lane(vector v)
{
    return (vector)(((vector_mask)v)[0] - (vector_mask){0});
}

ALWAYS_INLINE vector keep(vector v, vector_mask mask)
{
    return (vector)((vector_mask)v & mask);
}

// A mask of the first count lanes; count may be more than there are.
ALWAYS_INLINE vector_mask first_lanes(size_t count)
{
    const vector_mask lane = {LANES};
    return lane < (int32_t)(count < VECTOR_FLOATS ? count : VECTOR_FLOATS);
}

// Every other float of two vectors, in PICKED_ORDER.
ALWAYS_INLINE vector pick_even(vector first, vector second)
{
    return __builtin_shufflevector(first, second, EVEN_LANES);
}

ALWAYS_INLINE vector pick_odd(vector first, vector second)
{
    return __builtin_shufflevector(first, second, ODD_LANES);
}

ALWAYS_INLINE vector in_order(vector picked)
{
    return __builtin_shufflevector(picked, picked, IN_ORDER);
}

// v shifted right by a lane, where the last one of the vector before comes in.
ALWAYS_INLINE vector shifted_right(vector before, vector v)
{
    return __builtin_shufflevector(before, v, SHIFTED_RIGHT);
}

// v shifted left by a lane, where the first one of the vector behind comes in.
ALWAYS_INLINE vector shifted_left(vector v, vector behind)
{
    return __builtin_shufflevector(v, behind, SHIFTED_LEFT);
}

ALWAYS_INLINE vector shifted_right_by_2(vector before, vector v)
{
    return __builtin_shufflevector(before, v, SHIFTED_RIGHT_BY_2);
}

ALWAYS_INLINE vector shifted_left_by_2(vector v, vector behind)
{
    return __builtin_shufflevector(v, behind, SHIFTED_LEFT_BY_2);
}

#ifndef vector_max
// b where either is not a number, as the x86 instruction has it: a bad input shows in the logits.
ALWAYS_INLINE vector vector_max(vector a, vector b)
{
    const vector_mask larger = a > b;
    return (vector)(((vector_mask)a & larger) | ((vector_mask)b & ~larger));
}
#endif

// The larger where mask is all ones, 0 elsewhere.
#ifndef kept_max
ALWAYS_INLINE vector kept_max(vector a, vector b, vector_mask mask)
{
    return keep(vector_max(a, b), mask);
}
#endif

// Stores the first count lanes of v, fewer than all.
#ifndef store_first
ALWAYS_INLINE void store_first(float *p, vector v, size_t count)
{
    float values[VECTOR_FLOATS];
    store(values, v);
    for (size_t i = 0; i < count; i++) {
        p[i] = values[i];
        __asm__(""); // a call of memcpy would empty all vector registers, for the loop around this too
    }
}
#endif

#ifndef sum_of_lanes
ALWAYS_INLINE float sum_of_lanes(vector v)
{
    float sum = 0;
    for (int lane = 0; lane < VECTOR_FLOATS; lane++)
        sum += v[lane];
    return sum;
}
#endif

#endif
