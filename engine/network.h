// What create.c builds and run.c walks.
#ifndef SHUFFLENET_NETWORK_H
#define SHUFFLENET_NETWORK_H

#include "kernels.h"
#include "shufflenet.h"

struct shufflenet_network {
    const struct kernels *kernels;
    shufflenet_sizes sizes;
    uint32_t step_count;
    struct step steps[];
};

// How many of the steps behind this one it runs itself.
SHUFFLENET_LOCAL uint32_t steps_within(const struct step *step);

#endif
