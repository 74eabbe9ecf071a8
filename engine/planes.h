// The planes that a step reads and writes, whatever kind it is.
#ifndef SHUFFLENET_PLANES_H
#define SHUFFLENET_PLANES_H

#include "kernels.h"

struct plane {
    uint32_t height, pitch, rows;
    const uint32_t *offsets; // [rows], if they lie in the arena
};

// Zeros if it writes or reads none. Strips write what any of their last steps does.
SHUFFLENET_LOCAL struct plane written_by(const struct step *step);
SHUFFLENET_LOCAL struct plane read_by(const struct step *step);

// The lines that a step reads to write others.
SHUFFLENET_LOCAL struct lines read_for(const struct step *step, struct lines lines);

// Whether it reads lines around those that it writes.
SHUFFLENET_LOCAL int has_windows(const struct step *step);

#endif
