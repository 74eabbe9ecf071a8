// aarch64, all of which have NEON: four floats a vector, thirty-two registers. Empty on other processors.
#ifdef __aarch64__
#include <arm_neon.h>

#define LEVEL neon
#define LEVEL_WITH_OTHER_INT8 neon_dot
#define VECTOR_FLOATS 4
#define vector_max(a, b) vmaxq_f32(a, b)
#define load_halves(p) ((vector)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))))
// mr * nv sums, nv pixels and the weights, each of which the multiply-add takes from a lane. Twenty sums hide the latency
// even of four multiply-add units; with more, GCC moves some to memory and back.
#define TILE_TABLE(T) T(1, 8) T(2, 8) T(3, 6) T(4, 5) T(5, 4) T(6, 3)

#define OUTER_TABLE(T) T(1, 5) T(2, 5) T(3, 5) T(4, 5) T(5, 5)

#include "level.h"
#endif
