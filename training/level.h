// The passes of training.h at the level whose engine/levels file includes this.
#include "passes.h"

#include "pointwise.h"
// These need pointwise.h.
#include "depthwise.h"
#include "output.h"
#include "stem.h"

#define TRAINING_OF_(level) training_##level
#define TRAINING_OF(level) TRAINING_OF_(level)

static const struct training_kernels TRAINING_OF(LEVEL) = {
    .pointwise_forward = train_pointwise_forward,
    .pointwise_backward = train_pointwise_backward,
    .depthwise_forward = train_depthwise_forward,
    .depthwise_backward = train_depthwise_backward,
    .output_forward = train_output_forward,
    .output_backward = train_output_backward,
    .stem_forward = train_stem_forward,
    .stem_backward = train_stem_backward,
    .max_pool_forward = train_max_pool_forward,
    .max_pool_backward = train_max_pool_backward,
};
