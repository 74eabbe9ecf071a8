// WebAssembly with simd128: four floats a vector, and a multiply-add in one instruction if the program has relaxed SIMD. Empty
// without simd128.
#ifdef __wasm_simd128__
#include <wasm_simd128.h>

#define LEVEL simd128
#ifdef __wasm_relaxed_simd__
#define LEVEL_WITH_OTHER_INT8 simd128_pairs
#endif
#define VECTOR_FLOATS 4
#define vector_max(a, b) wasm_f32x4_pmax(b, a) // b where either is not a number
// For hosts of sixteen registers: mr * nv sums, nv pixels, one weight and one product.
#define TILE_TABLE(T) T(1, 6) T(2, 4) T(3, 3) T(4, 2) T(5, 2)
// Of several inputs the compiler would add up all products of one sum first, so that the others leave the registers.
#define INPUTS_UNROLLED 1
#define OUTER_TABLE(T) T(1, 4) T(2, 4) T(3, 4)

#include "level.h"
#endif
