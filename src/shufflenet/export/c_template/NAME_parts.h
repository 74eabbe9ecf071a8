// What the files of this folder know of one another.
#ifndef @GUARD@_PARTS_H
#define @GUARD@_PARTS_H

#include "@NAME@.h"

#include <stddef.h>

enum { INPUT_FLOATS = 3 * @GUARD@_HEIGHT * @GUARD@_WIDTH };

// Operators, row tables and weights, as engine/plan.h describes them.
extern const uint32_t @NAME@_plan[];
extern const size_t @NAME@_plan_bytes;

// While a picture is resized, the sums of its pixels lie where the input will be.
union input {
    float value[INPUT_FLOATS];
    int32_t sum[INPUT_FLOATS];
};

// See @NAME@_run for what the input is.
void @NAME@_preprocess(const uint8_t *rgb, int width, int height, union input *input);

#endif
