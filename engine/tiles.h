// Into which of a level's tiles a convolution's outputs are split.
#ifndef SHUFFLENET_TILES_H
#define SHUFFLENET_TILES_H

#include "int8.h"

// Fills in the runs of one group, at most MAX_TILE_ROWS and the one that closes them; returns how many tiles they have.
SHUFFLENET_LOCAL uint32_t choose_tiles(const struct kernels *kernels, const struct convolution *s,
                                       struct tile_run *runs);

#ifndef SHUFFLENET_WITHOUT_INT8
// The same for an int8 convolution.
SHUFFLENET_LOCAL uint32_t choose_int8_tiles(const struct int8_kernels *kernels, const struct int8_convolution *s,
                                            struct tile_run *runs);
#endif

#endif
