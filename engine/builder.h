// What operators need to check their fields and to build their steps, with memory or, to measure, without.
#ifndef SHUFFLENET_BUILDER_H
#define SHUFFLENET_BUILDER_H

#include "kernels.h"

// Kernels load whole vectors: this many words behind the arena may be read, but are never written and never used.
enum { SLACK = 64 };

// Numbers below this can be multiplied in pairs without overflow, with room for sums.
enum { LIMIT = 1 << 28 };

struct builder {
    const struct kernels *kernels;
    struct plan_header plan;
    const struct plan_weights *blocks;
    const uint32_t *tables; // in the plan
    const char *weights;
    uint32_t *tables_copy; // in the network
    float *zero_row;       // as long as a line of the picture
    char *memory;          // NULL: measure only
    uint64_t used;
    int failed;
    const struct step *strips; // whose steps are being built, or NULL
    uint32_t strips_steps;     // steps in the plan from these strips on
    uint64_t sliding_words;    // of the strips with the largest sliding buffers
};

// Marks the plan as damaged unless the condition holds.
SHUFFLENET_LOCAL void require(struct builder *b, int condition);

// Whether the network is to be written: there is memory, and nothing was wrong so far.
SHUFFLENET_LOCAL int is_building(const struct builder *b);

// Memory in the network; NULL where only its size counts.
SHUFFLENET_LOCAL void *take(struct builder *b, uint64_t bytes);

SHUFFLENET_LOCAL uint64_t round_up(uint64_t value, uint64_t multiple);

// Whether it is from 1 to below LIMIT.
SHUFFLENET_LOCAL int is_size(uint32_t value);

// Whether the last of so many windows of 3 at stride 2 reaches over the edge by one at most.
SHUFFLENET_LOCAL int windows_fit(uint32_t windows, uint32_t size, uint32_t padding);

// Words of a plane without what lies behind its last line.
SHUFFLENET_LOCAL uint64_t plane_words(uint32_t height, uint32_t width, uint32_t pitch);

// A row table of count rows anywhere in the arena, each of which takes up words words.
SHUFFLENET_LOCAL const uint32_t *table(struct builder *b, uint32_t first, uint64_t count, uint64_t words);

// A row table that may be missing, NULL: then what is read or written is the caller's.
SHUFFLENET_LOCAL const uint32_t *optional_table(struct builder *b, uint32_t first, uint64_t count, uint64_t words);

// The rows of the planes that a step writes, of words words with tail more behind. In strips a step with a sliding buffer
// writes no more lines of pitch words than that holds.
SHUFFLENET_LOCAL const uint32_t *written_table(struct builder *b, const struct step *step, uint32_t first,
                                               uint64_t count, uint64_t words, uint64_t pitch, uint64_t tail);

// The rows of the planes that a step reads, of words words, with around more before and behind each. In strips the lines of
// pitch words are those of its source's sliding buffer, but for the last halo ones.
SHUFFLENET_LOCAL const uint32_t *read_table(struct builder *b, const struct step *step, uint32_t first, uint64_t count,
                                            uint64_t words, uint64_t pitch, uint64_t around, uint32_t halo);

// count values of a block of this dtype.
SHUFFLENET_LOCAL const void *weights(struct builder *b, uint32_t block, enum plan_dtype dtype, uint64_t count);

// count values of a float32 block.
SHUFFLENET_LOCAL const float *floats(struct builder *b, uint32_t block, uint64_t count);

#ifndef SHUFFLENET_WITHOUT_INT8
// Marks the plan as damaged if a sum, at most so far from 0, can become what is not a number below 2^31.
SHUFFLENET_LOCAL void require_output(struct builder *b, double farthest, struct int8_output output);

// Factors and, behind them, offsets of the means of up to most values, count of each, copied from two blocks of the plan.
SHUFFLENET_LOCAL const float *int8_means(struct builder *b, uint32_t factors, uint32_t offsets, uint64_t count,
                                         double most);

// The constants of count channels, from a block of the plan.
SHUFFLENET_LOCAL const struct int8_output *int8_outputs(struct builder *b, uint32_t block, uint64_t count);
#endif

// The least value that an activation leaves; minus infinity if it is another function than a bound.
SHUFFLENET_LOCAL float lower_bound_of(uint32_t activation);

#endif
