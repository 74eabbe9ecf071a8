// What the engine knows about a kind of step. Each operator has a file, and a row in the table of kinds (create.c).
#ifndef SHUFFLENET_KIND_H
#define SHUFFLENET_KIND_H

#include "../builder.h"

// What a run gives to all its steps.
struct run {
    const struct kernels *kernels;
    const float *picture;
    float *arena;
    float *sliding; // where offsets of sliding buffers count from: each thread has its own
    float *logits;
    struct share share;
};

// A plane that a step reads or writes.
struct plane {
    uint32_t height, pitch, rows;
    const uint32_t *offsets; // [rows]
};

struct kind {
    // Checks the fields of a step in the plan, and fills in the step.
    void (*build)(struct builder *, const struct plan_step *, struct step *);
    // Runs a thread's share of the step.
    void (*run)(const struct run *, const struct step *);

    // The rest is NULL for kinds that never run in strips.
    void (*run_lines)(const struct kernels *, const struct step *, const float *x, float *y, struct lines,
                      struct share);
    struct plane (*writes)(const struct step *);
    struct plane (*reads)(const struct step *);                            // NULL: the picture
    struct lines (*lines_read)(const struct step *, struct lines written); // NULL: the picture
};

SHUFFLENET_LOCAL const struct kind *input_kind(void);
SHUFFLENET_LOCAL const struct kind *zero_kind(void);
#ifndef SHUFFLENET_WITHOUT_FLOAT32
SHUFFLENET_LOCAL const struct kind *convolution_kind(void);
SHUFFLENET_LOCAL const struct kind *depthwise_kind(void);
SHUFFLENET_LOCAL const struct kind *max_pool_kind(void);
SHUFFLENET_LOCAL const struct kind *average_pool_kind(void);
SHUFFLENET_LOCAL const struct kind *window_pool_kind(void);
SHUFFLENET_LOCAL const struct kind *adaptive_average_pool_kind(void);
SHUFFLENET_LOCAL const struct kind *fully_connected_kind(void);
SHUFFLENET_LOCAL const struct kind *scale_kind(void);
SHUFFLENET_LOCAL const struct kind *strips_kind(void);
#endif
#ifndef SHUFFLENET_WITHOUT_INT8
SHUFFLENET_LOCAL const struct kind *int8_input_kind(void);
SHUFFLENET_LOCAL const struct kind *int8_convolution_kind(void);
SHUFFLENET_LOCAL const struct kind *int8_depthwise_kind(void);
SHUFFLENET_LOCAL const struct kind *int8_max_pool_kind(void);
SHUFFLENET_LOCAL const struct kind *int8_average_pool_kind(void);
SHUFFLENET_LOCAL const struct kind *int8_adaptive_average_pool_kind(void);
SHUFFLENET_LOCAL const struct kind *int8_fully_connected_kind(void);
SHUFFLENET_LOCAL const struct kind *int8_scale_kind(void);
SHUFFLENET_LOCAL const struct kind *int8_bytes_of_quads_kind(void);
#endif

// The kind of this number in a plan, or NULL.
SHUFFLENET_LOCAL const struct kind *kind_of(uint32_t kind);

static const struct lines all_lines = {0, UINT32_MAX};

// Runs a step that is not in strips: all lines of its plane, from rows of the arena or from the picture.
SHUFFLENET_LOCAL void run_all_lines(const struct run *run, const struct step *step);

// The lines that windows of 3 lines read, the first of which begins padding lines above the plane.
SHUFFLENET_LOCAL struct lines lines_of_windows(struct lines written, uint32_t stride, uint32_t padding,
                                               uint32_t height);

#endif
