// The passes of training.h at the level whose engine/levels file includes this.
#include "passes.h"

#include "pointwise.h"
// These need pointwise.h.
#include "depthwise.h"
#include "output.h"
#include "stem.h"

#define TRAINING_OF_(level) training_##level
#define TRAINING_OF(level) TRAINING_OF_(level)

static const struct training_kernels TRAINING_OF(LEVEL) = {{
    [POINTWISE_FORWARD] = train_pointwise_forward,
    [POINTWISE_BACKWARD] = train_pointwise_backward,
    [DEPTHWISE_FORWARD] = train_depthwise_forward,
    [DEPTHWISE_BACKWARD] = train_depthwise_backward,
    [OUTPUT_FORWARD] = train_output_forward,
    [OUTPUT_BACKWARD] = train_output_backward,
    [STEM_FORWARD] = train_stem_forward,
    [STEM_BACKWARD] = train_stem_backward,
    [MAX_POOL_FORWARD] = train_max_pool_forward,
    [MAX_POOL_BACKWARD] = train_max_pool_backward,
}};
