// x86-64 with AVX2 and AVX-VNNI. Empty for compilers that don't know it.
#include "../kernels.h"
#ifdef SHUFFLENET_AVX_VNNI
#define LEVEL avx_vnni
#define VECTOR_FLOATS 8
#ifndef SHUFFLENET_LOWERED // by a test for lesser processors
#include <immintrin.h>
#define vector_max(a, b) _mm256_max_ps(a, b)
#include "../simd/words_avx2.h"
#endif
#define QUADS_TILE_TABLE(T) T(4, 3)
#define BYTES_TILE_TABLE(T) T(1, 4) T(2, 4) T(3, 3) T(4, 2) T(5, 2)
#define WINDOWS_TILE_TABLE(T) T(4, 2)

#include "int8_level.h"
#endif
