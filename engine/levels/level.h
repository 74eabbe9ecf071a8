// A whole level from its vectors and its tile table: all kernels, and the struct that names them. A level's .c file
// defines VECTOR_FLOATS, vector_max, TILE_TABLE, OUTER_TABLE and LEVEL, and includes this. If it has registers to spare, also
// COLUMN_TILE_TABLE, of tiles with at most VECTOR_FLOATS outputs that are in the other table as well, and STEM_ROWS; if it needs
// it, MOST_STORES_AT_ONCE.
//
// Everything here is static or has the level in its name, so that the linker can't put one level's code in place of
// another's.
#include "../kernels.h"
#include "../simd/vector.h"

// TILE_TABLE gives the widest tile for each number of outputs; the narrower ones serve the ends of lines.
enum { MAX_TILE_VECTORS = 8 };
#define UP_TO_1(T, mr) T(mr, 1)
#define UP_TO_2(T, mr) UP_TO_1(T, mr) T(mr, 2)
#define UP_TO_3(T, mr) UP_TO_2(T, mr) T(mr, 3)
#define UP_TO_4(T, mr) UP_TO_3(T, mr) T(mr, 4)
#define UP_TO_5(T, mr) UP_TO_4(T, mr) T(mr, 5)
#define UP_TO_6(T, mr) UP_TO_5(T, mr) T(mr, 6)
#define UP_TO_7(T, mr) UP_TO_6(T, mr) T(mr, 7)
#define UP_TO_8(T, mr) UP_TO_7(T, mr) T(mr, 8)

#define WIDEST(mr, nv) [mr] = nv,
static const uint8_t widest_tile[MAX_TILE_ROWS + 1] = {TILE_TABLE(WIDEST)};

#include "../kernels/activation.h"
#include "../kernels/line_ends.h"
#include "../kernels/scale.h"
#include "../kernels/zero.h"
#include "../kernels/tile.h"
#include "../kernels/column.h"
// These need tile.h or activation.h.
#include "../kernels/convolution.h"
#include "../kernels/fully_connected.h"
#include "../kernels/peak.h"
#include "../kernels/stem.h"
#include "../kernels/stride2.h"
// These need stride2.h or line_ends.h.
#include "../kernels/depthwise.h"
#include "../kernels/input.h"
#include "../kernels/pool.h"

#include "../preprocess/level.h"

#define NAME_OF_(level) #level
#define NAME_OF(level) NAME_OF_(level)
#define TABLE_OF_(level) shufflenet_kernels_##level
#define TABLE_OF(level) TABLE_OF_(level)

#ifdef SHUFFLENET_TRAINING
#include "../../training/level.h"
#endif

const struct kernels TABLE_OF(LEVEL) = {
    .name = NAME_OF(LEVEL),
    .vector_floats = VECTOR_FLOATS,
    .fully_connected_block = FULLY_CONNECTED_BLOCK,
#ifdef load_halves
    .takes_halves = 1,
#endif
    .vectors = {TILE_TABLE(WIDEST)},
    .input = input,
    .zero = zero,
    .convolution = convolution,
#ifdef STEM_ROWS
    .stem = stem,
    .stem_rows = STEM_ROWS,
#endif
    .depthwise = depthwise,
    .max_pool = max_pool,
    .average_pool = average_pool,
    .adaptive_average_pool = adaptive_average_pool,
    .fully_connected = fully_connected,
    .scale = scale,
    .peak = peak,
    .resize = &resize_kernels,
#ifdef SHUFFLENET_TRAINING
    .training = &TRAINING_OF(LEVEL),
#endif
};
