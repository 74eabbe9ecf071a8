// x86-64 with AVX-512 (F, BW, DQ, VL): sixteen floats a vector, thirty-two registers.
#define LEVEL avx512
#define VECTOR_FLOATS 16
#ifndef SHUFFLENET_LOWERED // by a test for lesser processors, where the compiler splits the vectors
#define LEVEL_WITH_OTHER_INT8 avx512_vnni
#include <immintrin.h>
#define HAS_AVX512
#define vector_max(a, b) _mm512_max_ps(a, b)
#define kept_max(a, b, mask) _mm512_maskz_max_ps(_mm512_movepi32_mask((__m512i)(mask)), a, b)
#define store_first(p, v, count) _mm512_mask_storeu_ps(p, (__mmask16)((1u << (count)) - 1), v)
#define sum_of_lanes(v) _mm512_reduce_add_ps(v)
#define load_halves(p) ((vector)_mm512_cvtph_ps(_mm256_loadu_si256((const void *)(p))))
#endif
// mr * nv sums, nv pixels and a weight in registers.
#define TILE_TABLE(T) T(1, 8) T(2, 8) T(3, 7) T(4, 6) T(5, 5) T(6, 4) T(8, 3)
// Tiles that can take one or two more pixels along: the 49th of a 7x7 plane, behind three vectors; the last of 7x14.
#define COLUMN_TILE_TABLE(T) T(2, 3) T(3, 3) T(4, 3) T(5, 3) T(6, 3) T(8, 3)

// While more stores wait for their sums, the processor can't look ahead to the next tile: a cycle lost for each of them.
#define MOST_STORES_AT_ONCE 12

// Outputs of the stem by two vectors, their three taps of two vectors and a weight in registers.
#define STEM_ROWS 12

// Tiles of weight gradients in training: mr * nr sums, mr vectors and one more in registers.
#define OUTER_TABLE(T) T(1, 5) T(2, 5) T(3, 5) T(4, 5) T(5, 5)

#include "level.h"
