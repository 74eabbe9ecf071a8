// A whole level from its vectors and its tile table: all kernels, and the struct that names them. A level's .c file
// defines VECTOR_FLOATS, vector_max, TILE_TABLE, OUTER_TABLE and LEVEL, and includes this. If it has registers to spare, also
// COLUMN_TILE_TABLE, of tiles with at most VECTOR_FLOATS outputs that are in the other table as well, and STEM_ROWS; if it needs
// it, MOST_STORES_AT_ONCE and INPUTS_UNROLLED; and LEVEL_WITH_OTHER_INT8, if some of the level's processors have other int8 kernels.
//
// Everything here is static or has the level in its name, so that the linker can't put one level's code in place of
// another's.
#include "../int8.h"
#include "../simd/vector.h"

#include "../kernels/zero.h"
#include "../kernels/line_ends.h"
#include "../kernels/input.h"
#ifndef SHUFFLENET_WITHOUT_FLOAT32
#include "tile_tables.h"

#define WIDEST(mr, nv) [mr] = nv,
static const uint8_t widest_tile[MAX_TILE_ROWS + 1] = {TILE_TABLE(WIDEST)};

#include "../kernels/activation.h"
#include "../kernels/sharing.h"
#include "../kernels/scale.h"
#include "../kernels/tile.h"
#include "../kernels/column.h"
// These need tile.h or activation.h.
#include "../kernels/convolution.h"
#include "../kernels/fully_connected.h"
#include "../kernels/peak.h"
#include "../kernels/stem.h"
#include "../kernels/stride2.h"
// These need stride2.h or line_ends.h.
#include "../kernels/depthwise_3x3.h"
#include "../kernels/depthwise_5x5.h"
#include "../kernels/depthwise.h"
#include "../kernels/pool_windows.h"
#include "../kernels/pool.h"
#include "../kernels/window_pool.h"
#endif

#include "../preprocess/level.h"

#define NAME_OF_(level) #level
#define NAME_OF(level) NAME_OF_(level)
#define TABLE_OF_(level) shufflenet_kernels_##level
#define TABLE_OF(level) TABLE_OF_(level)

#ifdef SHUFFLENET_TRAINING
#include "../../training/level.h"
#endif

#ifdef load_halves
enum { TAKES_HALVES = 1 };
#else
enum { TAKES_HALVES = 0 };
#endif
#ifdef STEM_ROWS
#define STEM stem
#else
#define STEM NULL
enum { STEM_ROWS = 0 };
#endif
#ifdef SHUFFLENET_TRAINING
#define TRAINING &TRAINING_OF(LEVEL)
#else
#define TRAINING NULL
#endif
#ifdef SHUFFLENET_WITHOUT_INT8
#define INT8_OF(level) NULL
#else
#define INT8_OF_(level) &shufflenet_int8_##level
#define INT8_OF(level) INT8_OF_(level)
#endif

#ifdef SHUFFLENET_WITHOUT_FLOAT32
#define FLOAT32_KERNELS
#else
#define FLOAT32_KERNELS                                                                                                \
    .fully_connected_block = FULLY_CONNECTED_BLOCK, .takes_halves = TAKES_HALVES, .vectors = {TILE_TABLE(WIDEST)},     \
    .convolution = convolution, .stem = STEM, .stem_rows = STEM_ROWS, .depthwise = depthwise, .max_pool = max_pool,    \
    .average_pool = average_pool, .window_pool = window_pool, .adaptive_average_pool = adaptive_average_pool,          \
    .fully_connected = fully_connected, .scale = scale, .peak = peak, .training = TRAINING,
#endif
#define KERNELS_OF(level)                                                                                              \
    {.name = NAME_OF(level),                                                                                           \
     .vector_floats = VECTOR_FLOATS,                                                                                   \
     .input = input,                                                                                                   \
     .zero = zero,                                                                                                     \
     .resize = &resize_kernels,                                                                                        \
     .int8 = INT8_OF(level),                                                                                           \
     FLOAT32_KERNELS}

const struct kernels TABLE_OF(LEVEL) = KERNELS_OF(LEVEL);
// The same float32 kernels beside other int8 kernels.
#if defined(LEVEL_WITH_OTHER_INT8) && !defined(SHUFFLENET_WITHOUT_INT8)
const struct kernels TABLE_OF(LEVEL_WITH_OTHER_INT8) = KERNELS_OF(LEVEL_WITH_OTHER_INT8);
#endif
