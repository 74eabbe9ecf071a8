// Planes that a team's threads divide by lines, each with an arena of its own.
//
// Where two threads read and wrote parts of one row, each core would take from the other what it has just written, and fetch
// ahead what that is about to write. So a thread keeps its lines of a divided plane in its own arena, and whatever else is in the
// vectors in which they begin and end. Convolutions and shuffles go on from there without a look at the other threads. A step
// with windows needs lines around them, and one that writes line by line the rest of the vectors afterwards: the neighbours
// leave them in a box, where no row is near.
#ifndef SHUFFLENET_DIVISION_H
#define SHUFFLENET_DIVISION_H

#include "../kernels.h"

// By the number of a team's threads.
struct division {
    // The plane of which each part begins with a vector: in a thread's arena all planes are shifted by as much as that takes.
    struct {
        uint32_t height, pitch;
    } aligned[MAX_LANES + 1];
};

// A thread of a team, and the memory of all. First an arena that they share, for planes that are not divided: in one of the
// others it would take that thread's cache lines from it. Each has its own arena and behind it four boxes: for the parts before
// and after its own, and two of each, which take turns. Thus nobody waits until a box is empty: who fills it for the second
// time knows that the others have met since.
struct member {
    const struct kernels *kernels;
    float *shared;
    size_t arena_floats, box_floats;
    const struct division *division;
    struct share share;
};

enum { BOXES = 4 };

SHUFFLENET_LOCAL float *arena_of(struct member member);

// The same without the shift, for windows: their buffer begins with as many floats that nobody uses (steps.py).
SHUFFLENET_LOCAL float *windows_of(struct member member);

// Whether a team of so many divides what the step reads, and what it writes.
SHUFFLENET_LOCAL int divides_input(const struct step *step, uint32_t threads);
SHUFFLENET_LOCAL int divides_output(const struct step *step, uint32_t threads);

// The lines of its output that are the member's.
SHUFFLENET_LOCAL struct lines lines_of(struct member member, const struct step *step);

// What neighbours hand over: before a step with windows, and after one that writes lines. They have to meet in between.
enum exchange { BEFORE, AFTER };

// For plans that are being built: planes of the later convolutions are to be the aligned ones.
SHUFFLENET_LOCAL void align_parts(struct division *division, uint32_t height, uint32_t pitch);

// Fills in step->exchanges, and returns the room that the step needs in a box, whatever the number of threads. *fit becomes
// 0 if one would be asked for pixels that are not its own.
SHUFFLENET_LOCAL uint64_t plan_exchanges(struct division *division, struct step *step, int *fit);

SHUFFLENET_LOCAL int has_exchange(const struct step *step, enum exchange when, uint32_t threads);
SHUFFLENET_LOCAL void give_to_neighbours(struct member member, const struct step *step, enum exchange when,
                                         unsigned turn);
SHUFFLENET_LOCAL void take_from_neighbours(struct member member, const struct step *step, enum exchange when,
                                           unsigned turn);
#endif
