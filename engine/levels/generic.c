// Any processor: four floats a vector, which compilers map to SSE2, NEON or simd128.
#define LEVEL generic
#define VECTOR_FLOATS 4
// Sixteen registers or more: mr * nv sums, nv pixels, one weight.
#define TILE_TABLE(T) T(1, 6) T(2, 4) T(3, 3) T(4, 3) T(5, 2) T(6, 2)
#define OUTER_TABLE(T) T(1, 4) T(2, 4) T(3, 4)

#include "level.h"
