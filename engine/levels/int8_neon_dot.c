// aarch64 with the dot product instructions of Armv8.2. Empty on other processors.
#ifdef __aarch64__
#include <arm_neon.h>

#define LEVEL neon_dot
#define VECTOR_FLOATS 4
#define vector_max(a, b) vmaxq_f32(a, b)
#include "../simd/words_neon.h"
#define QUADS_TILE_TABLE(T) T(4, 5) T(8, 2)
#define BYTES_TILE_TABLE(T) T(1, 4) T(2, 4) T(3, 4) T(4, 4) T(5, 4)
#define WINDOWS_TILE_TABLE(T) T(4, 4) T(8, 2)

#include "int8_level.h"
#endif
