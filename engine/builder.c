#include "builder.h"

#include "shufflenet.h"

#include <math.h>
#include <string.h>

SHUFFLENET_LOCAL void require(struct builder *b, int condition)
{
    b->failed |= !condition;
}

SHUFFLENET_LOCAL int is_building(const struct builder *b)
{
    return b->memory && !b->failed;
}

SHUFFLENET_LOCAL uint64_t round_up(uint64_t value, uint64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

SHUFFLENET_LOCAL void *take(struct builder *b, uint64_t bytes)
{
    void *memory = b->memory ? b->memory + b->used : NULL;
    b->used += round_up(bytes, SHUFFLENET_ALIGNMENT);
    return memory;
}

SHUFFLENET_LOCAL int is_size(uint32_t value)
{
    return value >= 1 && value < LIMIT;
}

SHUFFLENET_LOCAL int windows_fit(uint32_t windows, uint32_t size, uint32_t padding)
{
    return is_size(windows) && (uint64_t)2 * windows <= (uint64_t)size + padding;
}

SHUFFLENET_LOCAL uint64_t plane_words(uint32_t height, uint32_t width, uint32_t pitch)
{
    return (uint64_t)(height - 1) * pitch + width;
}

// A row table of count rows, each of which takes up words words from its first on, in a part of the arena.
static const uint32_t *table_within(struct builder *b, struct range part, uint32_t first, uint64_t count,
                                    uint64_t words)
{
    require(b, first <= b->plan.table_count && count <= b->plan.table_count - first);
    for (uint64_t i = 0; !b->failed && i < count; i++) {
        const uint32_t offset = b->tables[first + i];
        require(b, offset >= part.begin && offset + words <= part.end);
    }
    return (b->tables_copy ? b->tables_copy : b->tables) + first;
}

SHUFFLENET_LOCAL const uint32_t *table(struct builder *b, uint32_t first, uint64_t count, uint64_t words)
{
    return table_within(b, (struct range){0, b->plan.arena_words}, first, count, words);
}

SHUFFLENET_LOCAL const uint32_t *optional_table(struct builder *b, uint32_t first, uint64_t count, uint64_t words)
{
    return first == PLAN_NO_TABLE ? NULL : table(b, first, count, words);
}

// Where the sliding buffers of the strips lie that are being built.
static struct range sliding_part(const struct builder *b)
{
    const struct strips *s = &b->strips->as.strips;
    return (struct range){s->sliding_begin, (size_t)s->sliding_begin + s->sliding_words};
}

SHUFFLENET_LOCAL const uint32_t *written_table(struct builder *b, const struct step *step, uint32_t first,
                                               uint64_t count, uint64_t words, uint64_t pitch, uint64_t tail)
{
    if (!b->strips || !step->sliding_lines)
        return table(b, first, count, words + tail);
    return table_within(b, sliding_part(b), first, count, step->sliding_lines * pitch + tail);
}

SHUFFLENET_LOCAL const uint32_t *read_table(struct builder *b, const struct step *step, uint32_t first, uint64_t count,
                                            uint64_t words, uint64_t pitch, uint64_t around, uint32_t halo)
{
    if (!b->strips || step->source == PLAN_WHOLE) {
        const struct range part = {around, b->plan.arena_words};
        return table_within(b, part, first, count, words + around);
    }
    const uint32_t lines = b->strips[1 + step->source].sliding_lines;
    require(b, lines > halo);
    return table_within(b, sliding_part(b), first, count, (lines - halo) * pitch);
}

SHUFFLENET_LOCAL const void *weights(struct builder *b, uint32_t block, enum plan_dtype dtype, uint64_t count)
{
    if (block >= b->plan.block_count || b->blocks[block].dtype != dtype || b->blocks[block].count != count) {
        b->failed = 1;
        return NULL;
    }
    return b->weights + b->blocks[block].offset;
}

SHUFFLENET_LOCAL const float *floats(struct builder *b, uint32_t block, uint64_t count)
{
    return weights(b, block, PLAN_FLOAT32, count);
}

#ifndef SHUFFLENET_WITHOUT_INT8
SHUFFLENET_LOCAL void require_output(struct builder *b, double farthest, struct int8_output output)
{
    const double before = farthest * fabs((double)output.factor) + 127 * fabs((double)output.residual_factor) +
                          fabs((double)output.offset);
    require(b, before < 0x1p31);
    // No activation is farther from 0 than what precedes it, or than 1.
    require(b, (before + 1) * fabs((double)output.gain) + fabs((double)output.zero) < 0x1p31);
}

SHUFFLENET_LOCAL const float *int8_means(struct builder *b, uint32_t factors, uint32_t offsets, uint64_t count,
                                         double most)
{
    const float *f = floats(b, factors, count), *o = floats(b, offsets, count);
    float *copy = take(b, sizeof(float) * 2 * count);
    for (size_t c = 0; !b->failed && c < count; c++)
        require_output(b, 127 * most, (struct int8_output){.factor = f[c], .offset = o[c]});
    if (is_building(b)) {
        memcpy(copy, f, sizeof(float) * count);
        memcpy(copy + count, o, sizeof(float) * count);
    }
    return copy;
}

SHUFFLENET_LOCAL const struct int8_output *int8_outputs(struct builder *b, uint32_t block, uint64_t count)
{
    return weights(b, block, PLAN_FLOAT32, count * (sizeof(struct int8_output) / sizeof(float)));
}
#endif

SHUFFLENET_LOCAL float lower_bound_of(uint32_t activation)
{
    return activation == PLAN_RELU ? 0 : -INFINITY;
}
