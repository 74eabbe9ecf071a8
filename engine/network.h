// What create.c builds and run.c walks.
#ifndef SHUFFLENET_NETWORK_H
#define SHUFFLENET_NETWORK_H

#include "team/division.h"

struct shufflenet_network {
    const struct kernels *kernels;
    size_t arena_bytes, team_bytes, input_floats, output_floats;
    size_t arena_floats, box_floats; // of a member of a team
    struct division division;
    uint32_t step_count;
    struct step steps[];
};

#endif
