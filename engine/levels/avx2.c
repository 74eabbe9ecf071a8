// x86-64 with AVX2, FMA and F16C: eight floats a vector, sixteen registers.
#include <immintrin.h>

#include "../kernels.h"

#define LEVEL avx2
#ifdef SHUFFLENET_AVX_VNNI
#define LEVEL_WITH_OTHER_INT8 avx_vnni
#endif
#define VECTOR_FLOATS 8
#define vector_max(a, b) _mm256_max_ps(a, b)
#define load_halves(p) ((vector)_mm256_cvtph_ps(_mm_loadu_si128((const void *)(p))))
// mr * nv sums, nv pixels and one weight in registers; at least eight sums hide the latency of two FMA units.
#define TILE_TABLE(T) T(1, 8) T(2, 4) T(3, 3) T(4, 3) T(5, 2) T(6, 2)
#define OUTER_TABLE(T) T(1, 4) T(2, 4) T(3, 4)

#include "level.h"
