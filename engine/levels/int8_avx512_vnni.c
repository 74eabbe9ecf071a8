// x86-64 with AVX-512 (F, BW, DQ, VL, VNNI).
#define LEVEL avx512_vnni
#define VECTOR_FLOATS 16
#ifndef SHUFFLENET_LOWERED // by a test for lesser processors
#include <immintrin.h>
#define HAS_AVX512
#define vector_max(a, b) _mm512_max_ps(a, b)
#define kept_max(a, b, mask) _mm512_maskz_max_ps(_mm512_movepi32_mask((__m512i)(mask)), a, b)
#define store_first(p, v, count) _mm512_mask_storeu_ps(p, (__mmask16)((1u << (count)) - 1), v)
#include "../simd/words_avx512.h"
#endif
#define QUADS_TILE_TABLE(T) T(4, 5) T(8, 2)
#define BYTES_TILE_TABLE(T) T(1, 5) T(2, 5) T(3, 5) T(4, 5) T(5, 5) T(6, 4)
#define WINDOWS_TILE_TABLE(T) T(4, 4) T(8, 2)

#include "int8_level.h"
