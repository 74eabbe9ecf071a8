// WebAssembly with relaxed SIMD, on processors that have no dot product of four bytes. Empty without.
#ifdef __wasm_relaxed_simd__
#define LEVEL simd128_pairs
#define VECTOR_FLOATS 4
#define RELAXED_PAIRS
#include "../simd/words_simd128.h"
#define QUADS_TILE_TABLE(T) T(4, 2)
#define BYTES_TILE_TABLE(T) T(1, 4) T(2, 4) T(3, 2) T(4, 2)
#define WINDOWS_TILE_TABLE(T) T(4, 2)

#include "int8_level.h"
#endif
