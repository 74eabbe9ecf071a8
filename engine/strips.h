// Steps that are run in strips: which lines each of them writes for a strip of what the last ones write.
//
// A step's output either is whole in the arena, or slides through a window of a few lines: each strip begins with moving
// the lines that are still needed to the window's start. A thread, called a lane, has windows of its own and a part of the
// last steps' lines, so threads need not wait for one another; lines that two of them need are computed by both.
#ifndef SHUFFLENET_STRIPS_H
#define SHUFFLENET_STRIPS_H

#include "planes.h"

// How far a lane has come.
struct lane {
    uint32_t next, end;                   // the lines of the last steps that are still to do
    struct lines lines[MAX_GROUP_STEPS];  // that each step writes in this strip
    uint32_t first[MAX_GROUP_STEPS];      // the line at the start of each window
    uint32_t last_first[MAX_GROUP_STEPS]; // and where that was in the strip before
};

// group: the step of kind PLAN_STRIPS, with those that it names behind it.
SHUFFLENET_LOCAL struct lane begin_lane(const struct step *group, struct share share);

// 0 if there is nothing left to do.
SHUFFLENET_LOCAL int next_strip(const struct step *group, struct lane *lane);

// Whether each step reads what is where it looks for it, and all windows are large enough, for any number of threads.
SHUFFLENET_LOCAL int strips_fit(const struct step *group);

// windows: where their offsets count from; arena: those of the last steps' planes.
SHUFFLENET_LOCAL void run_strips(const struct kernels *kernels, const struct step *group, const float *picture,
                                 float *windows, float *arena, struct share share);

// Any step by itself that writes a plane.
SHUFFLENET_LOCAL void run_lines(const struct kernels *kernels, const struct step *step, const float *x, float *y,
                                struct lines lines, struct share share);

#endif
