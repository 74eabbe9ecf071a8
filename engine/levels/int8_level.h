// A whole int8 level: all kernels, and the struct that names them. A level's .c file defines LEVEL, VECTOR_FLOATS, the words' own
// instructions, and three tables of tiles that write whole quads, write bytes, and read windows of pixels.
#include "../int8.h"
#include "../simd/vector.h"
#include "../simd/words.h"
#include "tile_tables.h"

#include "../kernels/line_ends.h"
#include "../kernels/sharing.h"
#include "../kernels/int8_output.h"
#include "../kernels/int8_tile.h"
#include "../kernels/int8_convolution.h"
#include "../kernels/stride2.h"
// These need stride2.h or line_ends.h.
#include "../kernels/int8_depthwise.h"
#include "../kernels/pool_windows.h"
#include "../kernels/int8_pool.h"
#include "../kernels/int8_fully_connected.h"
#include "../kernels/int8_input.h"
#include "../kernels/int8_scale.h"
#include "../kernels/int8_bytes_of_quads.h"
#include "../kernels/int8_peak.h"

#define TABLE_OF_(level) shufflenet_int8_##level
#define TABLE_OF(level) TABLE_OF_(level)

const struct int8_kernels TABLE_OF(LEVEL) = {
    .vector_words = VECTOR_FLOATS,
    .fully_connected_block = FULLY_CONNECTED_BLOCK,
    .widest = {QUADS_TILE_TABLE(WIDEST_QUADS) BYTES_TILE_TABLE(WIDEST_BYTES) WINDOWS_TILE_TABLE(WIDEST_WINDOWS)},
    .subtracted = PIXELS_SUBTRACTED,
    .input = int8_input,
    .convolution = int8_convolution,
    .depthwise = int8_depthwise,
    .max_pool = int8_max_pool,
    .average_pool = int8_average_pool,
    .adaptive_average_pool = int8_adaptive_average_pool,
    .fully_connected = int8_fully_connected,
    .scale = int8_scale,
    .bytes_of_quads = int8_bytes_of_quads,
    .peak = int8_peak,
};
