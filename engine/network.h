// What create.c builds and run.c walks.
#ifndef SHUFFLENET_NETWORK_H
#define SHUFFLENET_NETWORK_H

#include "kernels.h"

struct shufflenet_network {
    const struct kernels *kernels;
    size_t arena_bytes, thread_bytes, input_floats, output_floats;
    uint32_t step_count;
    struct step steps[];
};

#endif
