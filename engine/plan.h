// The plan: what src/shufflenet/engine/plan.py writes and create.c reads. 32-bit words in the machine's order throughout:
//
//   struct plan_header
//   struct plan_step   [step_count]
//   uint32_t           [table_count]    row tables: where rows start, in floats from the start of the arena
//   float              [weight_count]   weights and biases, unpacked
//
// A *row* is one channel's plane in the arena: height lines of width pixels, from one line to the next pitch floats. An
// operator finds the rows that it reads and writes in its tables, so whatever only moves channels is a different table.
#ifndef SHUFFLENET_PLAN_H
#define SHUFFLENET_PLAN_H

#include <stdint.h>

enum { PLAN_MAGIC = 0x4c504e53, PLAN_VERSION = 7, PLAN_STEP_FIELDS = 16 };

// Rows start on a multiple of ROW_ALIGNMENT floats, but for the planes of PLAN_INPUT. A step may overwrite the ROW_TAIL floats
// behind a row that it writes with zeros: the rest of a vector of ROW_ALIGNMENT floats.
enum { ROW_ALIGNMENT = 16, ROW_TAIL = ROW_ALIGNMENT - 1 };

#define PLAN_NO_TABLE UINT32_MAX

struct plan_header {
    uint32_t magic;
    uint32_t version;
    uint32_t step_count;
    uint32_t table_count;
    uint32_t weight_count;
    uint32_t arena_floats;
    uint32_t in_channels;
    uint32_t height;
    uint32_t width;
    uint32_t classes;
};

enum plan_kind {
    PLAN_INPUT = 1,
    PLAN_ZERO = 2,
    PLAN_CONVOLUTION = 3,
    PLAN_DEPTHWISE = 4,
    PLAN_MAX_POOL = 5,
    PLAN_AVERAGE_POOL = 6,
    PLAN_MEANS = 7,
    PLAN_FULLY_CONNECTED = 8,
    PLAN_SCALE = 9,
    PLAN_STRIPS = 10,
};

// The meaning of the first fields is that of the structs of the same name in kernels.h, in the same order. The last three are
// those of struct window in kernels.h, where a step is run in strips.
enum { PLAN_WINDOW_FIELD = PLAN_STEP_FIELDS - 3 };

struct plan_step {
    uint32_t kind;
    uint32_t field[PLAN_STEP_FIELDS];
};

#endif
