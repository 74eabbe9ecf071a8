// A case is a plan of one step. Two arenas start with the same random floats, one is run with the reference and one
// with the level; then the rows that the step writes must agree to rounding, and every other float must be untouched
// but for the zeros that may follow a row (plan.h, ROW_TAIL). A team of three threads must leave the same bits behind.
#ifndef SHUFFLENET_TEST_CASE_H
#define SHUFFLENET_TEST_CASE_H

#include "kernels.h"
#include "shufflenet.h"
#include "team.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_TABLE = 4096,
    MAX_BLOCKS = 2,
    MAX_WEIGHTS = 1 << 18,
    MAX_ARENA = 1 << 20,
    CHANNELS = 2,
    HEIGHT = 300,
    WIDTH = 300
};

// A plan of one step, and what the step writes.
struct test_case {
    struct plan_step step;
    uint32_t table_count, block_count, weight_words, arena_floats, classes;
    uint32_t tables[MAX_TABLE];
    struct plan_weights blocks[MAX_BLOCKS];
    uint32_t height, width;
    // Outputs: rows of pixels, each followed by a tail that may become zero.
    const uint32_t *out;
    uint32_t out_rows, pixels;
    uint32_t logits;
    double terms; // products summed for one output: rounding grows with it
    int holes;    // floats that are not a number in every other plane that a pool reads
    char name[200];
};

static uint32_t seed = 1;

static uint32_t random_below(uint32_t limit)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)seed * limit) >> 32);
}

static float random_float(void)
{
    return (float)random_below(1 << 20) / (1 << 19) - 1;
}

// Two half-precision floats below 2: the smallest, subnormal ones and zeros too.
static uint32_t random_halves(void)
{
    const uint32_t low = random_below(1 << 14), high = random_below(1 << 14), signs = random_below(4);
    return low | high << 16 | (signs & 1) << 15 | (signs & 2) << 30;
}

// rows rows of floats, in random order, with guard floats around each; returns the index of the table.
static uint32_t add_rows(struct test_case *t, uint32_t rows, uint32_t floats, uint32_t guard)
{
    const uint32_t pitch = (floats + guard + ROW_TAIL + ROW_ALIGNMENT - 1) / ROW_ALIGNMENT * ROW_ALIGNMENT;
    const uint32_t first = t->table_count, front = (guard + ROW_ALIGNMENT) / ROW_ALIGNMENT * ROW_ALIGNMENT;
    for (uint32_t i = 0; i < rows; i++) {
        const uint32_t j = random_below(i + 1);
        t->tables[first + i] = t->tables[first + j];
        t->tables[first + j] = t->arena_floats + front + i * pitch;
    }
    t->table_count += rows;
    t->arena_floats += front + rows * pitch;
    if (t->table_count > MAX_TABLE || t->arena_floats > MAX_ARENA)
        abort();
    return first;
}

// A block of count values; returns its number.
static uint32_t add_block(struct test_case *t, enum plan_dtype dtype, uint32_t count)
{
    if (t->block_count == MAX_BLOCKS)
        abort();
    t->blocks[t->block_count] = (struct plan_weights){dtype, count, sizeof(float) * t->weight_words};
    t->weight_words += dtype == PLAN_FLOAT16 ? (count + 1) / 2 : count;
    if (t->weight_words > MAX_WEIGHTS)
        abort();
    return t->block_count++;
}

static uint32_t add_weights(struct test_case *t, uint32_t count)
{
    return add_block(t, PLAN_FLOAT32, count);
}

static void fill_weights(const struct test_case *t, uint32_t *words)
{
    for (uint32_t block = 0; block < t->block_count; block++) {
        const uint32_t begin = t->blocks[block].offset / sizeof(float);
        const uint32_t end = block + 1 < t->block_count ? t->blocks[block + 1].offset / sizeof(float) : t->weight_words;
        for (uint32_t i = begin; i < end; i++) {
            const float value = random_float();
            if (t->blocks[block].dtype == PLAN_FLOAT16)
                words[i] = random_halves();
            else
                memcpy(&words[i], &value, sizeof value);
        }
    }
}

static char *make_plan(const struct test_case *t, const uint32_t *weights, size_t *bytes)
{
    const struct plan_header header = {
        .magic = PLAN_MAGIC,
        .version = PLAN_VERSION,
        .block_count = t->block_count,
        .step_count = 1,
        .table_count = t->table_count,
        .weight_bytes = sizeof(uint32_t) * t->weight_words,
        .arena_words = t->arena_floats,
        .in_channels = CHANNELS,
        .height = t->height,
        .width = t->width,
        .classes = t->classes,
    };
    const size_t blocks_bytes = sizeof *t->blocks * t->block_count, tables_bytes = sizeof(uint32_t) * t->table_count;
    *bytes = sizeof header + blocks_bytes + sizeof t->step + tables_bytes + header.weight_bytes;
    char *plan = malloc(*bytes), *end = plan;
    memcpy(end, &header, sizeof header);
    memcpy(end += sizeof header, t->blocks, blocks_bytes);
    memcpy(end += blocks_bytes, &t->step, sizeof t->step);
    memcpy(end += sizeof t->step, t->tables, tables_bytes);
    memcpy(end += tables_bytes, weights, header.weight_bytes);
    return plan;
}

// The arena of exactly the bytes that the engine asks for, so that a sanitizer sees a stray access.
static float *run(const char *isa, const char *plan, size_t plan_bytes, const float *start, const struct test_case *t,
                  const float *picture, float *logits, uint32_t threads)
{
    shufflenet_sizes sizes;
    check(shufflenet_measure(plan, plan_bytes, isa, &sizes), t->name);
    void *memory = aligned_alloc(SHUFFLENET_ALIGNMENT, sizes.network_bytes);
    const size_t arena_bytes = threads == 1 ? sizes.arena_bytes : sizes.arena_bytes + threads * sizes.thread_bytes;
    float *arena = aligned_alloc(SHUFFLENET_ALIGNMENT, arena_bytes);
    for (size_t i = 0; i < arena_bytes / sizeof(float); i++)
        arena[i] = i < t->arena_floats ? start[i] : NAN; // what lies behind may be read but must not be used
    const shufflenet_network *network;
    check(shufflenet_create(plan, plan_bytes, isa, memory, sizes.network_bytes, &network), t->name);
    if (threads == 1)
        check(shufflenet_run(network, arena, arena_bytes, picture, 1, logits), t->name);
    else
        run_team(network, arena, arena_bytes, picture, logits);
    for (size_t i = t->arena_floats; threads == 1 && i < arena_bytes / sizeof(float); i++)
        if (!isnan(arena[i])) {
            fprintf(stderr, "FAILED %s, %s: wrote float %zu behind the arena\n", t->name, isa, i - t->arena_floats);
            exit(1);
        }
    free(memory);
    return arena;
}

static int compare(const struct test_case *t, const char *isa, const float *want, const float *got, const float *start)
{
    const double tolerance = 4 * (t->terms + 8) * 1.2e-7;
    uint8_t *written = calloc(t->arena_floats, 1); // 1: an output, 2: a tail
    for (uint32_t row = 0; row < t->out_rows; row++) {
        memset(written + t->out[row], 1, t->pixels);
        memset(written + t->out[row] + t->pixels, 2, ROW_TAIL);
    }
    int failures = 0;
    for (size_t i = 0; i < t->arena_floats && failures < 3; i++) {
        const int good = isnan(got[i])     ? isnan(written[i] == 1 ? want[i] : start[i])
                         : written[i] == 1 ? fabs(want[i] - got[i]) <= tolerance
                         : written[i] == 2 ? got[i] == 0 || got[i] == start[i]
                                           : got[i] == start[i];
        if (!good) {
            fprintf(stderr, "FAILED %s, %s: float %zu (%s) is %.9g, expected %.9g, was %.9g\n", t->name, isa, i,
                    written[i] == 1   ? "output"
                    : written[i] == 2 ? "tail"
                                      : "not of this step",
                    got[i], want[i], start[i]);
            failures++;
        }
    }
    free(written);
    return failures;
}

static int run_case(struct test_case *t, const char *only)
{
    t->arena_floats += ROW_ALIGNMENT;
    static uint32_t weights[MAX_WEIGHTS];
    static float start[MAX_ARENA], picture[CHANNELS * HEIGHT * WIDTH];
    fill_weights(t, weights);
    for (uint32_t i = 0; i < t->arena_floats; i++)
        start[i] = random_float();
    for (uint32_t i = 0; i < CHANNELS * t->height * t->width; i++)
        picture[i] = random_float();
    if (t->step.kind == PLAN_MAX_POOL) // of values that are not negative
        for (uint32_t i = 0; i < t->arena_floats; i++)
            start[i] = fabsf(start[i]);
    const struct plan_pool *pool = &t->step.as.pool;
    for (uint32_t c = 0; t->holes && c < pool->channels; c += 2)
        for (uint32_t hole = 0; hole < 2; hole++) {
            const uint32_t line = random_below(pool->height), column = hole || c ? random_below(pool->width) : 0;
            start[t->tables[pool->input + c] + line * pool->in_pitch + column] = hole ? NAN : -NAN;
        }
    const struct plan_depthwise *depthwise = &t->step.as.depthwise;
    if (t->step.kind == PLAN_DEPTHWISE && depthwise->stride == 1) { // zeros around its input
        const uint32_t height = depthwise->height, width = depthwise->width, pitch = depthwise->in_pitch;
        const uint32_t around = depthwise->kernel_size / 2 * (pitch + 1);
        for (uint32_t c = 0; c < depthwise->channels; c++) {
            float *row = start + t->tables[depthwise->input + c];
            memset(row - around, 0, sizeof(float) * around);
            for (uint32_t line = 0; line < height; line++)
                memset(row + line * pitch + width, 0, sizeof(float) * (pitch - width));
            memset(row + (height - 1) * pitch + width, 0, sizeof(float) * around);
        }
    }
    size_t bytes;
    char *plan = make_plan(t, weights, &bytes);
    float want_logits[1024], got_logits[1024];
    float *want = run("reference", plan, bytes, start, t, picture, want_logits, 1);
    int failures = 0;
    for (size_t level = 0; shufflenet_isa(level); level++) {
        const char *isa = shufflenet_isa(level);
        if (only && strcmp(only, isa))
            continue;
        float *got = run(isa, plan, bytes, start, t, picture, got_logits, 1), team_logits[1024];
        failures += compare(t, isa, want, got, start);
        if (is_teams_turn()) {
            float *by_team = run(isa, plan, bytes, start, t, picture, team_logits, TEAM);
            if (memcmp(got, by_team, sizeof(float) * t->arena_floats) ||
                memcmp(got_logits, team_logits, sizeof(float) * t->logits)) {
                fprintf(stderr, "FAILED %s, %s: a team of %d threads gives other results\n", t->name, isa, TEAM);
                failures++;
            }
            free(by_team);
        }
        for (uint32_t c = 0; c < t->logits; c++)
            if (!(fabsf(want_logits[c] - got_logits[c]) <= 4 * (t->terms + 8) * 1.2e-7)) {
                fprintf(stderr, "FAILED %s, %s: logit %u is %.9g, expected %.9g\n", t->name, isa, c, got_logits[c],
                        want_logits[c]);
                failures++;
                break;
            }
        free(got);
    }
    free(want);
    free(plan);
    return failures;
}

static void writes(struct test_case *t, uint32_t table, uint32_t rows, uint32_t pixels)
{
    t->out = t->tables + table;
    t->out_rows = rows;
    t->pixels = pixels;
}

static struct test_case *new_case(void)
{
    static struct test_case t;
    memset(&t, 0, sizeof t);
    t.arena_floats = ROW_ALIGNMENT;
    t.classes = 1;
    t.height = t.width = 8;
    return &t;
}

#endif
