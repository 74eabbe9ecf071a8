// Any processor.
#define LEVEL generic
#define VECTOR_FLOATS 4
#define QUADS_TILE_TABLE(T) T(4, 2)
#define BYTES_TILE_TABLE(T) T(1, 4) T(2, 4) T(3, 2) T(4, 2)
#define WINDOWS_TILE_TABLE(T) T(4, 2)

#include "int8_level.h"
