// What the files of this folder know of one another.
#ifndef @GUARD@_PARTS_H
#define @GUARD@_PARTS_H

#include "@NAME@.h"

#include <stddef.h>

enum { INPUT_FLOATS = 3 * @GUARD@_HEIGHT * @GUARD@_WIDTH };

// Operators, row tables and weights, as engine/plan.h describes them.
extern const uint32_t @NAME@_plan[];
extern const size_t @NAME@_plan_bytes;

// Fills input[INPUT_FLOATS], which is as @NAME@_run wants it. Returns 1; 0: the picture has no pixels, or more than 3,000 a side
// for one of the input's.
int @NAME@_preprocess(const uint8_t *rgb, int width, int height, float *input);

#endif
