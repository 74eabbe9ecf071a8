// WebAssembly with simd128, and relaxed SIMD if the program has it. Empty without.
#ifdef __wasm_simd128__
#define LEVEL simd128
#define VECTOR_FLOATS 4
#include "../simd/words_simd128.h"
#define QUADS_TILE_TABLE(T) T(4, 2)
#define BYTES_TILE_TABLE(T) T(1, 4) T(2, 4) T(3, 2) T(4, 2)
#define WINDOWS_TILE_TABLE(T) T(4, 2)

#include "int8_level.h"
#endif
