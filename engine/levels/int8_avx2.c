// x86-64 with AVX2.
#include <immintrin.h>

#define LEVEL avx2
#define VECTOR_FLOATS 8
#define vector_max(a, b) _mm256_max_ps(a, b)
#include "../simd/words_avx2.h"
#define QUADS_TILE_TABLE(T) T(4, 3)
#define BYTES_TILE_TABLE(T) T(1, 4) T(2, 4) T(3, 3) T(4, 2) T(5, 2)
#define WINDOWS_TILE_TABLE(T) T(4, 2)

#include "int8_level.h"
